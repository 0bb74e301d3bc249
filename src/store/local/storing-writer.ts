/** What writers of chunks have in common that store them in a directory laid out as a datastore's. */
import type { StorerStatistics } from '../../codec/chunk-storer.js';
import type { ContentMemory } from '../../codec/content-memory.js';
import type { EncryptionKey } from '../../crypto/encryption-key.js';
import type { ReusedChunk, StoredChunk } from '../chunk-writer.js';
import type { LocalChunks } from './chunks.js';

export abstract class StoringWriter {
  #closing: Promise<void> | undefined;

  constructor(
    protected readonly chunks: LocalChunks,
    readonly key: EncryptionKey | undefined,
  ) {}

  get memory(): ContentMemory {
    return this.chunks.memory;
  }

  get statistics(): StorerStatistics {
    return this.chunks.statistics;
  }

  putChunk(content: Buffer): Promise<StoredChunk> {
    return this.chunks.putChunk(content);
  }

  putZeros(length: number): Promise<StoredChunk> {
    return this.chunks.putZeros(length);
  }

  reuseChunks(chunks: readonly ReusedChunk[]): Promise<readonly number[]> {
    return this.chunks.reuseChunks(chunks);
  }

  sync(): Promise<void> {
    return this.chunks.sync();
  }

  /** Once, however often it is called. */
  close(): Promise<void> {
    return (this.#closing ??= this.end());
  }

  protected abstract end(): Promise<void>;
}
