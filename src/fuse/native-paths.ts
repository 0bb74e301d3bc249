/** From paths, which libfuse speaks, to inodes. What a lookup gave is believed for as long as the file system says. */
import { StoreError } from '../errors.js';
import type { Entry, FileSystem, Ino } from '../vfs/file-system.js';

const rememberedMax = 20_000;

interface Remembered {
  readonly entry: Entry;
  readonly untilMs: number;
}

export class NativePaths {
  readonly #fileSystem: FileSystem;
  /** By parent and name; the oldest first. */
  readonly #remembered = new Map<string, Remembered>();

  constructor(fileSystem: FileSystem) {
    this.#fileSystem = fileSystem;
  }

  /** Throws NOT_FOUND. */
  async entry(path: string): Promise<Entry> {
    let entry = await this.#fileSystem.getattr(this.#fileSystem.root);
    for (const name of path.split('/')) if (name !== '') entry = await this.#lookup(entry.attributes.ino, name);
    return entry;
  }

  async ino(path: string): Promise<Ino> {
    return (await this.entry(path)).attributes.ino;
  }

  async #lookup(parent: Ino, name: string): Promise<Entry> {
    const key = `${parent}/${name}`;
    const known = this.#remembered.get(key);
    if (known !== undefined && known.untilMs > performance.now()) return known.entry;
    this.#remembered.delete(key);
    const entry = await this.#fileSystem.lookup(parent, Buffer.from(name));
    if (entry === undefined) throw new StoreError('NOT_FOUND', `there is no ${name}`);
    if (entry.ttlMs > 0) this.#remember(key, { entry, untilMs: performance.now() + entry.ttlMs });
    return entry;
  }

  #remember(key: string, remembered: Remembered): void {
    const [oldest] = this.#remembered.keys();
    if (oldest !== undefined && this.#remembered.size >= rememberedMax) this.#remembered.delete(oldest);
    this.#remembered.set(key, remembered);
  }
}
