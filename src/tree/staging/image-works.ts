/**
 * What all images of a mount share: a chunk writer, whose lock keeps a garbage collection from chunks that no index names yet, and the memory of
 * chunks that are filled. Opened for the first image and given up after the last.
 */
import { readdirSync } from 'node:fs';
import type { EncryptionKey } from '../../crypto/encryption-key.js';
import { CryptoError } from '../../errors.js';
import type { ChunkWriter } from '../../store/chunk-writer.js';
import type { TreeContext } from '../context.js';
import { ImageRooms } from './image-rooms.js';
import type { GroupSpool } from './spool.js';

export interface ImageWorks {
  readonly writer: ChunkWriter;
  readonly rooms: ImageRooms;
  /** Of the writer's key in the cache; -1 if it has none. */
  readonly keyNumber: number;
}

export interface SharedWorksOptions {
  readonly context: TreeContext;
  /** Chunks are encrypted with it. */
  readonly key: EncryptionKey | undefined;
  /** Of the spool that chunks may wait in. */
  readonly spoolDirectory: string;
  readonly log: (line: string) => void;
}

const noKey = 'none';

export class SharedWorks {
  readonly #options: SharedWorksOptions;
  #works: Promise<ImageWorks> | undefined;
  #writer: ChunkWriter | undefined;
  /** Of the writer before. */
  #discarding: Promise<void> | undefined;

  constructor(options: SharedWorksOptions) {
    this.#options = options;
  }

  /** For the images of a group. WRONG_KEY if they were begun with another key; what keeps the store from being written. */
  async open(spool: GroupSpool): Promise<ImageWorks> {
    this.#checkKey(spool);
    this.#works ??= this.#open();
    this.#works.catch(() => {
      this.#works = undefined;
    });
    return await this.#works;
  }

  /** No image needs anything any more. */
  async giveUp(): Promise<void> {
    const writer = this.#writer;
    this.#works = undefined;
    this.#writer = undefined;
    this.#discarding = writer?.discard();
    await this.#discarding;
  }

  /** What was stored stays. */
  async close(): Promise<void> {
    await this.#writer?.close();
  }

  /** Chunks that were written with another key would be taken for lost. */
  #checkKey(spool: GroupSpool): void {
    const key = this.#options.key?.fingerprintText ?? noKey;
    const written = spool.imageKey;
    if (written === key) return;
    if (written !== undefined && readdirSync(spool.images).length > 0) {
      const needed = written === noKey ? 'without encryption' : `with the key of fingerprint ${written}`;
      throw new CryptoError('WRONG_KEY', `the images that are staged were written ${needed}: mount it so, or remove them`);
    }
    spool.imageKey = key;
  }

  async #open(): Promise<ImageWorks> {
    const { context, key, spoolDirectory, log } = this.#options;
    await this.#discarding;
    const writer = await context.store.openChunkWriter({ key, warn: log, spool: spoolDirectory });
    this.#writer = writer;
    const keyNumber = key === undefined ? -1 : context.keys.findIndex(({ fingerprint }) => fingerprint.equals(key.fingerprint));
    return { writer, rooms: new ImageRooms(writer.memory), keyNumber };
  }
}
