/** How far a collection is, for people, and whether it is to stop. */
import { StoreError } from '../../../errors.js';

const percentStep = 10;

export class Progress {
  readonly log: (line: string) => void;
  /** Other than 0: to stop. */
  readonly #stop: Int32Array;
  #percent = 0;

  constructor(log: (line: string) => void, stop: Int32Array) {
    this.log = log;
    this.#stop = stop;
  }

  /** Throws INTERRUPTED when it is to stop: what was removed until then was garbage, all else stays. */
  check(): void {
    if (Atomics.load(this.#stop, 0) !== 0) throw new StoreError('INTERRUPTED', 'the garbage collection was stopped');
  }

  tell(verb: string, done: number, total: number, what: string): void {
    const percent = Math.floor((done * 100) / total);
    if (percent < this.#percent + percentStep && done < total) return;
    this.#percent = done === total ? 0 : percent;
    this.log(`${verb} ${percent}% (${done} of ${total} ${what})`);
  }
}
