/** A writer of chunks without a snapshot. Its temporary directory is hidden at the top of the datastore, where only names without a dot mean something. */
import { availableParallelism } from 'node:os';
import { rm } from 'node:fs/promises';
import { messageOf } from '../../errors.js';
import type { EncryptionKey } from '../../crypto/encryption-key.js';
import type { ChunkWriter, ChunkWriterOptions } from '../chunk-writer.js';
import { LocalChunks } from './chunks.js';
import { makeHidden, removeLeftovers } from './hidden.js';
import { LockStack } from './locks.js';
import { permissionOf } from './permission.js';
import type { ServerPaths } from './server.js';
import { StoringWriter } from './storing-writer.js';
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
    return new LocalChunkWriter(new LocalChunks({ store, key, temporaryDirectory: path, memoryBytes }), key, { path, locks, warn });
  } catch (error) {
    locks.release();
    throw permissionOf(error);
  }
}

/** The temporary directory; locked. */
interface Place extends Pick<ChunkWriterOptions, 'warn'> {
  readonly path: string;
  readonly locks: LockStack;
}

class LocalChunkWriter extends StoringWriter implements ChunkWriter {
  constructor(
    chunks: LocalChunks,
    key: EncryptionKey | undefined,
    private readonly place: Place,
  ) {
    super(chunks, key);
  }

  /** Garbage collection takes what no snapshot needs. */
  discard(): Promise<void> {
    return this.close();
  }

  protected async end(): Promise<void> {
    const { path, locks, warn } = this.place;
    try {
      await this.chunks.close();
      await rm(path, { recursive: true, force: true });
    } catch (error) {
      warn(`${path} could not be removed, the next writer will: ${messageOf(error)}`);
    } finally {
      locks.release();
    }
  }
}
