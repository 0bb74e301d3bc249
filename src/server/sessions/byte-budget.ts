/** Bytes that may be taken at once; who wants more waits, in the order of asking. */

interface Waiting {
  readonly bytes: number;
  readonly grant: () => void;
}

export class ByteBudget {
  #taken = 0;
  readonly #waiting = new Set<Waiting>();

  /** `bytesMax` is asked for whenever something is to be taken. */
  constructor(private readonly bytesMax: () => number) {}

  /** More than there is at all is given when nothing else is taken. Rejects with the reason of `signal`. */
  async take(bytes: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (this.#waiting.size === 0 && this.#fits(bytes)) {
      this.#taken += bytes;
      return;
    }
    await new Promise<void>((resolve, reject) => {
      const leave = (): void => {
        this.#waiting.delete(waiting);
        this.#dispatch();
        reject(signal.reason as Error);
      };
      const grant = (): void => {
        signal.removeEventListener('abort', leave);
        resolve();
      };
      const waiting: Waiting = { bytes, grant };
      this.#waiting.add(waiting);
      signal.addEventListener('abort', leave, { once: true });
    });
  }

  give(bytes: number): void {
    this.#taken -= bytes;
    this.#dispatch();
  }

  #fits(bytes: number): boolean {
    return this.#taken === 0 || this.#taken + bytes <= this.bytesMax();
  }

  #dispatch(): void {
    for (const waiting of this.#waiting) {
      if (!this.#fits(waiting.bytes)) return;
      this.#waiting.delete(waiting);
      this.#taken += waiting.bytes;
      waiting.grant();
    }
  }
}
