/** Puts chunks into a local datastore, through worker threads. Who makes one holds the datastore's lock. Format: datastore, sections 3.2 to 3.4. */
import { closeSync, constants, openSync } from 'node:fs';
import { join } from 'node:path';
import { ChunkStorer, type StorerStatistics } from '../../codec/chunk-storer.js';
import { ContentMemory } from '../../codec/content-memory.js';
import type { EncryptionKey } from '../../crypto/encryption-key.js';
import { SharedSync } from '../../os/shared-sync.js';
import type { ChunkTarget, ReusedChunk, StoredChunk } from '../chunk-writer.js';
import type { WritableStore } from './writable-store.js';

export interface LocalChunksOptions {
  readonly store: Pick<WritableStore, 'location' | 'owner' | 'syncLevel'>;
  readonly key: EncryptionKey | undefined;
  /** Files lie here until they are whole. */
  readonly temporaryDirectory: string;
  readonly memoryBytes: number;
}

export class LocalChunks implements ChunkTarget {
  readonly memory: ContentMemory;
  readonly #storer: ChunkStorer;
  readonly #durable: boolean;
  /** Of the chunk store; its errors are told to whoever has had it open. */
  readonly #fd: number;
  readonly #sync = new SharedSync(() => this.#storer.syncFiles(this.#fd));
  #closed = false;

  constructor({ store, key, temporaryDirectory, memoryBytes }: LocalChunksOptions) {
    this.memory = new ContentMemory(memoryBytes);
    const chunksDirectory = join(store.location, '.chunks');
    this.#fd = openSync(chunksDirectory, constants.O_RDONLY | constants.O_DIRECTORY);
    this.#durable = store.syncLevel === 'file';
    this.#storer = new ChunkStorer({
      memory: this.memory,
      key,
      chunksDirectory,
      temporaryDirectory,
      owner: store.owner,
      durable: this.#durable,
    });
    this.#storer.start();
  }

  get statistics(): StorerStatistics {
    return this.#storer.statistics;
  }

  putChunk(content: Buffer): Promise<StoredChunk> {
    return this.#counted(this.#storer.put(content));
  }

  putZeros(length: number): Promise<StoredChunk> {
    return this.#counted(this.#storer.putZeros(length));
  }

  reuseChunks(chunks: readonly ReusedChunk[]): Promise<readonly number[]> {
    return this.#counted(this.#storer.touch(chunks));
  }

  /** Also at sync level `none`. */
  async sync(): Promise<void> {
    if (!this.#durable) await this.#sync.done();
  }

  /** All of the file system that `fd` is on, on a worker thread: the disk may take long. Errors since `fd` was opened are thrown. */
  syncFiles(fd: number): Promise<void> {
    return this.#storer.syncFiles(fd);
  }

  /** Resolves when what runs is done and the threads have ended; what waits is refused. */
  async close(): Promise<void> {
    await this.#storer.close();
    if (!this.#closed) closeSync(this.#fd);
    this.#closed = true;
  }

  async #counted<T>(work: Promise<T>): Promise<T> {
    try {
      return await work;
    } finally {
      this.#sync.note();
    }
  }
}
