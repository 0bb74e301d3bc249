/**
 * Writing one snapshot. While a session lives, its group is locked against other writers, the newest snapshot against removal,
 * and the datastore against garbage collection. Nothing of the new snapshot can be seen before `finish` has made it whole and durable;
 * chunks stay useful whatever happens. Format: datastore, sections 3.2 to 3.7 and 4.4.
 */
import type { ReusedChunk, StoredChunk, StorerStatistics } from '../codec/chunk-storer.js';
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
}

export type { ReusedChunk, StoredChunk };
export type SessionStatistics = StorerStatistics;

export interface BackupSession extends ChunkTarget {
  readonly snapshot: SnapshotName;
  readonly owner: string;
  /** The newest finished snapshot of the group. */
  readonly previous: SnapshotName | undefined;
  /** `bytes`: a whole index file. */
  writeIndex(fileName: string, bytes: Buffer): Promise<void>;
  /** `bytes`: an encoded blob. */
  writeBlob(fileName: string, bytes: Buffer): Promise<void>;
  /** Writes the manifest (an encoded blob) and makes the snapshot visible. When it resolves, all of it survives a power cut. */
  finish(manifest: Buffer): Promise<void>;
  /** Removes what was written but for chunks. Does nothing after finish(). Never rejects. */
  abort(): Promise<void>;
}
