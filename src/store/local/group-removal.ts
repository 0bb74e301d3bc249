/** Removes groups with what is in them, and those that have become empty. Format: datastore, section 8. */
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { FileError, codeOf } from '../../errors.js';
import { parseBackupTime } from '../../format/backup-time.js';
import { groupLockName } from '../../format/lock-name.js';
import type { GroupName, SnapshotName } from '../../format/snapshot-name.js';
import type { RemovedCounts } from '../administration.js';
import { discardDirectory } from './discard.js';
import { lockGroup, ownerName } from './group.js';
import { notesName } from './group-notes.js';
import { removeLeftovers } from './hidden.js';
import { LockStack } from './locks.js';
import { removeSnapshotDirectory } from './snapshot-removal.js';
import type { WritableStore } from './writable-store.js';

/** Removes all snapshots that are not protected, and the group if that is all. NOT_FOUND; LOCKED, when the others are gone. */
export async function removeGroupDirectory(store: WritableStore, group: GroupName): Promise<RemovedCounts> {
  const locks = new LockStack();
  try {
    const directory = await lockGroup(store, group, locks);
    let [snapshots, protectedSnapshots] = [0, 0];
    const failures: Error[] = [];
    for (const snapshot of await snapshotsIn(group, directory)) {
      try {
        await removeSnapshotDirectory(store, snapshot);
        snapshots++;
      } catch (error) {
        if (codeOf(error) === 'NOT_PERMITTED') protectedSnapshots++;
        else if (codeOf(error) !== 'NOT_FOUND') failures.push(error as Error);
      }
    }
    const [failure] = failures;
    if (failure !== undefined) throw failure;
    if (protectedSnapshots === 0) await discardGroup(store, group, directory);
    return { groups: protectedSnapshots === 0 ? 1 : 0, snapshots, protectedSnapshots };
  } finally {
    locks.release();
  }
}

/** After the last snapshot is gone. A group that is in use, or has something else in it, stays. */
export async function removeGroupIfEmpty(store: WritableStore, group: GroupName): Promise<void> {
  const locks = new LockStack();
  try {
    const directory = await lockGroup(store, group, locks);
    if ((await snapshotsIn(group, directory)).length === 0) await discardGroup(store, group, directory);
  } catch (error) {
    if (!['NOT_FOUND', 'LOCKED', 'NOT_EMPTY'].includes(codeOf(error) ?? '')) throw error;
  } finally {
    locks.release();
  }
}

/** NOT_EMPTY if it has more than a group has. */
async function discardGroup(store: WritableStore, group: GroupName, directory: string): Promise<void> {
  await removeLeftovers(directory, store.warn);
  const stranger = (await readdir(directory)).find((name) => ![ownerName, notesName].some((known) => name === known || name.startsWith(`${known}.tmp_`)));
  if (stranger !== undefined) throw new FileError('NOT_EMPTY', `${directory} has '${stranger}' in it, which is no snapshot: remove that yourself`);
  await discardDirectory(store, directory);
  if (store.locks !== undefined) await rm(join(store.locks, groupLockName(group)), { force: true });
}

async function snapshotsIn(group: GroupName, directory: string): Promise<SnapshotName[]> {
  const entries = await readdir(directory, { withFileTypes: true });
  const times = entries.filter((entry) => entry.isDirectory()).map(({ name }) => parseBackupTime(name));
  return times.filter((time) => time !== undefined).map((time) => ({ namespace: group.namespace, type: group.type, id: group.id, time }));
}
