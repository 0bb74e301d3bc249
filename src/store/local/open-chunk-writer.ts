/** A writer of chunks without a snapshot. Its temporary directory is hidden at the top of the datastore, where only names without a dot mean something. */
import { availableParallelism } from 'node:os';
import { rm } from 'node:fs/promises';
import { messageOf } from '../../errors.js';
import type { StorerStatistics } from '../../codec/chunk-storer.js';
import type { ContentMemory } from '../../codec/content-memory.js';
import type { EncryptionKey } from '../../crypto/encryption-key.js';
import type { ChunkWriter, ChunkWriterOptions, ReusedChunk, StoredChunk } from '../chunk-writer.js';
import { LocalChunks } from './chunks.js';
import { makeHidden, removeLeftovers } from './hidden.js';
import { LockStack } from './locks.js';
import { permissionOf } from './permission.js';
import type { ServerPaths } from './server.js';
import { openWritable } from './writable-store.js';

/** For what is being filled, and for what the workers have. */
const memoryBytesMin = 64 << 20;
const memoryBytesMax = 160 << 20;
const memoryBytesPerWorker = 12 << 20;

export async function openLocalChunkWriter(location: string, paths: ServerPaths, { key, warn }: ChunkWriterOptions): Promise<ChunkWriter> {
  const locks = new LockStack();
  try {
    const store = await openWritable(location, paths, warn, locks);
    await removeLeftovers(location, warn);
    const { path, lock } = await makeHidden(location, store.owner);
    locks.push(lock);
    const memoryBytes = Math.min(Math.max(memoryBytesMin, availableParallelism() * memoryBytesPerWorker), memoryBytesMax);
    return new LocalChunkWriter({ chunks: new LocalChunks({ store, key, temporaryDirectory: path, memoryBytes }), key, path, locks, warn });
  } catch (error) {
    locks.release();
    throw permissionOf(error);
  }
}

interface Parts extends Omit<ChunkWriterOptions, 'spool'> {
  readonly chunks: LocalChunks;
  /** The temporary directory; locked. */
  readonly path: string;
  readonly locks: LockStack;
}

class LocalChunkWriter implements ChunkWriter {
  readonly #parts: Parts;
  #closing: Promise<void> | undefined;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  get key(): EncryptionKey | undefined {
    return this.#parts.key;
  }

  get memory(): ContentMemory {
    return this.#parts.chunks.memory;
  }

  get statistics(): StorerStatistics {
    return this.#parts.chunks.statistics;
  }

  putChunk(content: Buffer): Promise<StoredChunk> {
    return this.#parts.chunks.putChunk(content);
  }

  putZeros(length: number): Promise<StoredChunk> {
    return this.#parts.chunks.putZeros(length);
  }

  reuseChunks(chunks: readonly ReusedChunk[]): Promise<readonly number[]> {
    return this.#parts.chunks.reuseChunks(chunks);
  }

  sync(): Promise<void> {
    return this.#parts.chunks.sync();
  }

  close(): Promise<void> {
    return (this.#closing ??= this.#close());
  }

  /** Garbage collection takes what no snapshot needs. */
  discard(): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    const { chunks, path, locks, warn } = this.#parts;
    try {
      await chunks.close();
      await rm(path, { recursive: true, force: true });
    } catch (error) {
      warn(`${path} could not be removed, the next writer will: ${messageOf(error)}`);
    } finally {
      locks.release();
    }
  }
}
