/**
 * Decoded, verified chunks: each is decoded once however many ask for it, and requests of readers go before read-ahead. A view that `get` or
 * `load` gives is valid until the current turn of the event loop ends.
 */
import { StoreError } from '../errors.js';
import { encryptedHeaderBytes } from '../format/blob.js';
import { ChunkRequest, DecodeQueue, keyOf, type Encoded } from './chunk-request.js';
import type { ChunkRef, ChunkSource } from './chunk-source.js';
import { DecodedChunks } from './decoded-chunks.js';
import type { DiskCache, DiskCacheStatistics } from './disk-cache.js';
import { FetchQueue, type Fetched, type FetchStatistics } from './fetch-queue.js';
import type { Room } from './slab.js';
import { WorkerPool } from './worker-pool.js';

export type { ChunkRef };

export interface ChunkCacheOptions {
  readonly bytesMax: number;
  readonly keys: readonly Uint8Array[];
  readonly source: ChunkSource;
  /** Asked before the source, and closed with this cache. */
  readonly diskCache?: DiskCache | undefined;
  readonly workers?: number;
}

export interface CacheStatistics {
  readonly bytesMax: number;
  readonly bytesUsed: number;
  readonly chunks: number;
  readonly hits: number;
  readonly misses: number;
  readonly prefetched: number;
  readonly bytesDecoded: number;
  readonly failures: number;
  readonly queued: number;
  readonly inWork: number;
  readonly workers: number;
  /** Only of a source from which chunks are fetched. */
  readonly fetched?: FetchStatistics;
  readonly diskCache?: DiskCacheStatistics;
}

const prefetchQueueMax = 64;
const reserveBytesPerWorker = 1 << 22;
const readAheadBytesMax = 32 << 20;
const soleReadAheadBytesMax = 64 << 20;
/** Of the memory: rooms for what is fetched are there when it comes, and what a reader uses now is not evicted for it. */
const fetchedShareMax = 1 / 2;
const readAheadShareMax = 1 / 4;
const soleReadAheadShareMax = 1 / 2;

export class ChunkCache {
  readonly #decoded: DecodedChunks;
  readonly #pool: WorkerPool;
  readonly #source: ChunkSource;
  readonly #fetches: FetchQueue<ChunkRequest> | undefined;
  readonly #diskCache: DiskCache | undefined;
  readonly #requests = new Map<string, ChunkRequest>();
  readonly #waiting = new DecodeQueue();
  readonly #inWork = new Set<ChunkRequest>();
  #closed = false;
  readonly #counts = { hits: 0, misses: 0, prefetched: 0, bytesDecoded: 0, failures: 0 };

  constructor(options: ChunkCacheOptions) {
    this.#decoded = new DecodedChunks(options.bytesMax, () => {
      this.#dispatch();
    });
    this.#pool = new WorkerPool({ kind: 'decode', memory: this.#decoded.memory, keys: options.keys }, options.workers);
    this.#source = options.source;
    this.#diskCache = options.diskCache;
    if (options.source.kind === 'fetched') {
      this.#fetches = new FetchQueue(options.source, this.#decoded.bytes * fetchedShareMax, (request, result) => {
        this.#fetched(request, result);
      });
    }
  }

  get bytesMax(): number {
    return this.#decoded.bytes;
  }

  /** Bytes of content that one reader may have decoded ahead: as much as keeps workers busy, or the way to a store full. */
  get readAheadBytesMax(): number {
    return Math.min(this.#fetches?.bytesInFlightMax ?? readAheadBytesMax, this.#decoded.bytes * readAheadShareMax);
  }

  /** The same for whoever is the only reader, and reads all of a stream from front to back. */
  get soleReadAheadBytesMax(): number {
    return Math.min(Math.max(this.#fetches?.bytesInFlightMax ?? 0, soleReadAheadBytesMax), this.#decoded.bytes * soleReadAheadShareMax);
  }

  /** Lets the worker threads start, which takes some ten milliseconds, before the first chunk is known. */
  start(): void {
    this.#pool.start();
  }

  /** The content, if it is at hand. */
  get(ref: ChunkRef): Buffer | undefined {
    const view = this.#decoded.get(keyOf(ref));
    if (view !== undefined) this.#counts.hits++;
    return view;
  }

  /** Decodes what `get` does not have. CHUNK_MISSING, CHUNK_CORRUPT or the system's error. */
  load(ref: ChunkRef): Promise<Buffer> {
    this.#counts.misses++;
    return this.#request(ref, true).promise;
  }

  /** Decodes ahead of a reader; false if the queue is full. Failures show when somebody asks for the chunk. */
  prefetch(ref: ChunkRef): boolean {
    if (this.#decoded.has(keyOf(ref)) || this.#requests.has(keyOf(ref))) return true;
    if (this.#waiting.sizeAhead >= prefetchQueueMax || (this.#fetches?.isFull ?? false)) return false;
    this.#counts.prefetched++;
    this.#request(ref, false);
    return true;
  }

  statistics(): CacheStatistics {
    return {
      ...this.#counts,
      bytesMax: this.#decoded.bytes,
      bytesUsed: this.#decoded.bytesUsed,
      chunks: this.#decoded.count,
      queued: this.#waiting.size + (this.#fetches?.waiting ?? 0),
      inWork: this.#inWork.size,
      workers: this.#pool.size,
      ...(this.#fetches && { fetched: this.#fetches.statistics }),
      ...(this.#diskCache && { diskCache: this.#diskCache.statistics() }),
    };
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const request of this.#requests.values()) if (!this.#inWork.has(request)) this.#settle(request, closed());
    this.#waiting.clear();
    this.#fetches?.close();
    await this.#pool.close();
    await this.#diskCache?.close();
  }

  #request(ref: ChunkRef, urgent: boolean): ChunkRequest {
    const known = this.#requests.get(keyOf(ref));
    if (known !== undefined) {
      if (urgent) this.#hurry(known);
      return known;
    }
    const request = new ChunkRequest(ref, urgent);
    if (this.#closed) {
      request.settle(closed());
    } else {
      this.#requests.set(request.key, request);
      this.#begin(request);
    }
    return request;
  }

  #hurry(request: ChunkRequest): void {
    request.urgent = true;
    if (!this.#waiting.hurry(request)) this.#fetches?.hurry(request);
  }

  #begin(request: ChunkRequest): void {
    const path = this.#diskCache?.find(request.ref.digest);
    if (path === undefined) this.#askSource(request);
    else this.#enqueue(request, { path, isCached: true });
  }

  #askSource(request: ChunkRequest): void {
    if (this.#source.kind === 'fetched') this.#fetches?.add(request, request.urgent);
    else this.#enqueue(request, { path: this.#source.pathOf(request.ref.digest) });
  }

  #fetched(request: ChunkRequest, result: Fetched): void {
    if (result instanceof Error) {
      this.#counts.failures++;
      this.#settle(request, result);
    } else {
      this.#enqueue(request, { path: request.ref.digest.toString('hex'), encoded: result });
    }
  }

  #enqueue(request: ChunkRequest, encoded: Encoded): void {
    this.#waiting.add(request, encoded);
    this.#dispatch();
  }

  #settle(request: ChunkRequest, result: Buffer | Error): void {
    this.#requests.delete(request.key);
    request.settle(result);
  }

  /** Gives jobs to the workers while they take some and there is room for the result. */
  #dispatch(): void {
    for (let free = this.#pool.capacity; free > 0; free--) {
      const next = this.#waiting.next();
      if (next === undefined) return;
      const [request, encoded] = next;
      const room = this.#decoded.allocate(request.ref.length);
      if (room === undefined) return;
      this.#waiting.delete(request);
      this.#decode(request, encoded, room);
    }
    this.#keepReserve();
  }

  #decode(request: ChunkRequest, encoded: Encoded, room: Room): void {
    const { digest, keyNumber, length } = request.ref;
    const encodedBytesMax = encoded.encoded?.length ?? length + encryptedHeaderBytes;
    const keep = encoded.isCached === true ? undefined : this.#diskCache?.order(digest, encodedBytesMax);
    this.#inWork.add(request);
    this.#pool.run({ kind: 'decode', ...encoded, keep: keep?.order, digest, keyNumber, offset: room.offset, length }, (result) => {
      this.#inWork.delete(request);
      this.#fetches?.release(request);
      if (keep !== undefined) this.#diskCache?.settle(keep, result);
      if (encoded.isCached === true) this.#tellDiskCache(digest, result);
      if (!(result instanceof Error)) this.#fill(request, room);
      else this.#fail(request, room, result, encoded);
      this.#dispatch();
    });
  }

  #tellDiskCache(digest: Buffer, result: unknown): void {
    if (result instanceof Error) this.#diskCache?.lost(digest, result);
    else this.#diskCache?.hit();
  }

  #fill(request: ChunkRequest, room: Room): void {
    const { length } = request.ref;
    this.#counts.bytesDecoded += length;
    this.#settle(request, this.#decoded.fill(request.key, room, length));
  }

  #fail(request: ChunkRequest, room: Room, error: Error, { isCached }: Encoded): void {
    this.#decoded.release(room);
    if (isCached === true && !this.#closed) {
      this.#askSource(request);
    } else {
      this.#counts.failures++;
      this.#settle(request, isCached === true ? closed() : error);
    }
  }

  /** Rooms for the jobs of the next turn are freed in this one, so that full workers never wait for an eviction. */
  #keepReserve(): void {
    if (this.#requests.size === 0) return;
    this.#decoded.keepFree(this.#pool.size * reserveBytesPerWorker);
  }
}

function closed(): StoreError {
  return new StoreError('CLOSED', 'the datastore was closed');
}
