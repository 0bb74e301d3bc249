/** Removes a snapshot, under the locks of both generations of servers. Format: datastore, sections 3.6 and 8. */
import { lstat } from 'node:fs/promises';
import { join } from 'node:path';
import { FileError, StoreError, codeOf } from '../../errors.js';
import { protectedFileName } from '../../format/archive-name.js';
import { snapshotPath, type SnapshotName } from '../../format/snapshot-name.js';
import { lockSnapshot } from './begin-backup.js';
import { discardDirectory } from './discard.js';
import { isDirectory } from './group.js';
import { LockStack, type LockKind } from './locks.js';
import { lockManifest, removeSnapshotLocks } from './snapshot-locks.js';
import type { WritableStore } from './writable-store.js';

/** Leaves the group as it is. NOT_FOUND, LOCKED; NOT_PERMITTED for a protected one. */
export async function removeSnapshotDirectory(store: WritableStore, snapshot: SnapshotName): Promise<void> {
  await whileLocked(store, snapshot, 'exclusive', async (directory, locks) => {
    await lockManifest(store, snapshot, locks);
    if (await isProtected(directory)) {
      throw new FileError('NOT_PERMITTED', `${directory} is protected: it is not removed; end that first (pbsfs protect --off)`);
    }
    await discardDirectory(store, directory);
    await removeSnapshotLocks(store, snapshot);
  });
}

/** Locks a snapshot that is there, finished or not, for `work` on its directory. NOT_FOUND, LOCKED. */
export async function whileLocked<T>(
  store: WritableStore,
  snapshot: SnapshotName,
  kind: LockKind,
  work: (directory: string, locks: LockStack) => Promise<T>,
): Promise<T> {
  const directory = await snapshotDirectory(store, snapshot);
  const locks = new LockStack();
  try {
    await lockSnapshot(store, snapshot, kind, locks);
    await snapshotDirectory(store, snapshot);
    return await work(directory, locks);
  } finally {
    locks.release();
  }
}

export async function snapshotDirectory({ location }: WritableStore, snapshot: SnapshotName): Promise<string> {
  const directory = join(location, snapshotPath(snapshot));
  if (!(await isDirectory(directory))) throw new StoreError('NOT_FOUND', `there is no snapshot ${snapshotPath(snapshot)} in ${location}`);
  return directory;
}

async function isProtected(directory: string): Promise<boolean> {
  try {
    await lstat(join(directory, protectedFileName));
    return true;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return false;
    throw error;
  }
}
