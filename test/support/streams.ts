/** Streams over chunks: of bytes that are cut into chunks in a scratch directory, and of indexes in a store. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import { ChunkStream } from '../../src/archive/chunk-stream.js';
import { DamageLog } from '../../src/archive/damage.js';
import { ChunkCache } from '../../src/codec/chunk-cache.js';
import type { EncryptionKey } from '../../src/crypto/encryption-key.js';
import type { ChunkIndex } from '../../src/format/chunk-index.js';
import { chunkPath } from '../../src/format/chunk-path.js';
import { encodeDynamicIndex, parseDynamicIndex } from '../../src/format/dynamic-index.js';
import { encodeFixedIndex, parseFixedIndex } from '../../src/format/fixed-index.js';
import { writeChunk } from './chunks.js';
import { scratchDirectory } from './scratch.js';

const uuid = Buffer.alloc(16, 1);

export interface Shelf {
  readonly directory: string;
  readonly cache: ChunkCache;
  readonly damage: DamageLog;
  /** What the damage log said. */
  readonly log: string[];
}

/** A cache over the chunks in `directory`, closed when the test file ends. */
export function newShelf(options: { directory?: string; cacheBytesMax?: number; keys?: readonly EncryptionKey[]; workers?: number } = {}): Shelf {
  const { directory = scratchDirectory(), cacheBytesMax = 64 << 20, keys = [], ...others } = options;
  const cache = new ChunkCache({
    bytesMax: cacheBytesMax,
    keys: keys.map(({ encKey }) => encKey),
    source: { kind: 'files', pathOf: (digest) => join(directory, chunkPath(digest)) },
    ...others,
  });
  const log: string[] = [];
  afterAll(() => cache.close());
  return { directory, cache, log, damage: new DamageLog((line) => log.push(line)) };
}

export interface CutOptions {
  /** Bytes of the chunks in turn, the last one of them for all that follow. */
  readonly cuts?: readonly number[];
  readonly key?: EncryptionKey | undefined;
}

/** Writes the chunks of `bytes` and gives the file of an index of them. */
export function dynamicIndexOf(directory: string, bytes: Buffer, { cuts = [1 << 20], key }: CutOptions = {}): Buffer {
  const ends: number[] = [];
  const digests: Buffer[] = [];
  for (let start = 0; start < bytes.length; ) {
    const end = Math.min(start + (cuts[ends.length] ?? cuts.at(-1) ?? bytes.length), bytes.length);
    digests.push(writeChunk(directory, bytes.subarray(start, end), { key }));
    ends.push(end);
    start = end;
  }
  return encodeDynamicIndex({ uuid, ctime: 0, ends, digests: Buffer.concat(digests) });
}

export function fixedIndexOf(directory: string, bytes: Buffer, { chunkSize = 1 << 22, key }: { chunkSize?: number; key?: EncryptionKey | undefined } = {}): Buffer {
  const digests: Buffer[] = [];
  for (let start = 0; start < bytes.length; start += chunkSize) {
    digests.push(writeChunk(directory, bytes.subarray(start, start + chunkSize), { key }));
  }
  return encodeFixedIndex({ uuid, ctime: 0, size: bytes.length, chunkSize, digests: Buffer.concat(digests) });
}

export interface StreamOptions {
  readonly path?: string;
  readonly key?: { readonly key: EncryptionKey; readonly number: number } | undefined;
  readonly salvage?: boolean;
}

export function streamOver(shelf: Shelf, index: ChunkIndex, { path = 'stream', key, salvage = false }: StreamOptions = {}): ChunkStream {
  const { cache, damage } = shelf;
  return new ChunkStream({ path, index, cache, key, damage, salvage });
}

/** The bytes as the stream of a dynamic index. */
export function streamOf(shelf: Shelf, bytes: Buffer, options: CutOptions & StreamOptionsWithoutKey = {}): ChunkStream {
  const { key, cuts, ...others } = options;
  const index = parseDynamicIndex(dynamicIndexOf(shelf.directory, bytes, { ...(cuts && { cuts }), key }));
  return streamOver(shelf, index, { ...others, key: key && { key, number: 0 } });
}

type StreamOptionsWithoutKey = Omit<StreamOptions, 'key'>;

/** The stream of an index file in a store, for example `ct/113/2021-05-24T16:41:32Z/root.pxar.didx`. */
export function storedStream(shelf: Shelf, path: string, options: StreamOptions = {}): ChunkStream {
  const bytes = readFileSync(join(shelf.directory, path));
  return streamOver(shelf, path.endsWith('.fidx') ? parseFixedIndex(bytes) : parseDynamicIndex(bytes), { path, ...options });
}

/** All bytes of [offset, offset + length), copied. */
export async function bytesOf(stream: ChunkStream, offset = 0, length = stream.size): Promise<Buffer> {
  return Buffer.concat(await stream.pieces(offset, length));
}
