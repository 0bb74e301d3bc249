/**
 * How people name a snapshot: `type/id/time` as in the tree, below `ns/NAME` for each namespace, where time is one, or
 * `latest` (the newest finished one), or the beginning of exactly one. What follows is a path in the snapshot.
 */
import { StoreError } from '../errors.js';
import { formatBackupTime, parseBackupTime } from '../format/backup-time.js';
import { formatNamespace, namespacePath, type Namespace } from '../format/namespace.js';
import { groupPath, isBackupType, type BackupType, type GroupName, type SnapshotName } from '../format/snapshot-name.js';
import { printableName } from '../vfs/name.js';
import { pathComponents } from '../vfs/path.js';
import type { Datastore } from './datastore.js';

const candidatesShownMax = 10;

export interface SnapshotReference {
  readonly namespace: Namespace;
  /** Each present only if the path goes that far. */
  readonly type?: BackupType;
  readonly group?: GroupName;
  readonly snapshot?: SnapshotName;
  /** Components below what is named above. */
  readonly rest: readonly Buffer[];
}

/**
 * Reads `path` as seen from `base`. NOT_FOUND tells whether the namespace, the group or the snapshot is missing; AMBIGUOUS
 * lists what a beginning fits. A path of another form is `rest` from where it leaves the form.
 */
export async function resolveReference(store: Datastore, path: Buffer, base: Namespace = []): Promise<SnapshotReference> {
  const rest = withoutParents(pathComponents(path));
  const namespace = await takeNamespace(store, rest, base);
  const type = rest[0]?.toString('latin1') ?? '';
  if (!isBackupType(type)) return { namespace, rest };
  rest.shift();
  const id = rest.shift()?.toString('latin1');
  if (id === undefined) return { namespace, type, rest };
  const group = (await store.groups(namespace)).find((candidate) => candidate.type === type && candidate.id === id);
  if (group === undefined) {
    throw new StoreError('NOT_FOUND', `there is no group ${type}/${id} in ${placeOf(namespace)} of ${store.location}`);
  }
  const time = rest.shift();
  if (time === undefined) return { namespace, type, group, rest };
  return { namespace, type, group, snapshot: await resolveTime(store, group, time.toString('latin1')), rest };
}

/** The snapshot of `group` that `text` (a time, the beginning of one, or `latest`) means. NOT_FOUND or AMBIGUOUS. */
export async function resolveTime(store: Datastore, group: GroupName, text: string): Promise<SnapshotName> {
  const snapshots = await store.snapshots(group);
  if (text === 'latest') {
    for (const snapshot of snapshots.toReversed()) {
      if ((await store.snapshotFacts(snapshot)).finished) return snapshot;
    }
    throw new StoreError('NOT_FOUND', `${groupPath(group)} has no finished snapshot`);
  }
  const exact = parseBackupTime(text);
  const found = snapshots.filter(({ time }) => time === exact || formatBackupTime(time).startsWith(text));
  const [first, second] = found;
  if (first === undefined) {
    throw new StoreError('NOT_FOUND', `${groupPath(group)} has no snapshot '${printableName(Buffer.from(text, 'latin1'))}'${newestOf(snapshots)}`);
  }
  if (second === undefined) return first;
  const times = found.slice(0, candidatesShownMax).map(({ time }) => formatBackupTime(time));
  const more = found.length > times.length ? ` and ${found.length - times.length} more` : '';
  throw new StoreError('AMBIGUOUS', `'${text}' fits ${found.length} snapshots of ${groupPath(group)}: ${times.join(', ')}${more}; type more of it`);
}

/** Where what the reference names lies in a tree that shows `base` as its root, without `rest`. */
export function referencePath(reference: SnapshotReference, base: Namespace = []): string {
  const parts = [namespacePath(reference.namespace.slice(base.length)), reference.type ?? '', reference.group?.id ?? ''];
  if (reference.snapshot !== undefined) parts.push(formatBackupTime(reference.snapshot.time));
  return parts.filter((part) => part !== '').join('/');
}

/** A typed `..` takes back the name before it, whatever that is. */
function withoutParents(components: readonly Buffer[]): Buffer[] {
  const kept: Buffer[] = [];
  for (const component of components) {
    if (component.equals(Buffer.from('..'))) kept.pop();
    else kept.push(component);
  }
  return kept;
}

/** Takes `ns/NAME` pairs off the front of `rest`. */
async function takeNamespace(store: Datastore, rest: Buffer[], base: Namespace): Promise<Namespace> {
  const namespace = [...base];
  while (rest.length >= 2 && rest[0]?.toString('latin1') === 'ns') {
    const [, name = Buffer.alloc(0)] = rest.splice(0, 2);
    const component = name.toString('latin1');
    if (!(await store.namespaces(namespace)).includes(component)) {
      throw new StoreError('NOT_FOUND', `there is no namespace '${printableName(name)}' in ${placeOf(namespace)} of ${store.location}`);
    }
    namespace.push(component);
  }
  return namespace;
}

function placeOf(namespace: Namespace): string {
  return namespace.length === 0 ? 'the root namespace' : `namespace ${formatNamespace(namespace)}`;
}

function newestOf(snapshots: readonly SnapshotName[]): string {
  const newest = snapshots.at(-1);
  return newest === undefined ? ' (it has none)' : ` (of ${snapshots.length}, the newest is ${formatBackupTime(newest.time)})`;
}
