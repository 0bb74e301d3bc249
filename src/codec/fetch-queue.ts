/**
 * Chunks that have to be fetched before a worker can decode them: those that readers wait for first, as many at once as the source
 * takes. Encoded bytes lie in memory until their chunk is decoded; till then they count as in flight.
 */
import type { ChunkRef, FetchedChunks } from './chunk-source.js';

/** Waiting chunks cost next to nothing, but they are a promise to fetch them all. */
const waitingLeast = 64;
/** Times those in flight, so that the source has something to do as soon as answers come. */
const waitingShare = 2;

export interface Fetch {
  readonly ref: ChunkRef;
}

export interface FetchStatistics {
  /** Chunks that were asked for and are not there yet. */
  readonly fetching: number;
  /** Bytes that are on their way, or wait for a worker. */
  readonly bytesInFlight: number;
  /** Encoded bytes that came. */
  readonly bytesFetched: number;
}

export type Fetched = Uint8Array<ArrayBuffer> | Error;

export class FetchQueue<F extends Fetch> {
  readonly #source: FetchedChunks;
  readonly #bytesMax: number;
  readonly #done: (fetch: F, result: Fetched) => void;
  readonly #urgent = new Set<F>();
  readonly #prefetch = new Set<F>();
  /** What each chunk in flight counts for. */
  readonly #inFlight = new Map<F, number>();
  #fetching = 0;
  #bytesInFlight = 0;
  #bytesFetched = 0;

  /** `bytesMax`: in flight, whatever the source allows. `done` is called once for each chunk, unless it is closed before. */
  constructor(source: FetchedChunks, bytesMax: number, done: (fetch: F, result: Fetched) => void) {
    this.#source = source;
    this.#bytesMax = bytesMax;
    this.#done = done;
  }

  get waiting(): number {
    return this.#urgent.size + this.#prefetch.size;
  }

  /** Enough chunks wait ahead of their readers. */
  get isFull(): boolean {
    return this.#prefetch.size >= Math.max(waitingLeast, this.#source.requestsMax * waitingShare);
  }

  /** The most that is in flight at once, but for a single chunk that is larger. */
  get bytesInFlightMax(): number {
    return Math.min(this.#source.bytesInFlightMax, this.#bytesMax);
  }

  get statistics(): FetchStatistics {
    return { fetching: this.#fetching, bytesInFlight: this.#bytesInFlight, bytesFetched: this.#bytesFetched };
  }

  add(fetch: F, urgent: boolean): void {
    (urgent ? this.#urgent : this.#prefetch).add(fetch);
    this.#dispatch();
  }

  /** A reader waits for it now. */
  hurry(fetch: F): void {
    if (this.#prefetch.delete(fetch)) this.#urgent.add(fetch);
  }

  /** The bytes of a chunk are not held any more. */
  release(fetch: F): void {
    this.#bytesInFlight -= this.#inFlight.get(fetch) ?? 0;
    if (this.#inFlight.delete(fetch)) this.#dispatch();
  }

  /** Nothing more is asked for; what is on its way is dropped when it comes. */
  close(): void {
    this.#urgent.clear();
    this.#prefetch.clear();
    this.#inFlight.clear();
    this.#bytesInFlight = 0;
  }

  #dispatch(): void {
    while (this.#fetching < Math.max(this.#source.requestsMax, 1)) {
      const queue = this.#urgent.size > 0 ? this.#urgent : this.#prefetch;
      const [fetch] = queue;
      if (fetch === undefined) return;
      const bytes = fetch.ref.length;
      // The first in the queue is waited for, lest small chunks keep a large one from ever being fetched.
      if (this.#inFlight.size > 0 && this.#bytesInFlight + bytes > this.bytesInFlightMax) return;
      queue.delete(fetch);
      this.#count(fetch, bytes);
      void this.#fetch(fetch);
    }
  }

  async #fetch(fetch: F): Promise<void> {
    this.#fetching++;
    let result: Fetched;
    try {
      result = ownMemory(await this.#source.fetch(fetch.ref));
    } catch (error) {
      result = error instanceof Error ? error : new Error(String(error));
    }
    this.#fetching--;
    if (!this.#inFlight.has(fetch)) return;
    if (result instanceof Error) {
      this.release(fetch);
    } else {
      this.#bytesFetched += result.length;
      this.#count(fetch, Math.max(fetch.ref.length, result.length));
    }
    this.#done(fetch, result);
    this.#dispatch();
  }

  #count(fetch: F, bytes: number): void {
    this.#bytesInFlight += bytes - (this.#inFlight.get(fetch) ?? 0);
    this.#inFlight.set(fetch, bytes);
  }
}

/** All of the memory below the bytes goes over to the worker: it must not be a pool's. */
function ownMemory(bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  return bytes.length === bytes.buffer.byteLength ? bytes : new Uint8Array(bytes);
}
