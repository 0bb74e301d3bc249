/** Format: datastore, section 7.3. Whether a file system keeps the access times that garbage collection goes by. */
import { stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { encodeBlob } from '../../codec/blob-encoder.js';
import { chunkDigest } from '../../crypto/chunk-digest.js';
import { codeOf } from '../../errors.js';
import { touchAccessTime } from '../../os/access-time.js';
import type { Zstd } from '../../os/zstd/zstd.js';
import { writeWhole } from './atomic-file.js';
import { makeChunkDirectory } from './chunk-directories.js';
import type { StoreOwner } from './ownership.js';

const zeroChunkBytes = 4 << 20;

/** The chunk that a server makes for this, in every new datastore. Gives its path. */
export async function writeZeroChunk(chunksDirectory: string, zstd: Zstd, owner: StoreOwner): Promise<string> {
  const zeros = Buffer.alloc(zeroChunkBytes);
  const name = chunkDigest(zeros).toString('hex');
  const path = join(chunksDirectory, name.slice(0, 4), name);
  makeChunkDirectory(dirname(path), owner);
  try {
    await writeWhole(dirname(path), basename(path), encodeBlob(zeros, { zstd }), { owner, durable: false, noReplace: true });
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw error;
  }
  return path;
}

/**
 * Touches a file that was last touched longer ago than time stamps are apart. Gives the time that the file system, whose clock may be another one
 * than the host's, took for now, in seconds; undefined if it keeps no access times.
 */
export async function touchedNow(path: string): Promise<number | undefined> {
  const before = await stat(path, { bigint: true });
  touchAccessTime(path);
  const { atimeNs } = await stat(path, { bigint: true });
  return atimeNs > before.atimeNs ? Number(atimeNs) / 1e9 : undefined;
}
