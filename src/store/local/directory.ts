/** Directories and files of a store on a local disk, with system errors turned into what they mean for a store. */
import { constants } from 'node:fs';
import { lstat, open, readdir } from 'node:fs/promises';
import { FormatError, StoreError, codeOf, messageOf } from '../../errors.js';

/** Names of the directories in `path`. Links are not followed, here as by a server; entries that are no directory are left out. */
export async function subdirectories(path: string): Promise<string[]> {
  const facts = await translated(path, () => lstat(path));
  if (!facts.isDirectory()) throw new StoreError('NOT_FOUND', `${path} is not a directory`);
  const entries = await translated(path, () => readdir(path, { withFileTypes: true }));
  return entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
}

/** As subdirectories(), but nothing where there is no such directory or where it may not be read. */
export async function subdirectoriesIfAny(path: string): Promise<string[]> {
  try {
    return await subdirectories(path);
  } catch (error) {
    if (codeOf(error) === 'NOT_FOUND' || codeOf(error) === 'NO_PERMISSION') return [];
    throw error;
  }
}

/** A whole file of at most `bytesMax` bytes. NOT_FOUND for links and what else is no file, which might not even end. */
export async function readWhole(path: string, bytesMax: number): Promise<Buffer> {
  const handle = await translated(path, () => open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK));
  try {
    const facts = await handle.stat();
    if (!facts.isFile()) throw new StoreError('NOT_FOUND', `${path} is not a file`);
    const { size } = facts;
    if (size > bytesMax) throw new FormatError('LIMIT_EXCEEDED', `${path} has ${size} bytes, more than the ${bytesMax} that it may have`);
    return await translated(path, () => handle.readFile());
  } finally {
    await handle.close();
  }
}

/** Runs a system call on `path`; NOT_FOUND and NO_PERMISSION where that is what its error means, else the error itself. */
export async function translated<T>(path: string, call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (cause) {
    const code = codeOf(cause);
    if (code === 'ENOENT' || code === 'ENOTDIR') throw new StoreError('NOT_FOUND', `${path} does not exist`, { cause });
    if (code === 'ELOOP') throw new StoreError('NOT_FOUND', `${path} is a symbolic link: those are not followed`, { cause });
    if (code === 'EACCES' || code === 'EPERM') throw new StoreError('NO_PERMISSION', `${path} may not be read: ${messageOf(cause)}`, { cause });
    throw cause;
  }
}
