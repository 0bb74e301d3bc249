/** How many requests run at once: as many as the other side takes. */
import { abortable } from './back-off.js';

export class Slots {
  #most: number;
  readonly #waiting = new Set<() => void>();
  #taken = 0;

  constructor(most: number) {
    this.#most = most;
  }

  get taken(): number {
    return this.#taken;
  }

  limit(most: number): void {
    this.#most = most;
    this.#start();
  }

  /** In the order of the calls. */
  async take(signal: AbortSignal | undefined): Promise<void> {
    if (this.#waiting.size === 0 && this.#taken < this.#most) {
      this.#taken++;
      return;
    }
    await abortable<void>(signal, (done) => {
      const start = (): void => {
        this.#taken++;
        done();
      };
      this.#waiting.add(start);
      return () => this.#waiting.delete(start);
    });
  }

  free(): void {
    this.#taken--;
    this.#start();
  }

  /** All that wait, as nothing can be waited for any more. */
  release(): void {
    for (const start of this.#waiting) start();
    this.#waiting.clear();
  }

  #start(): void {
    for (const start of this.#waiting) {
      if (this.#taken >= this.#most) return;
      this.#waiting.delete(start);
      start();
    }
  }
}
