/**
 * The front of the worker threads that write chunks: contents in shared memory become chunk files, in any order, as many at once as there are cores.
 * Waiting contents are bounded by the memory that they lie in. Format: datastore, sections 3.2 to 3.4.
 */
import type { EncryptionKey } from '../crypto/encryption-key.js';
import { StoreError } from '../errors.js';
import { chunkBytesMax } from '../format/blob.js';
import { digestBytes } from '../format/chunk-index.js';
import type { ContentMemory } from './content-memory.js';
import { DigestSet } from './digest-set.js';
import { JobQueue } from './job-queue.js';
import type { ChunkPlace, StoreJob, StoreOutcome, StoreZerosJob } from './worker-messages.js';
import { WorkerPool } from './worker-pool.js';

export interface StoredChunk {
  /** 32 bytes. */
  readonly digest: Buffer;
  /** Whether it was not in the datastore before; true only once for each digest. */
  readonly added: boolean;
  /** Bytes of its file; 0 if it was not added. */
  readonly encodedBytes: number;
}

export interface ReusedChunk {
  readonly digest: Buffer;
  /** Bytes of content. */
  readonly length: number;
}

/** Chunks that were put so far. A chunk that was put twice counts once. */
export interface StorerStatistics {
  readonly chunks: number;
  readonly bytes: number;
  /** Those of them that were not in the datastore before. */
  readonly chunksAdded: number;
  readonly bytesAdded: number;
  readonly encodedBytesAdded: number;
}

export interface ChunkStorerOptions extends ChunkPlace {
  readonly memory: ContentMemory;
  /** Present if chunks are to be encrypted. */
  readonly key: EncryptionKey | undefined;
  readonly workers?: number;
}

/** Chunks that one job touches. */
const touchedPerJobMax = 512;

export class ChunkStorer {
  readonly #memory: ContentMemory;
  readonly #pool: WorkerPool;
  readonly #queue: JobQueue;
  /** What was put, and what of it was new: two workers may both have written a chunk, and their results come in any order. */
  readonly #put = new DigestSet();
  readonly #added = new DigestSet();
  readonly #zeros = new Map<number, Promise<StoredChunk>>();
  readonly #counts = { chunks: 0, bytes: 0, chunksAdded: 0, bytesAdded: 0, encodedBytesAdded: 0 };

  constructor({ memory, key, workers, chunksDirectory, temporaryDirectory, owner, durable }: ChunkStorerOptions) {
    this.#memory = memory;
    const place: ChunkPlace = { chunksDirectory, temporaryDirectory, owner, durable };
    this.#pool = new WorkerPool({ kind: 'store', memory: memory.memory, key: key && new Uint8Array(key.encKey), ...place }, workers);
    this.#queue = new JobQueue(this.#pool, closed);
  }

  get statistics(): StorerStatistics {
    return { ...this.#counts };
  }

  /** Lets the worker threads start, which takes some ten milliseconds, before the first chunk is known. */
  start(): void {
    this.#pool.start();
  }

  /**
   * `content`: a view of the memory, 1 byte to 16 MiB, which must not change before this settles. Rejects with the system's error
   * (ENOSPC, EACCES, EIO...), CHUNK_CORRUPT if what has the chunk's name is no file.
   */
  put(content: Buffer): Promise<StoredChunk> {
    checkLength(content.length);
    if (content.buffer !== this.#memory.memory) throw new RangeError('a content that is to be stored lies in the shared memory');
    return this.#store({ kind: 'store', offset: content.byteOffset, length: content.length });
  }

  /** As put() for `length` zeros, which need no memory; at most once for each length. */
  putZeros(length: number): Promise<StoredChunk> {
    checkLength(length);
    const known = this.#zeros.get(length);
    if (known !== undefined) return known.then(({ digest }) => ({ digest, added: false, encodedBytes: 0 }));
    const first = this.#store({ kind: 'storeZeros', length });
    this.#zeros.set(length, first);
    first.catch(() => this.#zeros.delete(length));
    return first;
  }

  /** Keeps chunks from the next garbage collection. Gives the positions of those whose file is missing, empty or of an impossible size. */
  async touch(chunks: readonly ReusedChunk[]): Promise<readonly number[]> {
    const positions = [...chunks.keys()].filter((i) => !this.#isPut(chunks[i]));
    const batches: Promise<readonly number[]>[] = [];
    for (let from = 0; from < positions.length; from += touchedPerJobMax) {
      batches.push(this.#touch(chunks, positions.slice(from, from + touchedPerJobMax)));
    }
    return (await Promise.all(batches)).flat();
  }

  /** Makes the file system of an open descriptor durable, in a worker: it may take long. */
  async syncFiles(fd: number): Promise<void> {
    await this.#queue.run({ kind: 'sync', fd });
  }

  /** Resolves when all that was given to a worker is done and the threads have ended; what still waits is refused. */
  async close(): Promise<void> {
    await this.#queue.close();
  }

  async #store(job: StoreJob | StoreZerosJob): Promise<StoredChunk> {
    const outcome = await this.#queue.run(job);
    return this.#counted(outcome, job.length);
  }

  #counted({ digest: bytes, added, encodedBytes }: StoreOutcome, length: number): StoredChunk {
    const digest = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const counts = this.#counts;
    if (this.#put.add(digest)) {
      counts.chunks++;
      counts.bytes += length;
    }
    if (!added || !this.#added.add(digest)) return { digest, added: false, encodedBytes: 0 };
    counts.chunksAdded++;
    counts.bytesAdded += length;
    counts.encodedBytesAdded += encodedBytes;
    return { digest, added, encodedBytes };
  }

  async #touch(chunks: readonly ReusedChunk[], positions: readonly number[]): Promise<readonly number[]> {
    const digests = new Uint8Array(positions.length * digestBytes);
    const lengths = positions.map((position, i) => {
      const { digest, length } = chunkAt(chunks, position);
      if (digest.length !== digestBytes) throw new RangeError(`a digest has ${digestBytes} bytes, not ${digest.length}`);
      digests.set(digest, i * digestBytes);
      return length;
    });
    const missing = await this.#queue.run({ kind: 'touch', digests, lengths });
    return missing.flatMap((i) => positions[i] ?? []);
  }

  #isPut(chunk: ReusedChunk | undefined): boolean {
    return chunk !== undefined && this.#put.has(chunk.digest);
  }
}

function chunkAt(chunks: readonly ReusedChunk[], position: number): ReusedChunk {
  const chunk = chunks[position];
  if (chunk === undefined) throw new RangeError(`there is no chunk ${position}`);
  return chunk;
}

function checkLength(length: number): void {
  if (!(length >= 1 && length <= chunkBytesMax)) throw new RangeError(`a chunk has 1 to ${chunkBytesMax} bytes, not ${length}`);
}

function closed(): StoreError {
  return new StoreError('CLOSED', 'the backup was ended before this chunk was stored');
}
