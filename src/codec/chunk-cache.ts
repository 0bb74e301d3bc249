/**
 * Decoded, verified chunks in the slab: least recently used ones go first, each is decoded once however many ask for it,
 * and requests of readers go before read-ahead.
 *
 * A view that `get` or `load` gives is valid until the current turn of the event loop ends: what is evicted goes into
 * a limbo first and is used again in a later turn.
 */
import { LRUCache } from 'lru-cache';
import { StoreError } from '../errors.js';
import { encryptedHeaderBytes } from '../format/blob.js';
import type { ChunkRef, ChunkSource } from './chunk-source.js';
import type { DiskCache, DiskCacheStatistics } from './disk-cache.js';
import { FetchQueue, type Fetched, type FetchStatistics } from './fetch-queue.js';
import { Slab, roomBytes, type Room } from './slab.js';
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

interface Slot {
  readonly room: Room;
  readonly view: Buffer;
}

interface Request {
  readonly key: string;
  readonly ref: ChunkRef;
  urgent: boolean;
  readonly promise: Promise<Buffer>;
  readonly settle: (result: Buffer | Error) => void;
}

/** What a worker decodes: a file, or what was fetched, which `path` is the name of. */
interface Encoded {
  readonly path: string;
  readonly encoded?: Uint8Array<ArrayBuffer>;
  readonly isCached?: boolean;
}

const prefetchQueueMax = 64;
const reserveBytesPerWorker = 1 << 22;
const readAheadBytesMax = 32 << 20;
/** Of the slab: rooms for what is fetched are there when it comes, and what a reader uses now is not evicted for it. */
const fetchedShareMax = 1 / 2;
const readAheadShareMax = 1 / 4;

export class ChunkCache {
  readonly #slab: Slab;
  readonly #pool: WorkerPool;
  readonly #source: ChunkSource;
  readonly #fetches: FetchQueue<Request> | undefined;
  readonly #diskCache: DiskCache | undefined;
  readonly #ready: LRUCache<string, Slot>;
  readonly #requests = new Map<string, Request>();
  /** What waits for a worker. */
  readonly #urgent = new Map<Request, Encoded>();
  readonly #prefetch = new Map<Request, Encoded>();
  readonly #inWork = new Set<Request>();
  #limbo: Room[] = [];
  #closed = false;
  readonly #counts = { hits: 0, misses: 0, prefetched: 0, bytesDecoded: 0, failures: 0 };

  constructor(options: ChunkCacheOptions) {
    this.#slab = new Slab(options.bytesMax);
    this.#pool = new WorkerPool({ kind: 'decode', memory: this.#slab.memory, keys: options.keys }, options.workers);
    this.#source = options.source;
    this.#diskCache = options.diskCache;
    if (options.source.kind === 'fetched') {
      this.#fetches = new FetchQueue(options.source, this.#slab.bytes * fetchedShareMax, (request, result) => {
        this.#fetched(request, result);
      });
    }
    this.#ready = new LRUCache({
      maxSize: this.#slab.bytes,
      sizeCalculation: ({ room }) => room.bytes,
      dispose: ({ room }) => {
        this.#release(room);
      },
    });
  }

  get bytesMax(): number {
    return this.#slab.bytes;
  }

  /** Bytes of content that one reader may have decoded ahead: as much as keeps workers busy, or the way to a store full. */
  get readAheadBytesMax(): number {
    return Math.min(this.#fetches?.bytesInFlightMax ?? readAheadBytesMax, this.#slab.bytes * readAheadShareMax);
  }

  /** Lets the worker threads start, which takes some ten milliseconds, before the first chunk is known. */
  start(): void {
    this.#pool.start();
  }

  /** The content, if it is at hand. */
  get(ref: ChunkRef): Buffer | undefined {
    const slot = this.#ready.get(keyOf(ref));
    if (slot === undefined) return undefined;
    this.#counts.hits++;
    return slot.view;
  }

  /** Decodes what `get` does not have. CHUNK_MISSING, CHUNK_CORRUPT or the system's error. */
  load(ref: ChunkRef): Promise<Buffer> {
    this.#counts.misses++;
    return this.#request(ref, true).promise;
  }

  /** Decodes ahead of a reader; false if the queue is full. Failures show when somebody asks for the chunk. */
  prefetch(ref: ChunkRef): boolean {
    if (this.#ready.has(keyOf(ref)) || this.#requests.has(keyOf(ref))) return true;
    if (this.#prefetch.size >= prefetchQueueMax || (this.#fetches?.isFull ?? false)) return false;
    this.#counts.prefetched++;
    this.#request(ref, false);
    return true;
  }

  statistics(): CacheStatistics {
    return {
      ...this.#counts,
      bytesMax: this.#slab.bytes,
      bytesUsed: this.#ready.calculatedSize,
      chunks: this.#ready.size,
      queued: this.#urgent.size + this.#prefetch.size + (this.#fetches?.waiting ?? 0),
      inWork: this.#inWork.size,
      workers: this.#pool.size,
      ...(this.#fetches && { fetched: this.#fetches.statistics }),
      ...(this.#diskCache && { diskCache: this.#diskCache.statistics() }),
    };
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const request of this.#requests.values()) if (!this.#inWork.has(request)) request.settle(closed());
    this.#urgent.clear();
    this.#prefetch.clear();
    this.#fetches?.close();
    await this.#pool.close();
    await this.#diskCache?.close();
  }

  #request(ref: ChunkRef, urgent: boolean): Request {
    const key = keyOf(ref);
    let request = this.#requests.get(key);
    if (request === undefined) {
      request = this.#newRequest(key, ref);
      if (this.#closed) {
        request.settle(closed());
        return request;
      }
      request.urgent = urgent;
      this.#begin(request);
    } else if (urgent) {
      this.#hurry(request);
    }
    return request;
  }

  #hurry(request: Request): void {
    request.urgent = true;
    const encoded = this.#prefetch.get(request);
    if (encoded === undefined) {
      this.#fetches?.hurry(request);
    } else {
      this.#prefetch.delete(request);
      this.#urgent.set(request, encoded);
    }
  }

  #begin(request: Request): void {
    const path = this.#diskCache?.find(request.ref.digest);
    if (path === undefined) this.#askSource(request);
    else this.#enqueue(request, { path, isCached: true });
  }

  #askSource(request: Request): void {
    if (this.#source.kind === 'fetched') this.#fetches?.add(request, request.urgent);
    else this.#enqueue(request, { path: this.#source.pathOf(request.ref.digest) });
  }

  #fetched(request: Request, result: Fetched): void {
    if (result instanceof Error) {
      this.#counts.failures++;
      request.settle(result);
    } else {
      this.#enqueue(request, { path: request.ref.digest.toString('hex'), encoded: result });
    }
  }

  #enqueue(request: Request, encoded: Encoded): void {
    (request.urgent ? this.#urgent : this.#prefetch).set(request, encoded);
    this.#dispatch();
  }

  #newRequest(key: string, ref: ChunkRef): Request {
    let settle: Request['settle'] = () => undefined;
    const promise = new Promise<Buffer>((resolve, reject) => {
      settle = (result) => {
        this.#requests.delete(key);
        if (result instanceof Error) reject(result);
        else resolve(result);
      };
    });
    // Nobody may wait for a prefetch.
    promise.catch(() => undefined);
    const request = { key, ref, urgent: false, promise, settle };
    this.#requests.set(key, request);
    return request;
  }

  /** Gives jobs to the workers while they take some and there is room for the result. */
  #dispatch(): void {
    for (let free = this.#pool.capacity; free > 0; free--) {
      const queue = this.#urgent.size > 0 ? this.#urgent : this.#prefetch;
      const [next] = queue;
      if (next === undefined) return;
      const [request, encoded] = next;
      const room = this.#slab.allocate(request.ref.length);
      if (room === undefined) {
        this.#evict(roomBytes(request.ref.length));
        return;
      }
      queue.delete(request);
      this.#decode(request, encoded, room);
    }
    this.#keepReserve();
  }

  #decode(request: Request, encoded: Encoded, room: Room): void {
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

  #fill({ key, ref: { length }, settle }: Request, room: Room): void {
    const view = this.#slab.view(room, length);
    this.#counts.bytesDecoded += length;
    this.#ready.set(key, { room, view });
    settle(view);
  }

  #fail(request: Request, room: Room, error: Error, { isCached }: Encoded): void {
    this.#release(room);
    if (isCached === true && !this.#closed) {
      this.#askSource(request);
    } else {
      this.#counts.failures++;
      request.settle(isCached === true ? closed() : error);
    }
  }

  /** Rooms for the jobs of the next turn are freed in this one, so that full workers never wait for an eviction. */
  #keepReserve(): void {
    if (this.#requests.size === 0) return;
    const reserve = Math.min(this.#slab.bytes / 4, this.#pool.size * reserveBytesPerWorker);
    this.#evict(reserve - this.#slab.bytesFree - this.#limbo.reduce((sum, room) => sum + room.bytes, 0));
  }

  #evict(bytes: number): void {
    let freed = 0;
    while (freed < bytes) {
      const slot = this.#ready.pop();
      if (slot === undefined) return;
      freed += slot.room.bytes;
    }
  }

  #release(room: Room): void {
    if (this.#limbo.push(room) > 1) return;
    setImmediate(() => {
      const rooms = this.#limbo;
      this.#limbo = [];
      for (const each of rooms) this.#slab.free(each);
      this.#dispatch();
    });
  }
}

/** Archives that give one digest different lengths or keys can't all be right: a wrong one must not profit from another. */
function keyOf({ digest, length, keyNumber }: ChunkRef): string {
  return `${digest.toString('latin1')}${length} ${keyNumber}`;
}

function closed(): StoreError {
  return new StoreError('CLOSED', 'the datastore was closed');
}
