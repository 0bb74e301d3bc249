/**
 * The front of the worker threads that check and store chunks that clients have encoded. Threads are shared by all who send; whoever has
 * jobs waiting gets a thread in turn, so that nobody waits for all of another's.
 */
import { StoreError } from '../errors.js';
import type { ChunkPlace, InsertJob, InsertOutcome, OutcomeOf, SyncJob } from './worker-messages.js';
import { WorkerPool } from './worker-pool.js';

export type { InsertOutcome };

export interface ReceivedChunk {
  /** 32 bytes. */
  readonly digest: Buffer;
  /** Bytes of content. */
  readonly length: number;
  /** In shared memory, or all of its memory, which is given away. */
  readonly encoded: Uint8Array;
}

type LaneJob = InsertJob | SyncJob;

interface Waiting {
  readonly job: LaneJob;
  readonly done: (result: Error | OutcomeOf<LaneJob>) => void;
}

export class ChunkInserter {
  readonly #pool: WorkerPool;
  /** Those with jobs waiting, in the order of their turns. */
  readonly #lanes = new Set<InsertLane>();

  constructor(workers?: number) {
    this.#pool = new WorkerPool({ kind: 'insert' }, workers);
  }

  /** Lets the worker threads start. */
  start(): void {
    this.#pool.start();
  }

  lane(place: ChunkPlace): InsertLane {
    return new InsertLane(place, (lane) => {
      this.#lanes.add(lane);
      this.#dispatch();
    });
  }

  /** Resolves when what was given to threads is done and they have ended. */
  async close(): Promise<void> {
    await this.#pool.close();
  }

  #dispatch(): void {
    while (this.#pool.capacity > 0) {
      const [lane] = this.#lanes;
      if (lane === undefined) return;
      this.#lanes.delete(lane);
      const next = lane.take();
      if (next === undefined) continue;
      if (lane.hasWaiting) this.#lanes.add(lane);
      this.#pool.run(next.job, (result) => {
        next.done(result);
        this.#dispatch();
      });
    }
  }
}

/** Chunks of one sender into one store. */
export class InsertLane {
  readonly #place: ChunkPlace;
  readonly #announce: (lane: InsertLane) => void;
  readonly #waiting: Waiting[] = [];
  readonly #running = new Set<Promise<unknown>>();
  #closed = false;

  /** Only for ChunkInserter. */
  constructor(place: ChunkPlace, announce: (lane: InsertLane) => void) {
    this.#place = place;
    this.#announce = announce;
  }

  get hasWaiting(): boolean {
    return this.#waiting.length > 0;
  }

  /** FormatError for a chunk that is not what it is said to be; CHUNK_CORRUPT if it and what is there can't both be right; the system's error. */
  insert({ digest, length, encoded }: ReceivedChunk): Promise<InsertOutcome> {
    return this.#run({ kind: 'insert', digest, length, encoded, place: this.#place });
  }

  /** Makes the file system of an open descriptor durable. */
  async syncFiles(fd: number): Promise<void> {
    await this.#run({ kind: 'sync', fd });
  }

  /** Refuses what waits; resolves when what runs is done. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const { done } of this.#waiting.splice(0)) done(closed());
    await Promise.allSettled(this.#running);
  }

  /** Only for ChunkInserter. */
  take(): Waiting | undefined {
    return this.#waiting.shift();
  }

  #run<J extends LaneJob>(job: J): Promise<OutcomeOf<J>> {
    if (this.#closed) return Promise.reject(closed());
    const running = new Promise<OutcomeOf<J>>((resolve, reject) => {
      const done = (result: Error | OutcomeOf<LaneJob>): void => {
        this.#running.delete(running);
        if (result instanceof Error) reject(result);
        else resolve(result as OutcomeOf<J>);
      };
      this.#waiting.push({ job, done });
    });
    this.#running.add(running);
    this.#announce(this);
    return running;
  }
}

function closed(): StoreError {
  return new StoreError('CLOSED', 'the backup was ended before this chunk was stored');
}
