/** Parameters and paths that the calls about datastores share. Format: protocol, sections 8 and 9.1. */
import { formatNamespace, type Namespace } from '../../format/namespace.js';
import type { GroupName, SnapshotName } from '../../format/snapshot-name.js';
import type { Parameters, ServerApi } from './server-api.js';

/** Of something in the datastore: `snapshots`, `status`... */
export function storePath(api: ServerApi, what: string): string {
  return `/admin/datastore/${encodeURIComponent(api.repository.store)}/${what}`;
}

export function namespaceParameter(namespace: Namespace): Parameters {
  return { ns: namespace.length === 0 ? undefined : formatNamespace(namespace) };
}

export function groupParameters({ namespace, type, id }: GroupName): Parameters {
  return { 'backup-type': type, 'backup-id': id, ...namespaceParameter(namespace) };
}

export function snapshotParameters(snapshot: SnapshotName): Parameters {
  return { ...groupParameters(snapshot), 'backup-time': snapshot.time };
}
