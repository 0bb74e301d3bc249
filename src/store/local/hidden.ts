/**
 * Directories in which something is made before it gets its name. No listing and no server looks into them. Whoever makes one holds
 * a lock on it, so that what a killed program left behind can be told from what is in use.
 */
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { StoreError, codeOf, messageOf } from '../../errors.js';
import { hiddenName, isHiddenName } from '../../format/temp-name.js';
import { lockDirectory, type HeldLock } from './locks.js';
import { makeDirectory, type StoreOwner } from './ownership.js';

const attemptsMax = 16;

/** A new one in `parent`, locked. */
export async function makeHidden(parent: string, owner: StoreOwner | undefined): Promise<{ path: string; lock: HeldLock }> {
  for (let attempt = 0; attempt < attemptsMax; attempt++) {
    const path = join(parent, hiddenName());
    try {
      await makeDirectory(path, owner);
      const lock = lockDirectory(path, 'exclusive');
      if (lock !== undefined) return { path, lock };
    } catch (error) {
      // Another program may take it for a leftover until it is locked.
      if (codeOf(error) !== 'EEXIST' && codeOf(error) !== 'ENOENT') throw error;
      if (codeOf(error) === 'ENOENT' && attempt + 1 === attemptsMax) throw error;
    }
  }
  throw new StoreError('LOCKED', `no directory could be made in ${parent}: others work in it; try again`);
}

/** Removes those in `parent` that nobody has locked. What cannot be removed is told. */
export async function removeLeftovers(parent: string, warn: (line: string) => void): Promise<void> {
  const entries = await readdir(parent, { withFileTypes: true });
  for (const entry of entries) {
    if (!entry.isDirectory() || !isHiddenName(entry.name)) continue;
    const path = join(parent, entry.name);
    try {
      await removeIfFree(path);
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') warn(`${path}, left by an interrupted backup, could not be removed: ${messageOf(error)}`);
    }
  }
}

async function removeIfFree(path: string): Promise<void> {
  const lock = lockDirectory(path, 'exclusive');
  if (lock === undefined) return;
  try {
    await rm(path, { recursive: true, force: true });
  } finally {
    lock.release();
  }
}
