/** Jobs that wait for a worker thread, in the order of asking. */
import type { StoreError } from '../errors.js';
import type { Job, OutcomeOf } from './worker-messages.js';
import type { WorkerPool } from './worker-pool.js';

interface Waiting {
  readonly start: () => void;
  readonly refuse: (error: Error) => void;
}

export class JobQueue {
  readonly #pool: WorkerPool;
  readonly #closed: () => StoreError;
  readonly #waiting = new Set<Waiting>();
  #isClosed = false;

  /** `closed`: what jobs are refused with after close(). */
  constructor(pool: WorkerPool, closed: () => StoreError) {
    this.#pool = pool;
    this.#closed = closed;
  }

  /** Gives the job to a worker as soon as one takes it. */
  run<J extends Job>(job: J): Promise<OutcomeOf<J>> {
    return new Promise((resolve, reject) => {
      if (this.#isClosed) {
        reject(this.#closed());
        return;
      }
      const start = (): void => {
        this.#pool.run(job, (result) => {
          this.#dispatch();
          if (result instanceof Error) reject(result);
          else resolve(result);
        });
      };
      this.#waiting.add({ start, refuse: reject });
      this.#dispatch();
    });
  }

  /** Resolves when all that was given to a worker is done and the threads have ended; what still waits is refused. */
  async close(): Promise<void> {
    this.#isClosed = true;
    for (const { refuse } of this.#waiting) refuse(this.#closed());
    this.#waiting.clear();
    await this.#pool.close();
  }

  #dispatch(): void {
    for (const waiting of this.#waiting) {
      if (this.#pool.capacity === 0) return;
      this.#waiting.delete(waiting);
      waiting.start();
    }
  }
}
