/** What a backup is asked to do, what it tells while it works, and what it has done. */
import type { EncryptionKey } from '../crypto/encryption-key.js';
import { StoreError } from '../errors.js';
import type { CryptMode } from '../format/manifest.js';
import type { GroupName, SnapshotName } from '../format/snapshot-name.js';
import type { Datastore } from '../store/datastore.js';
import type { MaybePromise } from '../vfs/file-system.js';
import type { SourceFileEntry } from './archive-options.js';
import type { ArchiveSpec } from './archive-spec.js';
import type { ChangedBlocks } from './changed-blocks.js';
import type { ClonedContent } from './cloned-content.js';

/** `legacy`: one stream and a catalog; `data`: split, everything is read; `metadata`: split, unchanged files are not read. */
export const archiveModes = ['legacy', 'data', 'metadata'] as const;
export type ArchiveMode = (typeof archiveModes)[number];

export interface BackupEncryption {
  readonly cryptMode: CryptMode;
  /** Present unless the mode is `none`. */
  readonly key: EncryptionKey | undefined;
  /** The content of `rsa-encrypted.key`: the key for whoever has the private master key. */
  readonly encryptedKey: Buffer | undefined;
}

/** How a file tree is walked. */
export interface WalkOptions {
  /** Patterns of the command line, in their order. */
  readonly excludes: readonly Buffer[];
  readonly skipLostAndFound: boolean;
  readonly allFileSystems: boolean;
  /** Paths on further file systems that are not skipped. */
  readonly includeDevices: readonly string[];
  readonly skipUnreadable: boolean;
  readonly skipE2bigXattr: boolean;
  /** Most entries of the directories along one path together. */
  readonly entriesMax: number;
  /**
   * It is a spool of ours: `.pxarexclude` files are files like others, attributes `user.pbsfs.*` are not archived, and all but clones is read:
   * programs set times in a mount as they like, and the content is at hand.
   */
  readonly isSpool?: boolean;
}

/** An image whose chunks are in the datastore already. */
export interface PreparedImage {
  finish(): Promise<{
    /** Bytes. */
    readonly size: number;
    /** 32 bytes for each chunk of 4 MiB, in order. */
    readonly digests: Buffer;
    /** In chunks that are not as in the index with the checksum `baseCsum`; all if there is none. */
    readonly dirtyBytes: number;
    readonly baseCsum: Buffer | undefined;
  }>;
}

export interface BackupRequest {
  readonly store: Datastore;
  readonly group: GroupName;
  /** Seconds since 1970. */
  readonly time: number;
  readonly specs: readonly ArchiveSpec[];
  /** Undefined: `metadata` for what the previous snapshot has split, else `data`. */
  readonly mode: ArchiveMode | undefined;
  readonly encryption: BackupEncryption;
  readonly owner: string | undefined;
  readonly notes: string | undefined;
  readonly walk: WalkOptions;
  /** Average bytes of a chunk of an archive. */
  readonly chunkAverageBytes: number;
  /** By name of the image. */
  readonly changed: ReadonlyMap<string, ChangedBlocks>;
  /** By name of the image; their sources are not looked at. */
  readonly prepared?: ReadonlyMap<string, PreparedImage>;
  /** Contents of files of the archive `name` that lie elsewhere; undefined for files whose content is their own. */
  readonly clonedContent?: ((name: string, file: SourceFileEntry) => MaybePromise<ClonedContent | undefined>) | undefined;
  /** Called with the encoded manifest just before it makes the snapshot visible. */
  readonly beforeFinish?: (manifest: Buffer) => Promise<void>;
  readonly signal: AbortSignal;
  readonly observer: BackupObserver;
}

export interface BackupProgress {
  /** Of the source, read or known to be unchanged. */
  readonly bytes: number;
  /** Undefined where it can't be known ahead. */
  readonly bytesTotal: number | undefined;
  /** Those of `bytes` that the datastore had already. */
  readonly bytesReused: number;
}

export interface BackupObserver {
  /** A line of the log that tells what is done. */
  log(line: string): void;
  /** Something was left out or is not as it should be; the backup goes on. */
  warn(line: string): void;
  progress(archive: string, progress: BackupProgress): void;
  finishedArchive(result: ArchiveResult): void;
}

export interface ArchiveResult {
  readonly name: string;
  readonly kind: ArchiveSpec['kind'] | 'catalog';
  /** Bytes of all its streams, or of the blob. */
  readonly bytes: number;
  readonly bytesReused: number;
  /** Bytes that were added to the datastore, encoded. */
  readonly bytesStored: number;
  readonly durationMs: number;
  /** Of an archive. */
  readonly files?: number;
}

export interface BackupResult {
  readonly snapshot: SnapshotName;
  readonly owner: string;
  readonly archives: readonly ArchiveResult[];
  readonly warnings: number;
  readonly durationMs: number;
}

export function interrupted(): StoreError {
  return new StoreError('INTERRUPTED', 'the backup was interrupted; nothing of the snapshot is left, its chunks serve the next one');
}
