/** Removes a directory so that it is there whole or not at all, whenever the program is killed. */
import { rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { codeOf, messageOf } from '../../errors.js';
import { hiddenName } from '../../format/temp-name.js';
import { renameNew, syncDirectory } from './atomic-file.js';
import type { WritableStore } from './writable-store.js';

const attemptsMax = 16;

/**
 * The caller holds its lock, so that the hidden directory, which it is first, is nobody's leftover meanwhile. Its being gone is durable before
 * its chunks can be collected. What could not be deleted is only warned of: the next backup there does it.
 */
export async function discardDirectory({ syncLevel, warn }: WritableStore, directory: string): Promise<void> {
  const hidden = hide(directory);
  if (syncLevel !== 'none') await syncDirectory(dirname(directory));
  try {
    await rm(hidden, { recursive: true, force: true });
  } catch (error) {
    warn(`${directory} is removed, but what was in it could not be deleted yet (${hidden}): ${messageOf(error)}`);
  }
}

function hide(directory: string): string {
  for (let attempt = 1; ; attempt++) {
    const hidden = join(dirname(directory), hiddenName());
    try {
      renameNew(directory, hidden);
      return hidden;
    } catch (error) {
      if (codeOf(error) !== 'EEXIST' || attempt === attemptsMax) throw error;
    }
  }
}
