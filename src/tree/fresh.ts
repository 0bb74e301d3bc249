/** A value that is asked for again when it is older than the time for which nodes are believed. Callers at the same time share one question. */
import { freshMs } from './node.js';

export class Fresh<T> {
  readonly #ask: (before: T | undefined) => Promise<T>;
  #value: Promise<T> | undefined;
  #last: T | undefined;
  #askedMs = 0;

  /** `ask` is given the value before, so that it can keep what has not changed. */
  constructor(ask: (before: T | undefined) => Promise<T>) {
    this.#ask = ask;
  }

  /** The last answer, however old. */
  get last(): T | undefined {
    return this.#last;
  }

  /** The next question is asked anew. */
  expire(): void {
    this.#value = undefined;
  }

  get(): Promise<T> {
    const now = performance.now();
    if (this.#value === undefined || now - this.#askedMs > freshMs) {
      this.#askedMs = now;
      this.#value = this.#ask(this.#last);
      this.#value.then(
        (value) => {
          this.#last = value;
        },
        () => {
          this.#value = undefined;
        },
      );
    }
    return this.#value;
  }
}
