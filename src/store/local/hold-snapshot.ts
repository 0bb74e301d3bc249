/** A snapshot that somebody reads for long. Format: datastore, section 3.6. */
import { lstat } from 'node:fs/promises';
import { join } from 'node:path';
import { StoreError, codeOf, messageOf } from '../../errors.js';
import { manifestFileName } from '../../format/archive-name.js';
import { snapshotPath, type SnapshotName } from '../../format/snapshot-name.js';
import type { HeldSnapshot } from '../datastore.js';
import { lockSnapshot } from './begin-backup.js';
import { LockStack } from './locks.js';
import { permissionOf } from './permission.js';
import { serverPaths, type ServerPaths } from './server.js';
import { findWritable } from './writable-store.js';

/** For who goes on to write: LOCKED, NOT_FOUND, MAINTENANCE, NO_PERMISSION. */
export async function holdLocalSnapshot(
  location: string,
  paths: ServerPaths,
  snapshot: SnapshotName,
  warn: (line: string) => void,
): Promise<HeldSnapshot> {
  const locks = new LockStack();
  try {
    await lockSnapshot(await findWritable(location, paths, warn), snapshot, 'shared', locks);
    await checkFinished(join(location, snapshotPath(snapshot)));
    return locks;
  } catch (error) {
    locks.release();
    throw permissionOf(error);
  }
}

/**
 * For a server: of an unfinished snapshot, too. Where nothing may be written, so that nobody can remove it either, nothing is locked.
 * LOCKED: it is being removed or written; NOT_FOUND; MAINTENANCE in another mode than `read-only`.
 */
export async function holdForReading(
  location: string,
  snapshot: SnapshotName,
  warn: (line: string) => void,
  paths: ServerPaths = serverPaths,
): Promise<HeldSnapshot> {
  const path = join(location, snapshotPath(snapshot));
  const locks = new LockStack();
  try {
    await lockSnapshot(await findWritable(location, paths, warn, 'reading'), snapshot, 'shared', locks);
  } catch (error) {
    if (!['NO_PERMISSION', 'EACCES', 'EPERM', 'EROFS'].includes(codeOf(error) ?? '')) throw error;
    warn(`${path} is read without a lock: ${messageOf(error)}`);
  }
  if (await isDirectory(path)) return locks;
  locks.release();
  throw new StoreError('NOT_FOUND', `there is no snapshot ${path}`);
}

async function isDirectory(path: string): Promise<boolean> {
  return await lstat(path).then(
    (facts) => facts.isDirectory(),
    () => false,
  );
}

async function checkFinished(directory: string): Promise<void> {
  try {
    await lstat(join(directory, manifestFileName));
  } catch (cause) {
    if (codeOf(cause) !== 'ENOENT' && codeOf(cause) !== 'ENOTDIR') throw cause;
    throw new StoreError('NOT_FOUND', `${directory} is no finished snapshot any more`, { cause });
  }
}
