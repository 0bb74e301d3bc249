/**
 * Chunks into a datastore. Of a backup session it is the part that needs no group; alone it serves what writes chunks long before it is
 * known for which snapshot. The datastore is locked against garbage collection while a writer lives; chunks that no index names
 * afterwards are collected a day later. Format: datastore, sections 3.2 to 3.5.
 */
import type { ReusedChunk, StoredChunk, StorerStatistics } from '../codec/chunk-storer.js';
import type { ContentMemory } from '../codec/content-memory.js';
import type { EncryptionKey } from '../crypto/encryption-key.js';

export type { ReusedChunk, StoredChunk };

export interface ChunkWriterOptions {
  /** Present if chunks are to be encrypted. */
  readonly key: EncryptionKey | undefined;
  readonly warn: (line: string) => void;
  /** Directory for what can't be in the datastore before a snapshot needs it, as on a server; kept between writers. */
  readonly spool?: string | undefined;
}

/** What puts chunks. */
export interface ChunkTarget {
  /** Where contents of chunks must lie. */
  readonly memory: ContentMemory;
  readonly statistics: StorerStatistics;
  /**
   * Makes sure that a chunk with this content is in the datastore. `content` is a view of `memory`, 1 byte to chunkBytesMax, and must
   * not change before this settles. Rejects with the system's error (ENOSPC, EACCES, EIO...).
   */
  putChunk(content: Buffer): Promise<StoredChunk>;
  /** As putChunk() for `length` zeros, which need no memory; hashed and stored at most once for each length. */
  putZeros(length: number): Promise<StoredChunk>;
  /**
   * For chunks that an earlier index names: keeps them from the next garbage collection. Gives the positions of those whose file is missing,
   * empty or of an impossible size: their content has to be put again.
   */
  reuseChunks(chunks: readonly ReusedChunk[]): Promise<readonly number[]>;
}

export interface ChunkWriter extends ChunkTarget {
  /** Present if chunks are encrypted. */
  readonly key: EncryptionKey | undefined;
  /** When it resolves, all that was put or reused before survives a power cut. Costs nothing if that is so already. */
  sync(): Promise<void>;
  /** Resolves when what runs is done; what waits is refused. */
  close(): Promise<void>;
  /** As close(); what was put is not needed by anything but snapshots any more, and takes no space in the spool. */
  discard(): Promise<void>;
}
