/**
 * The bytes that an index describes, at any offset. Chunks come from the cache; zero chunks cost nothing; what a
 * reader will need next is decoded ahead. A chunk that can't be had fails exactly the reads that need it.
 */
import type { ChunkCache, ChunkRef } from '../codec/chunk-cache.js';
import type { EncryptionKey } from '../crypto/encryption-key.js';
import { FileError } from '../errors.js';
import { chunkBytesMax } from '../format/blob.js';
import type { ChunkIndex } from '../format/chunk-index.js';
import type { MaybePromise } from '../vfs/file-system.js';
import { andThen } from '../vfs/maybe.js';
import { isPassing, type ByteSpan, type ChunkUser, type DamageLog } from './damage.js';
import { ReadAhead } from './read-ahead.js';
import { zeroDigest, zeros } from './zero-chunk.js';

export interface ChunkStreamOptions {
  /** Path in the tree, for messages. */
  readonly path: string;
  readonly index: ChunkIndex;
  readonly cache: ChunkCache;
  /** Of an encrypted archive: the key and its number in the cache. */
  readonly key: { readonly key: EncryptionKey; readonly number: number } | undefined;
  readonly damage: DamageLog;
  /** Zeros in place of what is lost. */
  readonly salvage: boolean;
}

const exactBytesMax = 1 << 16;

export class ChunkStream implements ChunkUser {
  readonly path: string;
  readonly #index: ChunkIndex;
  readonly #cache: ChunkCache;
  readonly #keyNumber: number;
  readonly #damage: DamageLog;
  readonly #salvage: boolean;
  readonly #readAhead: ReadAhead;
  /** One bit a chunk: it holds nothing but zeros. */
  readonly #zero: Uint8Array;
  readonly #lost = new Set<number>();

  constructor(options: ChunkStreamOptions) {
    this.path = options.path;
    this.#index = options.index;
    this.#cache = options.cache;
    this.#keyNumber = options.key?.number ?? -1;
    this.#damage = options.damage;
    this.#salvage = options.salvage;
    this.#zero = zeroChunks(options.index, options.key?.key);
    this.#readAhead = new ReadAhead(
      { count: options.index.count, bytesOf: (n) => this.#lengthOf(n), prefetch: (n) => this.prefetch(n) },
      () => options.cache.readAheadBytesMax,
    );
    this.#damage.register(this);
  }

  get size(): number {
    return this.#index.size;
  }

  /** Number of the chunk that holds the byte at `offset`. */
  chunkAt(offset: number): number {
    return this.#index.chunkAt(offset);
  }

  /** Bytes [offset, offset + length), fewer only at the end. Views: valid in this turn of the event loop. */
  pieces(offset: number, length: number): MaybePromise<readonly Uint8Array[]> {
    const end = Math.min(offset + length, this.size);
    if (offset >= end) return [];
    const first = this.#index.chunkAt(offset);
    const last = end <= this.#index.endOf(first) ? first : this.#index.chunkAt(end - 1);
    if (first === last) {
      const start = this.#index.startOf(first);
      return andThen(this.#chunk(first), (chunk) => [chunk.subarray(offset - start, end - start)]);
    }
    const parts: MaybePromise<Buffer>[] = [];
    for (let n = first; n <= last; n++) parts.push(this.#part(n, offset, end));
    if (parts.every((part) => Buffer.isBuffer(part))) return parts;
    // Those that are at hand now may be gone when the others arrive.
    return Promise.all(parts.map((part) => Promise.resolve(part instanceof Promise ? part.then(copyOf) : copyOf(part))));
  }

  /**
   * Contiguous bytes from `position` on: at least `bytesMin` of them unless the stream ends before, and on to the end of the
   * chunk that has the last of those, but not into a chunk that they do not need.
   */
  window(position: number, bytesMin: number): MaybePromise<Buffer> {
    if (position < 0 || position >= this.size) return Buffer.alloc(0);
    const first = this.#index.chunkAt(position);
    const start = this.#index.startOf(first);
    if (position + bytesMin <= this.#index.endOf(first)) return andThen(this.#chunk(first), (chunk) => chunk.subarray(position - start));
    const end = this.#index.endOf(this.#index.chunkAt(Math.min(position + bytesMin, this.size) - 1));
    return andThen(this.pieces(position, end - position), (pieces) => Buffer.concat(pieces));
  }

  /** Decodes chunk `n` ahead of use; false if too much is queued already. */
  prefetch(n: number): boolean {
    return this.#isZero(n) || this.#lost.has(n) || this.#cache.prefetch(this.#refOf(n));
  }

  /** Next data (or hole) at or after `offset` within [0, end), where the end counts as a hole. Throws NO_SUCH_ADDRESS. */
  seek(offset: number, what: 'data' | 'hole', end = this.size): number {
    if (offset < 0 || offset >= end) throw noSuchAddress(offset);
    const wanted = what === 'hole';
    for (let n = this.#index.chunkAt(offset); n < this.#index.count && this.#index.startOf(n) < end; n++) {
      if (this.#isZero(n) === wanted) return Math.max(offset, this.#index.startOf(n));
    }
    if (wanted) return end;
    throw noSuchAddress(offset);
  }

  /** Bytes of [start, end) that are not in zero chunks. */
  allocatedBytes(start: number, end: number): number {
    let bytes = 0;
    if (start >= end) return 0;
    for (let n = this.#index.chunkAt(start); n < this.#index.count && this.#index.startOf(n) < end; n++) {
      if (!this.#isZero(n)) bytes += Math.min(end, this.#index.endOf(n)) - Math.max(start, this.#index.startOf(n));
    }
    return bytes;
  }

  rangesOf(digest: Buffer): readonly ByteSpan[] {
    return this.#index.chunksOf(digest).map((n) => ({ start: this.#index.startOf(n), end: this.#index.endOf(n) }));
  }

  /** Parts of [start, end) that a read found lost so far. */
  lostRanges(start: number, end: number): ByteSpan[] {
    return [...this.#lost]
      .map((n) => ({ start: Math.max(start, this.#index.startOf(n)), end: Math.min(end, this.#index.endOf(n)) }))
      .filter((span) => span.start < span.end)
      .sort((a, b) => a.start - b.start);
  }

  close(): void {
    this.#damage.unregister(this);
  }

  #part(n: number, offset: number, end: number): MaybePromise<Buffer> {
    const start = this.#index.startOf(n);
    return andThen(this.#chunk(n), (chunk) => chunk.subarray(Math.max(offset - start, 0), Math.min(end - start, chunk.length)));
  }

  #chunk(n: number): MaybePromise<Buffer> {
    this.#readAhead.note(n);
    if (this.#isZero(n)) return zeros.subarray(0, this.#lengthOf(n));
    const ref = this.#refOf(n);
    return this.#cache.get(ref) ?? this.#load(n, ref);
  }

  async #load(n: number, ref: ChunkRef): Promise<Buffer> {
    try {
      const chunk = await this.#cache.load(ref);
      this.#lost.delete(n);
      return chunk;
    } catch (error) {
      if (isPassing(error)) throw error;
      this.#lost.add(n);
      this.#damage.reportChunk(ref.digest, error, this);
      if (this.#salvage) return zeros.subarray(0, ref.length);
      throw error;
    }
  }

  #refOf(n: number): ChunkRef {
    return { digest: this.#index.digestAt(n), length: this.#lengthOf(n), keyNumber: this.#keyNumber, origin: this.#index };
  }

  #lengthOf(n: number): number {
    return this.#index.endOf(n) - this.#index.startOf(n);
  }

  #isZero(n: number): boolean {
    return ((this.#zero[n >>> 3] ?? 0) & (1 << (n & 7))) !== 0;
  }
}

/**
 * Which chunks have the digest of zeros of their length. Only lengths that runs of zeros have are looked for: the largest
 * one of a fixed index and its tail, the largest that a dynamic index can have.
 */
function zeroChunks(index: ChunkIndex, key: EncryptionKey | undefined): Uint8Array {
  const bits = new Uint8Array(Math.ceil(index.count / 8));
  const lengthOf = (n: number): number => index.endOf(n) - index.startOf(n);
  const candidates = index.kind === 'fixed' ? new Set([lengthOf(0), lengthOf(index.count - 1)]) : new Set([chunkBytesMax]);
  for (const length of candidates) {
    if (!hasLength(index, length)) continue;
    for (const n of index.chunksOf(zeroDigest(length, key))) {
      if (lengthOf(n) === length) bits[n >>> 3] = (bits[n >>> 3] ?? 0) | (1 << (n & 7));
    }
  }
  return bits;
}

/** The digest of zeros of a length takes a millisecond for each MiB: it is worked out only where it may occur. */
function hasLength(index: ChunkIndex, length: number): boolean {
  if (index.kind === 'fixed') return true;
  for (let n = 0; n < index.count; n++) if (index.endOf(n) - index.startOf(n) === length) return true;
  return false;
}

/**
 * How long a window must be when one of `windowBytes` was too short for what needs `needBytes`. Decoding starts over each time, so that
 * what is very long gets more than it asks for.
 */
export function longerWindow(needBytes: number, windowBytes: number): number {
  return windowBytes < exactBytesMax ? needBytes : Math.max(needBytes, windowBytes * 2);
}

function copyOf(bytes: Buffer): Buffer {
  return Buffer.from(bytes);
}

function noSuchAddress(offset: number): FileError {
  return new FileError('NO_SUCH_ADDRESS', `nothing of that kind at or after offset ${offset}`);
}
