/** Parameters that name a snapshot of a store, for those who open a session. Format: protocol, sections 1 and 9.1. */
import { StoreError, codeOf, messageOf } from '../../errors.js';
import { archiveKind, type ArchiveKind } from '../../format/archive-name.js';
import { formatBackupTime } from '../../format/backup-time.js';
import { formatNamespace, parseNamespace, type Namespace } from '../../format/namespace.js';
import { isBackupId, isBackupType, snapshotPath, type SnapshotName } from '../../format/snapshot-name.js';
import type { ServedStore, ServerContext } from '../server-context.js';
import { Refusal } from '../refusal.js';

/** The last second that a directory can be named by. */
const timeMax = 253_402_300_799;

export const snapshotParameters = {
  store: { kind: 'string' },
  'backup-type': { kind: 'string', check: (value: string) => (isBackupType(value) ? undefined : 'is none of ct, host and vm') },
  'backup-id': { kind: 'string', check: (value: string) => (isBackupId(value) ? undefined : "has to be letters, digits, '_', '-' and '.', not beginning with '-' or '.'") },
  'backup-time': { kind: 'integer', min: 1, max: timeMax },
  ns: { kind: 'string', optional: true, check: namespaceFault },
  debug: { kind: 'boolean', optional: true },
} as const;

interface SnapshotValues {
  readonly store: string;
  readonly 'backup-type': string;
  readonly 'backup-id': string;
  readonly 'backup-time': number;
  readonly ns: string | undefined;
}

export function namespaceOf({ ns }: Pick<SnapshotValues, 'ns'>): Namespace {
  return parseNamespace(ns ?? '');
}

export function snapshotOf(values: SnapshotValues): SnapshotName {
  const type = values['backup-type'];
  if (!isBackupType(type)) throw new Refusal(400, `there is no type ${type}`);
  const snapshot: SnapshotName = { namespace: namespaceOf(values), type, id: values['backup-id'], time: values['backup-time'] };
  formatBackupTime(snapshot.time);
  return snapshot;
}

/** 400 if there is none of this name. */
export function servedStore({ stores }: ServerContext, name: string): ServedStore {
  const store = stores.get(name);
  if (store === undefined) throw new Refusal(400, `there is no datastore '${name.slice(0, 100)}'`);
  return store;
}

/** `store1:host/elsa`: what a task is about. */
export function taskIdOf(store: string, snapshot: SnapshotName, withTime: boolean): string {
  const path = snapshotPath(snapshot);
  return `${store}:${withTime ? path : path.slice(0, path.lastIndexOf('/'))}`;
}

/** Rejects with NOT_FOUND for a namespace that is not there. */
export async function checkNamespace({ datastore, name }: ServedStore, namespace: Namespace): Promise<void> {
  try {
    await datastore.namespaces(namespace);
  } catch (cause) {
    if (codeOf(cause) !== 'NOT_FOUND') throw cause;
    throw new StoreError('NOT_FOUND', `datastore ${name} has no namespace '${formatNamespace(namespace)}'`, { cause });
  }
}

/** For parameters that name a file of a snapshot. */
export function fileNameCheck(...kinds: readonly ArchiveKind[]): (value: string) => string | undefined {
  const extensions = { fixed: '.fidx', dynamic: '.didx', blob: '.blob' };
  return (value) => {
    const kind = archiveKind(value);
    return kind !== undefined && kinds.includes(kind) ? undefined : `has to be a name that ends in ${kinds.map((each) => extensions[each]).join(', ')}`;
  };
}

export function digestFault(value: string): string | undefined {
  return /^[0-9a-f]{64}$/.test(value) ? undefined : 'is no digest: 64 hex digits in lower case';
}

function namespaceFault(value: string): string | undefined {
  try {
    parseNamespace(value);
    return undefined;
  } catch (error) {
    return messageOf(error);
  }
}
