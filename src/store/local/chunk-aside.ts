/** A damaged chunk gets another name, so that the next backup stores it anew. Format: datastore, section 9 (6). */
import { rename } from 'node:fs/promises';
import { join } from 'node:path';
import { codeOf } from '../../errors.js';
import { chunkPath } from '../../format/chunk-path.js';
import { renameNew } from './atomic-file.js';

const numberMax = 9;

/** Its new path; undefined if it is gone. The last name is taken again and again. */
export async function setChunkAside(location: string, digest: Buffer): Promise<string | undefined> {
  const path = join(location, chunkPath(digest));
  try {
    for (let number = 0; number < numberMax; number++) {
      const aside = `${path}.${number}.bad`;
      if (isRenamed(path, aside)) return aside;
    }
    await rename(path, `${path}.${numberMax}.bad`);
    return `${path}.${numberMax}.bad`;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

function isRenamed(path: string, aside: string): boolean {
  try {
    renameNew(path, aside);
    return true;
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false;
    throw error;
  }
}
