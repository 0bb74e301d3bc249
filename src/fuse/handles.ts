/** Open objects by the numbers that the kernel holds for them. A number is never used twice. */

export class Handles<T extends { close(): void }> {
  readonly #open = new Map<number, T>();
  #last = 0;

  /** A number for something that is still being opened. */
  reserve(): number {
    this.#last += 1;
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

  closeAll(): void {
    for (const handle of [...this.#open.keys()]) this.close(handle);
  }
}
