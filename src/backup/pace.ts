/** Gives the event loop its turns during long work that would go on without a pause, and stops it when a signal says so. */
import { setImmediate } from 'node:timers/promises';
import { StoreError } from '../errors.js';
import type { MaybePromise } from '../vfs/file-system.js';

const turnMs = 5;

export class Pace {
  readonly #signal: AbortSignal;
  readonly #everyTurn: () => void;
  #turnBegan = performance.now();

  constructor(signal: AbortSignal, everyTurn: () => void) {
    this.#signal = signal;
    this.#everyTurn = everyTurn;
  }

  /** To be called often. Rejects or throws INTERRUPTED. */
  turn(): MaybePromise<void> {
    return performance.now() - this.#turnBegan < turnMs ? undefined : this.#turn();
  }

  async #turn(): Promise<void> {
    this.#everyTurn();
    await setImmediate();
    if (this.#signal.aborted) throw new StoreError('INTERRUPTED', 'the backup was interrupted', { cause: this.#signal.reason });
    this.#turnBegan = performance.now();
  }
}
