/** GET `groups`, `snapshots` and `files`. Format: protocol, sections 8.1 and 8.2, Appendix C.2. */
import { codeOf } from '../../errors.js';
import { formatFingerprint } from '../../format/fingerprint.js';
import type { JsonObject } from '../../format/json.js';
import type { Namespace } from '../../format/namespace.js';
import { commentOf } from '../../format/notes.js';
import type { GroupName, SnapshotName } from '../../format/snapshot-name.js';
import type { GroupFacts } from '../../store/datastore.js';
import { owns, type Caller } from '../caller.js';
import { endpoint } from '../endpoint.js';
import type { ServedStore } from '../server-context.js';
import { groupFilters, inNamespace, namespaceOf, snapshotOf, snapshotParameters } from './parameters.js';
import { allow, scopeIn, storeOf } from './permissions.js';
import { readContent } from './snapshot-content.js';

const readAtOnce = 16;
const listing = { full: ['Audit'], limited: ['Backup'] } as const;

export const groupsEndpoint = endpoint({
  method: 'GET',
  path: '/admin/datastore/{store}/groups',
  parameters: inNamespace,
  run: async (call) => {
    const store = storeOf(call);
    const groups = await visibleGroups(call.caller, store, namespaceOf(call.parameters), () => true);
    return { data: await inOrder(groups, (group) => groupItem(store, group)) };
  },
});

export const snapshotsEndpoint = endpoint({
  method: 'GET',
  path: '/admin/datastore/{store}/snapshots',
  parameters: groupFilters,
  run: async (call) => {
    const { 'backup-type': type, 'backup-id': id } = call.parameters;
    const store = storeOf(call);
    const isWanted = (group: GroupName): boolean => group.type === (type ?? group.type) && group.id === (id ?? group.id);
    const groups = await visibleGroups(call.caller, store, namespaceOf(call.parameters), isWanted);
    const snapshots = await inOrder(groups, async (group) => (await store.datastore.snapshots(group)).map((snapshot) => ({ snapshot, facts: group.facts })));
    return { data: await inOrder(snapshots.flat(), ({ snapshot, facts }) => snapshotItem(store, snapshot, facts)), form: 'chunked' };
  },
});

export const filesEndpoint = endpoint({
  method: 'GET',
  path: '/admin/datastore/{store}/files',
  parameters: snapshotParameters,
  run: async (call) => {
    const [store, snapshot] = [storeOf(call), snapshotOf(call.parameters)];
    await allow(call.caller, store, snapshot, { full: ['Audit', 'Read'], limited: ['Backup'] });
    return { data: (await readContent(store.datastore, snapshot)).files };
  },
});

export interface VisibleGroup extends GroupName {
  readonly facts: GroupFacts;
}

/** Groups without an owner are nobody's, and left out. */
export async function visibleGroups(caller: Caller, store: ServedStore, namespace: Namespace, isWanted: (group: GroupName) => boolean): Promise<VisibleGroup[]> {
  const scope = scopeIn(caller, store, namespace, listing);
  const groups = (await store.datastore.groups(namespace)).filter(isWanted);
  const known = await inOrder(groups, async (group) => ({ ...group, facts: await store.datastore.groupFacts(group) }));
  return known.filter(({ facts: { owner } }) => owner !== undefined && (scope === 'all' || owns(caller, owner)));
}

async function groupItem({ datastore }: ServedStore, { facts: { owner, notes = '' }, ...group }: VisibleGroup): Promise<JsonObject> {
  const snapshots = [...(await datastore.snapshots(group))].reverse();
  let newest: { time: number; files: readonly string[] } | undefined;
  for (const snapshot of snapshots) {
    const { finished, files } = await datastore.snapshotFacts(snapshot);
    if (!finished) continue;
    newest = { time: snapshot.time, files: files.map(({ name }) => name) };
    break;
  }
  return {
    'backup-type': group.type,
    'backup-id': group.id,
    'last-backup': newest?.time ?? snapshots[0]?.time ?? 0,
    'backup-count': snapshots.length,
    files: newest?.files ?? [],
    ...(owner !== undefined && { owner }),
    // With its line end, as a server has it.
    ...(notes !== '' && { comment: /^[^\n]*\n?/.exec(notes)?.[0] ?? '' }),
  };
}

/** Members in the order in which a server has them. */
async function snapshotItem({ datastore }: ServedStore, snapshot: SnapshotName, { owner }: GroupFacts): Promise<JsonObject> {
  const { facts, manifest, files } = await readContent(datastore, snapshot);
  const { notes = '', verifyState, keyFingerprint } = manifest?.unprotected ?? {};
  return {
    'backup-type': snapshot.type,
    'backup-id': snapshot.id,
    'backup-time': snapshot.time,
    ...(notes !== '' && { comment: commentOf(notes) }),
    ...(verifyState !== undefined && { verification: { state: verifyState.state, upid: verifyState.upid } }),
    ...(keyFingerprint !== undefined && { fingerprint: formatFingerprint(keyFingerprint) }),
    files,
    ...(manifest !== undefined && { size: files.reduce((sum, { size = 0 }) => sum + size, 0) }),
    ...(owner !== undefined && { owner }),
    protected: facts.protected,
  };
}

/** What vanishes meanwhile is left out. */
async function inOrder<T, R>(items: readonly T[], read: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  for (let first = 0; first < items.length; first += readAtOnce) {
    const part = await Promise.all(items.slice(first, first + readAtOnce).map((item) => ifThere(read(item))));
    for (const found of part) if (found !== undefined) results.push(found.value);
  }
  return results;
}

async function ifThere<R>(reading: Promise<R>): Promise<{ value: R } | undefined> {
  try {
    return { value: await reading };
  } catch (error) {
    if (codeOf(error) === 'NOT_FOUND') return undefined;
    throw error;
  }
}
