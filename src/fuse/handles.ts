/** Open objects by the numbers that the kernel holds for them, which start at 1. */

export class Handles<T extends { close(): void }> {
  readonly #open = new Map<number, T>();
  readonly #numberMax: number;
  #last = 0;

  constructor(numberMax = Number.MAX_SAFE_INTEGER) {
    this.#numberMax = numberMax;
  }

  get size(): number {
    return this.#open.size;
  }

  /** A number for something that is still being opened. It is given again only after all others. */
  reserve(): number {
    do this.#last = (this.#last % this.#numberMax) + 1;
    while (this.#open.has(this.#last));
    return this.#last;
  }

  set(handle: number, value: T): void {
    this.#open.set(handle, value);
  }

  get(handle: number): T | undefined {
    return this.#open.get(handle);
  }

  close(handle: number): void {
    const value = this.#open.get(handle);
    this.#open.delete(handle);
    value?.close();
  }

  /** All are closed, also when some throw. */
  closeAll(onError: (error: unknown) => void): void {
    for (const handle of [...this.#open.keys()]) {
      try {
        this.close(handle);
      } catch (error) {
        onError(error);
      }
    }
  }
}
