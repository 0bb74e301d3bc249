/**
 * Writing one snapshot. While a session lives, its group is locked against other writers, the newest snapshot against removal,
 * and the datastore against garbage collection. Nothing of the new snapshot can be seen before `finish` has made it whole and durable;
 * chunks stay useful whatever happens. Format: datastore, sections 3.2 to 3.7 and 4.4.
 */
import type { ReusedChunk, StoredChunk, StorerStatistics } from '../codec/chunk-storer.js';
import type { ContentMemory } from '../codec/content-memory.js';
import type { EncryptionKey } from '../crypto/encryption-key.js';
import type { SnapshotName } from '../format/snapshot-name.js';
import type { ChunkTarget } from './chunk-writer.js';

export interface BackupOptions {
  readonly snapshot: SnapshotName;
  /** Present if chunks are to be encrypted. */
  readonly key: EncryptionKey | undefined;
  /** Of a new group; that of an existing one must allow it. Undefined: whoever owns the group, `root@pam` for a new one. */
  readonly owner: string | undefined;
  readonly warn: (line: string) => void;
  /** Ends the wait for a server. */
  readonly signal?: AbortSignal | undefined;
}

export type { ReusedChunk, StoredChunk };
export type SessionStatistics = StorerStatistics;

/** One index file of the snapshot, and its chunks. */
export interface IndexTarget extends ChunkTarget {
  /** Writes the index, a whole file. All chunks that it names were put or reused before, through this or another target of the session. */
  writeIndex(bytes: Buffer): Promise<void>;
}

export interface BackupSession {
  /** Where contents of chunks must lie, for all targets. */
  readonly memory: ContentMemory;
  readonly statistics: SessionStatistics;
  readonly snapshot: SnapshotName;
  readonly owner: string;
  /** The newest finished snapshot of the group. */
  readonly previous: SnapshotName | undefined;
  /**
   * Begins an index file. `size`: bytes of an image, if they are known ahead. INVALID_ARGUMENT for a name that no index has, EXISTS for one
   * that the snapshot has already; what only a server can refuse is refused when the first chunk is put, or the index.
   */
  openIndex(fileName: string, size?: number): IndexTarget;
  /** `bytes`: an encoded blob. */
  writeBlob(fileName: string, bytes: Buffer): Promise<void>;
  /** Writes the manifest (an encoded blob) and makes the snapshot visible. When it resolves, all of it survives a power cut. */
  finish(manifest: Buffer): Promise<void>;
  /** Removes what was written but for chunks. Does nothing after finish(). Never rejects. */
  abort(): Promise<void>;
}
