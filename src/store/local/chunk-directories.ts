/** Format: datastore, section 1.1. The 65,536 directories that chunks lie in. */
import { chmodSync, lchownSync, mkdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { codeOf } from '../../errors.js';
import type { StoreOwner } from './ownership.js';

export const chunkDirectoryMode = 0o750;

const count = 1 << 16;
/** Between them, other things get their turn. */
const madeAtOnce = 256;

/** Makes `0000` to `ffff` in `directory`. */
export async function makeChunkDirectories(directory: string, owner: StoreOwner): Promise<void> {
  for (let first = 0; first < count; first += madeAtOnce) {
    for (let n = first; n < first + madeAtOnce; n++) makeChunkDirectory(join(directory, n.toString(16).padStart(4, '0')), owner);
    await setImmediate();
  }
}

/** What is there already is given mode and owner. */
export function makeChunkDirectory(path: string, owner: StoreOwner): void {
  try {
    mkdirSync(path, chunkDirectoryMode);
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw error;
  }
  const { mode, uid, gid } = statSync(path);
  if ((mode & 0o7777) !== chunkDirectoryMode) chmodSync(path, chunkDirectoryMode);
  if (uid !== owner.uid || gid !== owner.gid) lchownSync(path, owner.uid, owner.gid);
}
