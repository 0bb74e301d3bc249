/** Lock files of a snapshot and of its manifest. Format: datastore, section 3.6. */
import { rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { StoreError } from '../../errors.js';
import { manifestLockName, nestedManifestLockName, snapshotLockName } from '../../format/lock-name.js';
import type { SnapshotName } from '../../format/snapshot-name.js';
import { lockFile, waitForLock, type HeldLock, type LockStack } from './locks.js';
import type { WritableStore } from './writable-store.js';

const manifestLockWaitMs = 5000;

/** For changing the manifest, in both generations of a server's locks. LOCKED. */
export async function lockManifest(store: WritableStore, snapshot: SnapshotName, locks: LockStack): Promise<void> {
  if (store.locks === undefined) return;
  for (const name of [manifestLockName(snapshot), nestedManifestLockName(snapshot)]) {
    const path = join(store.locks, name);
    locks.push(await takeManifestLock(path, () => lockFile(path, 'exclusive', store.owner)));
  }
}

/** Waits as long as a server does. LOCKED. */
export async function takeManifestLock(path: string, take: () => HeldLock | undefined | Promise<HeldLock | undefined>): Promise<HeldLock> {
  const lock = await waitForLock(take, manifestLockWaitMs);
  if (lock === undefined) throw new StoreError('LOCKED', `the manifest is locked by another program (${path}): try again`);
  return lock;
}

/** Of a snapshot that is no more, while its locks are held; first that of the manifest, as a server does it. */
export async function removeSnapshotLocks({ locks }: WritableStore, snapshot: SnapshotName): Promise<void> {
  if (locks === undefined) return;
  const nested = dirname(nestedManifestLockName(snapshot));
  for (const name of [nested, manifestLockName(snapshot), snapshotLockName(snapshot)]) {
    await rm(join(locks, name), { recursive: true, force: true });
  }
}
