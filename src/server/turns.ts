/** At most so many at a time, and at most so many that wait. */
import { Refusal } from './refusal.js';

export class Turns {
  #running = 0;
  readonly #waiting: (() => void)[] = [];

  constructor(
    private readonly atOnceMax: number,
    private readonly waitingMax: number,
  ) {}

  /** 503 if too many wait. */
  async run<T>(action: () => Promise<T>): Promise<T> {
    if (this.#running >= this.atOnceMax) {
      if (this.#waiting.length >= this.waitingMax) throw new Refusal(503, 'the server has too much to do; try again later');
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    } else this.#running++;
    try {
      return await action();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#running--;
      else next();
    }
  }
}
