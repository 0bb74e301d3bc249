/**
 * The chunks of one image on their way into the store: many at once, in rooms of the target's memory, their digests in the order of
 * the image. Nothing is hashed here.
 */
import { availableParallelism } from 'node:os';
import { zeros } from '../archive/zero-chunk.js';
import type { Room } from '../codec/content-memory.js';
import { FormatError, StoreError } from '../errors.js';
import { digestBytes, indexBytesMax, indexHeaderBytes } from '../format/chunk-index.js';
import type { IndexTarget, StoredChunk } from '../store/backup-session.js';

export const imageChunkBytes = 4 << 20;
export const imageChunksMax = Math.floor((indexBytesMax - indexHeaderBytes) / digestBytes);

/** More do not read faster, and the threads that read are few. */
const readsMax = 6;
/** Beside those that are read, so that no thread that stores waits. More would only take more memory, whose pages cost time to come by. */
const chunksPerThread = 3;

/** Live; all in bytes but for `chunks`. */
export interface ImageFigures {
  /** Of the image, read or known, so far. */
  bytes: number;
  bytesRead: number;
  /** In whole chunks of zeros, holes among them, apart from `bytesUnchanged`. */
  sparseBytes: number;
  /** Of chunks that were not in the datastore before, and what their files take. */
  bytesAdded: number;
  encodedBytesAdded: number;
  /** Of chunks that were: all of `bytes` but for `bytesAdded`. */
  bytesReused: number;
  /** Taken from the previous index without a look at the source. */
  bytesUnchanged: number;
  chunks: number;
}

export interface ImageChunksOptions {
  readonly target: IndexTarget;
  readonly signal: AbortSignal | undefined;
  readonly progress: ((figures: Readonly<ImageFigures>) => void) | undefined;
}

export class ImageChunks {
  readonly figures: ImageFigures = {
    bytes: 0,
    bytesRead: 0,
    sparseBytes: 0,
    bytesAdded: 0,
    encodedBytesAdded: 0,
    bytesReused: 0,
    bytesUnchanged: 0,
    chunks: 0,
  };
  readonly #options: ImageChunksOptions;
  readonly #roomsMax: number;
  readonly #running = new Set<Promise<void>>();
  /** At least as long as what is known; grows where the size of the image is not known. */
  #digests: Buffer;
  #reading = 0;
  #failure: { readonly error: unknown } | undefined;
  #zeroChunk: Promise<StoredChunk> | undefined;
  /** Called when a chunk was read or stored. */
  #wake: () => void = () => undefined;

  /** `count`: chunks that are expected. LIMIT_EXCEEDED if an index can't hold them. */
  constructor(count: number, options: ImageChunksOptions) {
    this.#options = options;
    const rooms = Math.floor(options.target.memory.memory.byteLength / 2 / imageChunkBytes);
    this.#roomsMax = Math.max(Math.min(rooms, readsMax + chunksPerThread * availableParallelism()), 1);
    this.#digests = Buffer.alloc(0);
    this.#reserve(count);
  }

  /** Throws what stopped any of the chunks, or INTERRUPTED. */
  check(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
    const { signal } = this.#options;
    if (signal?.aborted === true) throw new StoreError('INTERRUPTED', 'the backup of the image was interrupted', { cause: signal.reason });
  }

  /** Memory for one more chunk, once there is some and not too many are being read. */
  async room(): Promise<Room> {
    while (this.#running.size >= this.#roomsMax || this.#reading >= readsMax) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    this.check();
    const { memory } = this.#options.target;
    const room = await memory.take(imageChunkBytes);
    try {
      this.check();
    } catch (error) {
      memory.give(room);
      throw error;
    }
    return room;
  }

  view(room: Room, length: number): Buffer {
    return this.#options.target.memory.view(room, length);
  }

  giveBack(room: Room): void {
    this.#options.target.memory.give(room);
  }

  /** Stores what `fill` puts into the first `length` bytes of a room, and gives the room back. */
  put(chunk: number, room: Room, length: number, fill?: (content: Buffer) => Promise<void>): void {
    this.#reserve(chunk + 1);
    this.#run(async () => {
      try {
        const content = this.view(room, length);
        if (fill !== undefined) await this.#read(content, fill);
        this.figures.bytesRead += length;
        await this.#store(chunk, content);
      } finally {
        this.giveBack(room);
      }
    });
  }

  /** The chunks [first, end) are holes. */
  async putZeros(first: number, end: number): Promise<void> {
    this.#reserve(end);
    const isFirst = this.#zeroChunk === undefined;
    this.#zeroChunk ??= this.#options.target.putZeros(imageChunkBytes);
    const stored = await this.#zeroChunk;
    this.#digests.fill(stored.digest, first * digestBytes, end * digestBytes);
    const bytes = (end - first) * imageChunkBytes;
    this.figures.sparseBytes += bytes;
    this.figures.chunks += end - first;
    this.#count(bytes, isFirst && stored.added ? imageChunkBytes : 0, isFirst ? stored.encodedBytes : 0);
  }

  /** A chunk as the previous index has it, which is in the store. */
  reuse(chunk: number, digest: Buffer, length: number): void {
    digest.copy(this.#digests, chunk * digestBytes);
    this.figures.bytesUnchanged += length;
    this.figures.chunks++;
    this.#count(length, 0, 0);
  }

  /** Resolves when nothing runs any more; rejects with what stopped a chunk. */
  async settled(): Promise<void> {
    await Promise.all(this.#running);
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  /** Of all chunks, in order. */
  digests(count: number): Buffer {
    return this.#digests.subarray(0, count * digestBytes);
  }

  async #read(content: Buffer, fill: (content: Buffer) => Promise<void>): Promise<void> {
    this.#reading++;
    try {
      await fill(content);
    } finally {
      this.#reading--;
      this.#wake();
    }
  }

  async #store(chunk: number, content: Buffer): Promise<void> {
    this.check();
    const isZero = content.length === imageChunkBytes && content.equals(zeros.subarray(0, imageChunkBytes));
    if (isZero) return await this.putZeros(chunk, chunk + 1);
    const stored = await this.#options.target.putChunk(content);
    stored.digest.copy(this.#digests, chunk * digestBytes);
    this.figures.chunks++;
    this.#count(content.length, stored.added ? content.length : 0, stored.encodedBytes);
  }

  #count(bytes: number, bytesAdded: number, encodedBytesAdded: number): void {
    const { figures } = this;
    figures.bytes += bytes;
    figures.bytesAdded += bytesAdded;
    figures.encodedBytesAdded += encodedBytesAdded;
    figures.bytesReused += bytes - bytesAdded;
    this.#options.progress?.(figures);
  }

  #run(work: () => Promise<void>): void {
    const running = work()
      .catch((error: unknown) => {
        this.#failure ??= { error };
      })
      .finally(() => {
        this.#running.delete(running);
        this.#wake();
      });
    this.#running.add(running);
  }

  #reserve(count: number): void {
    if (count > imageChunksMax) {
      throw new FormatError('LIMIT_EXCEEDED', `an image has at most ${imageChunksMax} chunks of 4 MiB, not ${count}`);
    }
    if (count * digestBytes <= this.#digests.length) return;
    const larger = Buffer.alloc(Math.min(Math.max(count, (this.#digests.length / digestBytes) * 2), imageChunksMax) * digestBytes);
    this.#digests.copy(larger);
    this.#digests = larger;
  }
}
