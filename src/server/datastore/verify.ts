/** POST `verify`. Format: protocol, section 8.1; datastore, section 9. */
import { join } from 'node:path';
import { codeOf } from '../../errors.js';
import type { VerifyState } from '../../format/manifest.js';
import { groupPath, isBenchmarkGroup, snapshotPath, type GroupName, type SnapshotName } from '../../format/snapshot-name.js';
import { startOfUpid } from '../../format/upid.js';
import { ChunkVerifier } from '../../maintenance/verify/chunk-verifier.js';
import { verifySnapshot, type VerifyOptions } from '../../maintenance/verify/verify-snapshot.js';
import { owns, type Caller } from '../caller.js';
import { endpoint } from '../endpoint.js';
import { Refusal } from '../refusal.js';
import type { ServedStore } from '../server-context.js';
import type { Task } from '../tasks.js';
import { administrationOf, audited } from './audited.js';
import { groupFilters, groupOf, namespaceOf, snapshotParameters } from './parameters.js';
import { allow, holds, namespacesBelow, scopeIn, storeOf } from './permissions.js';

const verifying = { full: ['Verify'], limited: ['Backup'] } as const;
const depthMax = 7;
const threadsMax = 32;
const secondsPerDay = 86_400;

export const verifyEndpoint = endpoint({
  method: 'POST',
  path: '/admin/datastore/{store}/verify',
  parameters: {
    ...groupFilters,
    'backup-time': { ...snapshotParameters['backup-time'], optional: true },
    'ignore-verified': { kind: 'boolean', optional: true },
    'outdated-after': { kind: 'integer', optional: true, min: 0 },
    // Ours read and verify in one.
    'read-threads': { kind: 'integer', optional: true, min: 1, max: threadsMax },
    'verify-threads': { kind: 'integer', optional: true, min: 1, max: threadsMax },
    'max-depth': { kind: 'integer', optional: true, min: 0, max: depthMax },
  },
  run: async (call) => {
    const store = storeOf(call);
    const { 'backup-type': type, 'backup-id': id, 'backup-time': time, 'ignore-verified': ignore = true, 'outdated-after': days, 'max-depth': depth = depthMax } = call.parameters;
    if ((type === undefined) !== (id === undefined) || (time !== undefined && id === undefined)) throw new Refusal(400, 'a group has a backup-type and a backup-id, a snapshot a backup-time, too');
    const group = type === undefined || id === undefined ? undefined : groupOf({ ns: call.parameters.ns, 'backup-type': type, 'backup-id': id });
    const target = group === undefined ? '' : groupPath(group);
    return await audited(call, 'verify', store, target, async () => {
      const base = namespaceOf(call.parameters);
      if (group === undefined) scopeIn(call.caller, store, base, verifying);
      else await allow(call.caller, store, group, verifying);
      if (group === undefined) await store.datastore.groups(base);
      else await store.datastore.snapshots(group);
      const snapshots = (): AsyncIterable<SnapshotName> | SnapshotName[] => {
        if (group === undefined) return allSnapshots(call.caller, store, base, depth);
        return time === undefined ? newestFirst(store, group) : [{ ...group, time }];
      };
      if (group !== undefined && time !== undefined) await store.datastore.snapshotFacts({ ...group, time });
      const administration = await administrationOf(call, store);
      const threads = Math.max(call.parameters['read-threads'] ?? 0, call.parameters['verify-threads'] ?? 0) || undefined;
      const isDone = (state: VerifyState): boolean => ignore && isFresh(state, days);
      const kind = time === undefined ? 'verify_group' : 'verify_snapshot';
      const { upid } = call.context.tasks.start(group === undefined ? 'verify' : kind, group === undefined ? store.name : `${store.name}:${target}`, call.caller, (task) =>
        verifyAll(store, snapshots(), { administration, isDone }, new ChunkVerifier(join(store.path, '.chunks'), threads), task),
      );
      return { data: upid };
    });
  },
});

/** A result that cannot be dated counts as none. */
function isFresh({ upid }: VerifyState, days: number | undefined): boolean {
  try {
    const ageDays = Math.floor((Date.now() / 1000 - startOfUpid(upid)) / secondsPerDay);
    return days === undefined || ageDays <= days;
  } catch {
    return false;
  }
}

async function verifyAll(
  store: ServedStore,
  snapshots: AsyncIterable<SnapshotName> | SnapshotName[],
  { administration, isDone }: Pick<VerifyOptions, 'administration' | 'isDone'>,
  chunks: ChunkVerifier,
  task: Task,
): Promise<undefined> {
  const failed: string[] = [];
  try {
    const options: VerifyOptions = { store: store.datastore, administration, chunks, upid: task.upid, isDone, log: task.log.bind(task), signal: task.signal };
    for await (const snapshot of snapshots) {
      if ((await verifySnapshot(options, snapshot)) === 'failed') failed.push(snapshotPath(snapshot));
    }
  } finally {
    await chunks.close();
  }
  if (failed.length > 0) throw new Error(`verification failed for ${failed.length} snapshots; the log says why`);
  return undefined;
}

async function* allSnapshots(caller: Caller, store: ServedStore, base: GroupName['namespace'], depth: number): AsyncGenerator<SnapshotName> {
  for await (const namespace of namespacesBelow(store.datastore, base, depth)) {
    const all = holds(caller, store, namespace, verifying.full);
    if (!all && !holds(caller, store, namespace, verifying.limited)) continue;
    for (const group of await store.datastore.groups(namespace)) {
      if (isBenchmarkGroup(group)) continue;
      if (all || owns(caller, (await store.datastore.groupFacts(group)).owner)) yield* newestFirst(store, group);
    }
  }
}

async function* newestFirst({ datastore }: ServedStore, group: GroupName): AsyncGenerator<SnapshotName> {
  try {
    yield* [...(await datastore.snapshots(group))].reverse();
  } catch (error) {
    if (codeOf(error) !== 'NOT_FOUND') throw error;
  }
}
