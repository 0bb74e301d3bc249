/** The way into a backup session: checks and locks, in the order of a server. Format: datastore, sections 3.5 to 3.7 and 10.1. */
import { lstat, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { StoreError, codeOf, messageOf } from '../../errors.js';
import { manifestFileName } from '../../format/archive-name.js';
import { formatBackupTime, parseBackupTime } from '../../format/backup-time.js';
import { snapshotLockName } from '../../format/lock-name.js';
import { snapshotPath, type SnapshotName } from '../../format/snapshot-name.js';
import type { BackupOptions, BackupSession } from '../backup-session.js';
import { checkNewSnapshotName } from '../new-snapshot-name.js';
import { LocalBackupSession } from './backup-session.js';
import { openGroup, removeNewGroup, type WritableGroup } from './group.js';
import { makeHidden, removeLeftovers } from './hidden.js';
import { LockStack, lockDirectory, lockFile, type LockKind } from './locks.js';
import type { NewSnapshotParts } from './new-snapshot.js';
import { permissionOf } from './permission.js';
import type { ServerPaths } from './server.js';
import { openWritable, type WritableStore } from './writable-store.js';

const attemptsMax = 5;

export async function beginLocalBackup(location: string, paths: ServerPaths, options: BackupOptions): Promise<BackupSession> {
  return await beginSnapshot(location, paths, options, (parts) => new LocalBackupSession(parts, options.key));
}

export interface NewSnapshotOptions extends Pick<BackupOptions, 'snapshot' | 'owner' | 'warn'> {
  /** Whether a snapshot may be the previous one: if the newest finished one may not, there is none. */
  readonly mayBePrevious?: (snapshot: SnapshotName) => Promise<boolean>;
}

/** All checks and locks of a new snapshot; `make` gets what they give. */
export async function beginSnapshot<T>(
  location: string,
  paths: ServerPaths,
  options: NewSnapshotOptions,
  make: (parts: NewSnapshotParts) => T,
): Promise<T> {
  checkNewSnapshotName(options.snapshot, options.warn);
  const locks = new LockStack();
  try {
    const store = await openWritable(location, paths, options.warn, locks);
    const group = await openGroup(store, options.snapshot, options.owner, locks);
    try {
      return await beginInGroup(store, group, options, locks, make);
    } catch (error) {
      await removeIfMade(store, group, options);
      throw error;
    }
  } catch (error) {
    locks.release();
    throw permissionOf(error);
  }
}

async function beginInGroup<T>(
  store: WritableStore,
  group: WritableGroup,
  { snapshot, warn, mayBePrevious }: NewSnapshotOptions,
  locks: LockStack,
  make: (parts: NewSnapshotParts) => T,
): Promise<T> {
  await removeLeftovers(group.directory, store.warn);
  const previous = await lockPrevious(store, group, snapshot, locks, mayBePrevious);
  await checkTime(store, snapshot, previous);
  const lockPath = store.locks === undefined ? undefined : join(store.locks, snapshotLockName(snapshot));
  if (lockPath !== undefined) {
    const lock = await lockFile(lockPath, 'exclusive', store.owner);
    if (lock === undefined) throw snapshotInUse(store, snapshot);
    locks.push(lock);
  }
  try {
    const hidden = await makeHidden(group.directory, store.owner);
    locks.push(hidden.lock);
    return make({ snapshot, store, group, previous, hidden: hidden.path, locks, warn });
  } catch (error) {
    if (lockPath !== undefined) await rm(lockPath, { force: true });
    throw error;
  }
}

async function removeIfMade(store: WritableStore, group: WritableGroup, { snapshot, warn }: NewSnapshotOptions): Promise<void> {
  if (!group.made) return;
  try {
    await removeNewGroup(store, snapshot, group.directory);
  } catch (error) {
    warn(`the new group ${group.directory} could not be removed: ${messageOf(error)}`);
  }
}

/** The newest finished snapshot, which nobody removes from now on; undefined if there is none. */
async function lockPrevious(
  store: WritableStore,
  group: WritableGroup,
  { namespace, type, id }: SnapshotName,
  locks: LockStack,
  mayBePrevious: NewSnapshotOptions['mayBePrevious'],
): Promise<SnapshotName | undefined> {
  for (let attempt = 0; attempt < attemptsMax; attempt++) {
    const time = await newestFinished(group.directory);
    if (time === undefined) return undefined;
    const previous: SnapshotName = { namespace, type, id, time };
    if (mayBePrevious !== undefined && !(await mayBePrevious(previous))) return undefined;
    await lockSnapshot(store, previous, 'shared', locks);
    if (await isFinished(group.directory, time)) return previous;
  }
  throw new StoreError('LOCKED', `snapshots of ${group.directory} are being removed: try again`);
}

/** What is gone is not locked: the caller looks again. LOCKED if others hold it. */
export async function lockSnapshot(store: WritableStore, snapshot: SnapshotName, kind: LockKind, locks: LockStack): Promise<void> {
  const directory = join(store.location, snapshotPath(snapshot));
  if (store.locks !== undefined) {
    const lock = await lockFile(join(store.locks, snapshotLockName(snapshot)), kind, store.owner);
    if (lock === undefined) throw snapshotInUse(store, snapshot);
    locks.push(lock);
  }
  try {
    const lock = lockDirectory(directory, kind);
    if (lock === undefined) throw snapshotInUse(store, snapshot);
    locks.push(lock);
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error;
  }
}

async function newestFinished(directory: string): Promise<number | undefined> {
  const entries = await readdir(directory, { withFileTypes: true });
  const times = entries.filter((entry) => entry.isDirectory()).map(({ name }) => parseBackupTime(name));
  for (const time of times.filter((value) => value !== undefined).sort((a, b) => b - a)) if (await isFinished(directory, time)) return time;
  return undefined;
}

async function isFinished(directory: string, time: number): Promise<boolean> {
  return (await lstatIfAny(join(directory, formatBackupTime(time), manifestFileName)))?.isFile() === true;
}

async function checkTime(store: WritableStore, snapshot: SnapshotName, previous: SnapshotName | undefined): Promise<void> {
  const time = formatBackupTime(snapshot.time);
  if (previous !== undefined && snapshot.time <= previous.time) {
    const text = `the group has a snapshot of ${formatBackupTime(previous.time)}`;
    throw new StoreError('EXISTS', `${text}, which is not before ${time}: new snapshots must be newer; give a later time`);
  }
  const path = join(store.location, snapshotPath(snapshot));
  if ((await lstatIfAny(path)) !== undefined) {
    throw new StoreError('EXISTS', `${path} exists, without a manifest (an unfinished snapshot): remove it, or give another time than ${time}`);
  }
}

async function lstatIfAny(path: string): Promise<Awaited<ReturnType<typeof lstat>> | undefined> {
  try {
    return await lstat(path);
  } catch (error) {
    if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR') return undefined;
    throw error;
  }
}

function snapshotInUse(store: WritableStore, snapshot: SnapshotName): StoreError {
  return new StoreError('LOCKED', `${join(store.location, snapshotPath(snapshot))} is locked: it is being removed, verified or written; try again`);
}
