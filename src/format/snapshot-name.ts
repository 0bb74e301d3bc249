/** Format: datastore, section 1.2. Names of groups and snapshots, their order, and their directories. */
import { formatBackupTime, parseBackupTime } from './backup-time.js';
import { isNamespaceChild, namespacePath, type Namespace } from './namespace.js';
import { isSafeId } from './safe-id.js';

/** In the order of listings. */
export const backupTypes = ['ct', 'host', 'vm'] as const;
export type BackupType = (typeof backupTypes)[number];

export interface GroupName {
  readonly namespace: Namespace;
  readonly type: BackupType;
  readonly id: string;
}

export interface SnapshotName extends GroupName {
  /** Seconds since 1970. */
  readonly time: number;
}

const u64Max = '18446744073709551615';

export function isBackupType(name: string): name is BackupType {
  return (backupTypes as readonly string[]).includes(name);
}

export function isBackupId(name: string): boolean {
  return isSafeId(name);
}

/** In any namespace: what clients write to measure, and nobody wants back. Format: protocol, section 9.2. */
export function isBenchmarkGroup({ type, id }: Pick<GroupName, 'type' | 'id'>): boolean {
  return type === 'host' && id === 'benchmark';
}

/** Its directory relative to the datastore: `ns/prod/vm/100`. */
export function groupPath(group: GroupName): string {
  const parent = namespacePath(group.namespace);
  return `${parent}${parent === '' ? '' : '/'}${group.type}/${group.id}`;
}

/** Its directory relative to the datastore: `ns/prod/vm/100/2023-11-14T22:13:20Z`. */
export function snapshotPath(snapshot: SnapshotName): string {
  return `${groupPath(snapshot)}/${formatBackupTime(snapshot.time)}`;
}

/** The snapshot whose directory is `path`, or undefined if no snapshot can have that one. */
export function parseSnapshotPath(path: string): SnapshotName | undefined {
  const parts = path.split('/');
  const [type = '', id = '', name = ''] = parts.splice(-3);
  const namespace: string[] = [];
  for (let i = 0; i < parts.length; i += 2) {
    const component = parts[i + 1];
    if (parts[i] !== 'ns' || component === undefined || !isNamespaceChild(namespace, component)) return undefined;
    namespace.push(component);
  }
  const time = parseBackupTime(name);
  return isBackupType(type) && isBackupId(id) && time !== undefined ? { namespace, type, id, time } : undefined;
}

/** Order of groups in one namespace: by type, then numeric ids by value, then the other ids by their bytes. */
export function compareGroups(a: GroupName, b: GroupName): number {
  if (a.type !== b.type) return backupTypes.indexOf(a.type) - backupTypes.indexOf(b.type);
  const left = numericId(a.id);
  const right = numericId(b.id);
  if (left !== undefined && right !== undefined) {
    return left.length - right.length || compareText(left, right) || compareText(a.id, b.id);
  }
  if (left !== undefined) return -1;
  return right !== undefined ? 1 : compareText(a.id, b.id);
}

/** The digits of an id that is a u64, without leading zeros. */
function numericId(id: string): string | undefined {
  const digits = /^0*([0-9]{1,20})$/.exec(id)?.[1];
  return digits === undefined || (digits.length === u64Max.length && digits > u64Max) ? undefined : digits;
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
