/** Asks for listings again while somebody wants to know what changes in them; nothing is asked about what nobody has listed lately. */

const intervalMs = 5000;
const listedMs = 300_000;

type Listener = (directory: string) => void;

export class ListingPoll {
  readonly #ask: (listedMs: number) => Promise<void>;
  readonly #listeners = new Set<Listener>();
  #timer: NodeJS.Timeout | undefined;
  #asking = false;

  /** `ask`: about what was listed in the last so many milliseconds. Never rejects. */
  constructor(ask: (listedMs: number) => Promise<void>) {
    this.#ask = ask;
  }

  listen(listener: Listener): () => void {
    this.#listeners.add(listener);
    this.#timer ??= setInterval(() => void this.#round(), intervalMs).unref();
    return () => {
      this.#listeners.delete(listener);
      if (this.#listeners.size === 0) this.close();
    };
  }

  /** Directories, relative to the store, that are listed otherwise than before. */
  tell(directories: readonly string[]): void {
    for (const directory of directories) for (const listener of this.#listeners) listener(directory);
  }

  close(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  async #round(): Promise<void> {
    if (this.#asking) return;
    this.#asking = true;
    try {
      await this.#ask(listedMs);
    } finally {
      this.#asking = false;
    }
  }
}
