/**
 * What a mount, a restore, a backup or a server needs of a datastore, wherever it is. Nothing above this file may know
 * whether a store is local or remote. All operations but those that say so read; a store that others work on may answer NOT_FOUND for
 * what a listing has just named.
 */
import type { ChunkSource } from '../codec/chunk-source.js';
import type { ChunkIndex } from '../format/chunk-index.js';
import type { JsonObject } from '../format/json.js';
import type { Namespace } from '../format/namespace.js';
import type { GroupName, SnapshotName } from '../format/snapshot-name.js';
import type { Administration } from './administration.js';
import type { BackupOptions, BackupSession } from './backup-session.js';
import type { ChunkWriter, ChunkWriterOptions } from './chunk-writer.js';

export interface GroupFacts {
  readonly owner: string | undefined;
  readonly notes: string | undefined;
}

export interface StoredFile {
  /** Name on disk, with .fidx, .didx or .blob. */
  readonly name: string;
  /** Encoded bytes; undefined where the store does not tell. */
  readonly size: number | undefined;
}

/** What is in a snapshot's directory, manifest or not. */
export interface SnapshotFacts {
  readonly files: readonly StoredFile[];
  /** Whether there is a manifest. */
  readonly finished: boolean;
  readonly protected: boolean;
  /** Differs from an earlier value if a file was added, removed or replaced since. */
  readonly version: string;
}

export interface StoreSpace {
  readonly bytes: number;
  readonly bytesFree: number;
}

/** A snapshot that is not removed meanwhile. */
export interface HeldSnapshot {
  release(): void;
}

export interface Datastore {
  /** What a person typed to name it, made absolute. */
  readonly location: string;
  /** Names of the namespaces directly below `parent`, sorted. NOT_FOUND if `parent` is none. */
  namespaces(parent: Namespace): Promise<readonly string[]>;
  /** Groups of one namespace in the order of listings: ct, host, vm, then by id. */
  groups(namespace: Namespace): Promise<readonly GroupName[]>;
  groupFacts(group: GroupName): Promise<GroupFacts>;
  /** Snapshots of a group, oldest first, finished or not. NOT_FOUND if there is no such group. */
  snapshots(group: GroupName): Promise<readonly SnapshotName[]>;
  snapshotFacts(snapshot: SnapshotName): Promise<SnapshotFacts>;
  /** The encoded bytes of a blob file, the manifest's among them. */
  blob(snapshot: SnapshotName, fileName: string): Promise<Buffer>;
  /** A parsed index; its checksum is not compared with anything here. */
  index(snapshot: SnapshotName, fileName: string): Promise<ChunkIndex>;
  /** Bytes that the distinct chunks of an index take in the store; this asks for each of them. Absent where nobody can be asked. */
  encodedBytes?(index: ChunkIndex): Promise<number>;
  /** The chunks of all indexes, encoded. */
  readonly chunks: ChunkSource;
  space(): Promise<StoreSpace>;
  /**
   * Calls `listener` within two seconds (of a store on a server: as often as its listings are cheap) with the directory (relative to the store) whose listing changed, among those that were
   * listed before, until the function that it returns is called.
   */
  watch(listener: (directory: string) => void): () => void;
  /**
   * Begins to write a new snapshot. LOCKED: garbage collection, another backup of the group or something else keeps writers out;
   * EXISTS: the group has a snapshot that is not older; NOT_FOUND: there is no such namespace; NOT_OWNER; MAINTENANCE; NO_PERMISSION; NOT_SUPPORTED;
   * BAD_NAME and USAGE for names that cannot be.
   */
  beginBackup(options: BackupOptions): Promise<BackupSession>;
  /** An empty group, of `root@pam`. EXISTS, and what beginBackup() rejects with. */
  createGroup(group: GroupName, warn: (line: string) => void): Promise<void>;
  /** Removes a group without snapshots; nothing happens where there are some. */
  removeEmptyGroup(group: GroupName, warn: (line: string) => void): Promise<void>;
  /** The last component, in a namespace that is there. EXISTS, BAD_NAME. */
  createNamespace(namespace: Namespace, warn: (line: string) => void): Promise<void>;
  /** Writes chunks without a snapshot. LOCKED, MAINTENANCE, NO_PERMISSION, NOT_SUPPORTED. */
  openChunkWriter(options: ChunkWriterOptions): Promise<ChunkWriter>;
  /**
   * Keeps a finished snapshot from being removed, and so its chunks from being collected. LOCKED: it is being removed or written; NOT_FOUND,
   * MAINTENANCE, NO_PERMISSION. Format: datastore, section 3.6.
   */
  holdSnapshot(snapshot: SnapshotName, warn: (line: string) => void): Promise<HeldSnapshot>;
  /** What changes or removes snapshots, groups and namespaces. Nothing is locked until it is used. `warn` gets what went wrong without being an error. */
  administration(warn: (line: string) => void): Promise<Administration>;
  /** How the way to the store is, for `.pbsfs/status.json`. Absent where there is nothing to tell. */
  state?(): JsonObject;
  close(): Promise<void>;
}
