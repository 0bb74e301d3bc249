/**
 * Tells which of the directories that were listed have changed since, by asking for their times once a second: that works
 * on every file system and for changes made on another host. Nothing is asked while nobody listens.
 */
import { stat } from 'node:fs/promises';
import { join } from 'node:path';

const intervalMs = 1000;
/** The most recently listed ones are watched. */
const directoriesMax = 1024;

type Listener = (directory: string) => void;

export class DirectoryWatch {
  readonly #root: string;
  /** Last seen state by directory, oldest listing first. */
  readonly #seen = new Map<string, string>();
  readonly #listeners = new Set<Listener>();
  #timer: NodeJS.Timeout | undefined;
  #asking = false;

  constructor(root: string) {
    this.#root = root;
  }

  /** To be called before the directory is listed: what changes from then on is told. */
  async add(directory: string): Promise<void> {
    const state = this.#seen.get(directory) ?? (await stateOf(join(this.#root, directory)));
    this.#seen.delete(directory);
    this.#seen.set(directory, state);
    if (this.#seen.size <= directoriesMax) return;
    for (const oldest of this.#seen.keys()) {
      this.#seen.delete(oldest);
      return;
    }
  }

  listen(listener: Listener): () => void {
    this.#listeners.add(listener);
    this.#timer ??= setInterval(() => void this.#ask(), intervalMs).unref();
    return () => {
      this.#listeners.delete(listener);
      if (this.#listeners.size === 0) this.close();
    };
  }

  close(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  /** A slow disk makes rounds longer; they never overlap. */
  async #ask(): Promise<void> {
    if (this.#asking) return;
    this.#asking = true;
    for (const [directory, before] of this.#seen) {
      const now = await stateOf(join(this.#root, directory));
      if (!this.#seen.has(directory)) continue;
      this.#seen.set(directory, now);
      if (before !== now) this.#listeners.forEach((listener) => {
        listener(directory);
      });
    }
    this.#asking = false;
  }
}

async function stateOf(path: string): Promise<string> {
  try {
    const { ino, mtimeNs } = await stat(path, { bigint: true });
    return `${ino}:${mtimeNs}`;
  } catch {
    return 'none';
  }
}
