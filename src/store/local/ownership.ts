/** Format: datastore, section 1.1. What is made in a datastore belongs to whom the datastore belongs to, with the modes that a server uses. */
import { constants } from 'node:fs';
import { access, chmod, lchown, mkdir, stat, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { StoreError, codeOf } from '../../errors.js';

export interface StoreOwner {
  readonly uid: number;
  readonly gid: number;
}

export const fileMode = 0o644;
export const directoryMode = 0o755;

/**
 * Whom to give what is made; undefined if it is theirs anyway. NO_PERMISSION if this user cannot add chunks. A chunk that the
 * datastore's owner cannot touch makes a server's garbage collection fail, which is told.
 */
export async function ownerToGive(location: string, warn: (line: string) => void): Promise<StoreOwner | undefined> {
  const { uid, gid } = await stat(join(location, '.chunks'));
  const [user, group] = [process.geteuid?.(), process.getegid?.()];
  if (user === 0) return uid === user && gid === group ? undefined : { uid, gid };
  await checkWritable(location, uid);
  if (uid !== user) warn(`${location} belongs to user ${uid}: what you write will be yours, and a server cannot collect garbage in it then`);
  return undefined;
}

async function checkWritable(location: string, uid: number): Promise<void> {
  for (const directory of [location, join(location, '.chunks/0000')]) {
    try {
      await access(directory, constants.R_OK | constants.W_OK | constants.X_OK);
    } catch (cause) {
      if (codeOf(cause) === 'ENOENT') continue;
      if (codeOf(cause) !== 'EACCES') throw cause;
      const hint = `run this as root or as user ${uid}, to whom the datastore belongs`;
      throw new StoreError('NO_PERMISSION', `${directory} may not be written by you: ${hint}`, { cause });
    }
  }
}

/** Whatever the umask is. EEXIST if there is something. */
export async function makeDirectory(path: string, owner: StoreOwner | undefined, mode = directoryMode): Promise<void> {
  await mkdir(path, mode);
  if (((await stat(path)).mode & 0o7777) !== mode) await chmod(path, mode);
  if (owner !== undefined) await lchown(path, owner.uid, owner.gid);
}

/** As makeDirectory(), but for a path that may be there and whose parents may not. */
export async function ensureDirectory(path: string, owner: StoreOwner | undefined): Promise<void> {
  try {
    await makeDirectory(path, owner);
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return;
    if (codeOf(error) !== 'ENOENT') throw error;
    await ensureDirectory(join(path, '..'), owner);
    await ensureDirectory(path, owner);
  }
}

export async function giveFile(file: FileHandle, owner: StoreOwner | undefined, mode = fileMode): Promise<void> {
  await file.chmod(mode);
  if (owner !== undefined) await file.chown(owner.uid, owner.gid);
}
