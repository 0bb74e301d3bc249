/** Files with keys, as they are written: never over another one, readable by nobody else. */
import { randomBytes } from 'node:crypto';
import { lstat, open, realpath, rename, stat, unlink, type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import { StoreError, codeOf } from '../../errors.js';

export const secretMode = 0o600;
export const publicMode = 0o644;

/** EXISTS if there is something at `path`, whatever it is: before anybody types a password for nothing. */
export async function refuseExisting(path: string, what: string): Promise<void> {
  try {
    await lstat(path);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return;
    throw error;
  }
  throw exists(path, what);
}

/** EXISTS if there is something; NOT_FOUND if its directory is missing; NO_PERMISSION. */
export async function writeNewFile(path: string, content: Uint8Array | string, what: string, mode = secretMode): Promise<void> {
  await writeExclusive(path, content, { path, what, mode });
  await syncDirectoryOf(path);
}

/** Replaces the file that is at `path`, or that a link there names; it keeps its owner. */
export async function replaceFile(path: string, content: Uint8Array, what: string): Promise<void> {
  const target = await realpath(path);
  const { uid, gid } = await stat(target);
  const temporary = `${target}.${randomBytes(4).toString('hex')}.tmp`;
  await writeExclusive(temporary, content, { path, what, mode: secretMode, owner: { uid, gid } });
  try {
    await rename(temporary, target);
  } catch (error) {
    await unlink(temporary);
    throw error;
  }
  await syncDirectoryOf(target);
}

interface WriteOptions {
  /** As a person knows it. */
  readonly path: string;
  readonly what: string;
  readonly mode: number;
  readonly owner?: { readonly uid: number; readonly gid: number };
}

/** Nothing of it is left when it fails. */
async function writeExclusive(place: string, content: Uint8Array | string, options: WriteOptions): Promise<void> {
  const file = await openNew(place, options);
  try {
    try {
      const { mode, owner } = options;
      if (owner !== undefined && process.getuid?.() === 0) await file.chown(owner.uid, owner.gid);
      await file.chmod(mode);
      await file.writeFile(content);
      await file.sync();
    } finally {
      await file.close();
    }
  } catch (error) {
    await unlink(place);
    throw error;
  }
}

async function openNew(place: string, { path, what }: WriteOptions): Promise<FileHandle> {
  try {
    return await open(place, 'wx', secretMode);
  } catch (cause) {
    if (codeOf(cause) === 'EEXIST') throw exists(path, what);
    if (codeOf(cause) === 'ENOENT') throw new StoreError('NOT_FOUND', `${what} ${path} can't be written: there is no directory ${dirname(path)}`, { cause });
    if (codeOf(cause) === 'EACCES') throw new StoreError('NO_PERMISSION', `${what} ${path} can't be written: no permission`, { cause });
    throw cause;
  }
}

async function syncDirectoryOf(path: string): Promise<void> {
  const directory = await open(dirname(path), 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

function exists(path: string, what: string): StoreError {
  return new StoreError('EXISTS', `${what} ${path} exists and is not overwritten: what was encrypted by it could never be read again`);
}
