/** Work that must not overlap, in the order of asking. */
export class Turns {
  #last: Promise<void> | undefined;

  /** Nothing runs and nothing waits: what is done at once now overlaps nothing. */
  get isFree(): boolean {
    return this.#last === undefined;
  }

  async run<T>(work: () => Promise<T>): Promise<T> {
    const before = this.#last;
    let end: () => void = () => undefined;
    const turn = new Promise<void>((resolve) => {
      end = resolve;
    });
    this.#last = turn;
    try {
      await before;
      return await work();
    } finally {
      if (this.#last === turn) this.#last = undefined;
      end();
    }
  }
}
