/** For commands that change what is in a datastore: opens it, wherever it is, and finds what they name in it. */
import { UsageError } from '../errors.js';
import { parseNamespace } from '../format/namespace.js';
import { groupPath, snapshotPath, type GroupName, type SnapshotName } from '../format/snapshot-name.js';
import { stderrLog } from '../mount/log.js';
import type { Administration } from '../store/administration.js';
import type { Datastore } from '../store/datastore.js';
import { resolveReference } from '../store/snapshot-reference.js';
import { printableName } from '../vfs/name.js';
import { jsonOption, type OptionSpecs, type OptionValues } from './command.js';
import { openLocation } from './open-location.js';
import { ReportedError } from './report.js';
import { sourceOptions, storeOption } from './source-options.js';

export const administrationOptions = { ...storeOption, ns: sourceOptions.ns, json: jsonOption } as const satisfies OptionSpecs;

export type AdministrationValues = Pick<OptionValues<typeof administrationOptions>, 'store' | 'fingerprint' | 'timeout'>;

export const groupPositional = { name: 'GROUP', describe: 'type/id, in a namespace ns/NAME/type/id', completion: 'path' } as const;
export const snapshotPositional = { name: 'SNAPSHOT', describe: 'type/id/time, where time may be latest or the beginning of one', completion: 'path' } as const;
export const eitherPositional = { name: 'SNAPSHOT|GROUP', describe: 'type/id/time, where time may be latest or the beginning of one; or type/id', completion: 'path' } as const;

export interface Administered {
  readonly store: Datastore;
  readonly administration: Administration;
}

/** What is warned of on the way makes the command end with the status for that. */
export async function withAdministration(values: AdministrationValues, use: (opened: Administered) => Promise<void>): Promise<void> {
  if (values.store === undefined) throw new UsageError('--store DIR (or --repository) is missing: it says which datastore');
  const log = stderrLog(() => 'pbsfs: ');
  let warnings = 0;
  const store = await openLocation(values.store, values, log);
  try {
    const administration = await store.administration((line) => {
      warnings++;
      log(line);
    });
    await use({ store, administration });
  } finally {
    await store.close();
  }
  if (warnings > 0) throw new ReportedError('warnings');
}

/** USAGE for what is neither. */
export async function findEither(store: Datastore, path: Buffer, ns: string | undefined): Promise<SnapshotName | GroupName> {
  const { snapshot, group, rest } = await resolveReference(store, path, parseNamespace(ns ?? ''));
  const found = snapshot ?? group;
  if (found === undefined || rest.length > 0) throw new UsageError(`'${printableName(path)}' names no snapshot and no group: write type/id/time, or type/id`);
  return found;
}

export async function findSnapshot(store: Datastore, path: Buffer, ns: string | undefined): Promise<SnapshotName> {
  const found = await findEither(store, path, ns);
  if (!isSnapshot(found)) throw new UsageError(`'${printableName(path)}' is a group; write type/id/time, or type/id/latest, for a snapshot`);
  return found;
}

export async function findGroup(store: Datastore, path: Buffer, ns: string | undefined): Promise<GroupName> {
  const found = await findEither(store, path, ns);
  if (isSnapshot(found)) throw new UsageError(`'${printableName(path)}' is a snapshot; write type/id for its group`);
  return found;
}

export function isSnapshot(found: SnapshotName | GroupName): found is SnapshotName {
  return 'time' in found;
}

export function pathOf(found: SnapshotName | GroupName): string {
  return isSnapshot(found) ? snapshotPath(found) : groupPath(found);
}
