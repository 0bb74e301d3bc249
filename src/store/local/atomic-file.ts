/** Format: datastore, sections 1.6 and 4.4. Files that are there whole or not at all. */
import { open, rename, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { AT_FDCWD, renameAt } from '../../os/directory-calls.js';
import { replacementTempName } from '../../format/temp-name.js';
import { fileMode, giveFile, type StoreOwner } from './ownership.js';

export interface FileOptions {
  readonly owner: StoreOwner | undefined;
  /** Whether bytes and name survive a power cut when it is done. */
  readonly durable: boolean;
  readonly mode?: number;
  /** Undefined: a random one. */
  readonly tempName?: string;
  /** EEXIST instead of replacing. */
  readonly noReplace?: boolean;
}

/** Writes `directory/name` through a temporary file that no failure leaves behind. */
export async function writeWhole(directory: string, name: string, bytes: Uint8Array, options: FileOptions): Promise<void> {
  const path = join(directory, name);
  const temporary = join(directory, options.tempName ?? replacementTempName(name));
  const file = await open(temporary, 'wx', 0o600);
  try {
    try {
      await giveFile(file, options.owner, options.mode ?? fileMode);
      await file.writeFile(bytes);
      if (options.durable) await file.sync();
    } finally {
      await file.close();
    }
    if (options.noReplace === true) renameNew(temporary, path);
    else await rename(temporary, path);
  } catch (error) {
    await unlink(temporary).catch(() => undefined);
    throw error;
  }
  if (options.durable) await syncDirectory(directory);
}

/** EEXIST if there is something at `to`, even an empty directory. */
export function renameNew(from: string, to: string): void {
  renameAt(AT_FDCWD, Buffer.from(from), AT_FDCWD, Buffer.from(to), { noReplace: true });
}

/** Its names survive a power cut from now on. */
export async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

export function syncParent(path: string): Promise<void> {
  return syncDirectory(dirname(path));
}
