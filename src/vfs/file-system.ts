/**
 * The contract between a file system and whoever serves it (a kernel driver, the command line): operations on
 * inode numbers, attributes, bytes. A file system answers at once with a value when it can, else with a
 * promise, and refuses by throwing (or rejecting with) one of the errors that errno.ts knows.
 */

export type MaybePromise<T> = T | Promise<T>;

/** Inode number: positive, at most 2^53-1, never given to another object while the file system lives. */
export type Ino = number;

/** Seconds since 1970, floored (negative before), and nanoseconds 0..999999999 counted forward. */
export interface Timestamp {
  readonly sec: number;
  readonly nsec: number;
}

export interface Attributes {
  readonly ino: Ino;
  /** Type bits and the 12 permission bits. */
  readonly mode: number;
  readonly nlink: number;
  readonly uid: number;
  readonly gid: number;
  readonly rdevMajor: number;
  readonly rdevMinor: number;
  /** Bytes. */
  readonly size: number;
  /** Allocated 512-byte units. */
  readonly blocks: number;
  readonly atime: Timestamp;
  readonly mtime: Timestamp;
  readonly ctime: Timestamp;
}

/** Attributes, and for how long (milliseconds) they and the name may be believed without asking again. */
export interface Entry {
  readonly attributes: Attributes;
  readonly ttlMs: number;
}

export interface DirectoryEntry {
  readonly name: Buffer;
  readonly ino: Ino;
  /** Type bits of the mode (S_IFMT). */
  readonly type: number;
  /** Present where the attributes cost nothing more; a caller that lacks it looks the name up. */
  readonly entry?: Entry;
}

/**
 * `immutable`: what was read once stays true. `changing`: ask again at each open. `unsized`: read to the end, the size is not known.
 * `exclusive`: changes only by what the driver itself asks for (writable-file-system.ts).
 */
export type Caching = 'immutable' | 'changing' | 'unsized' | 'exclusive';

export interface Directory {
  readonly caching: Caching;
  /** The next read is of what is there then. What never changes need not have it. */
  rewind?(): void;
  /** Entries from `index` on in a stable order, at least one and about `count`; empty after the last. Without `.` and `..`. */
  read(index: number, count: number): MaybePromise<readonly DirectoryEntry[]>;
  close(): void;
}

export interface OpenFile {
  readonly caching: Caching;
  /**
   * The bytes [offset, offset + length), fewer only at the end of the file, as pieces in order. Pieces are views into memory
   * that is used again: they are valid until the current turn of the event loop ends. Copy what must live longer.
   */
  read(offset: number, length: number): MaybePromise<readonly Uint8Array[]>;
  /** Offset of the next data (or hole) at or after `offset`; NO_SUCH_ADDRESS at or past the end, or when no data follows. */
  seek(offset: number, what: 'data' | 'hole'): MaybePromise<number>;
  close(): void;
}

/** Inode flags as Linux shows them to lsattr: FS_*_FL bits, the project id, and FAT attribute bits. */
export interface InodeFlags {
  readonly flags: number;
  readonly projectId: number;
  readonly fatAttributes: number;
}

export interface FileSystemStatistics {
  readonly blockSize: number;
  readonly blocks: number;
  readonly blocksFree: number;
  /** What ordinary users may still take; all that is free unless said. */
  readonly blocksAvailable?: number;
  readonly files: number;
  /** None unless said. */
  readonly filesFree?: number;
  readonly nameLengthMax: number;
}

export interface FileSystem {
  readonly root: Ino;
  /** The entry called `name`, or undefined if there is none. Names are bytes. */
  lookup(parent: Ino, name: Buffer): MaybePromise<Entry | undefined>;
  getattr(ino: Ino): MaybePromise<Entry>;
  readlink(ino: Ino): MaybePromise<Buffer>;
  openDirectory(ino: Ino): MaybePromise<Directory>;
  open(ino: Ino): MaybePromise<OpenFile>;
  listxattr(ino: Ino): MaybePromise<readonly Buffer[]>;
  /** The value, or undefined if there is no such attribute. */
  getxattr(ino: Ino, name: Buffer): MaybePromise<Buffer | undefined>;
  inodeFlags(ino: Ino): MaybePromise<InodeFlags>;
  /** Of where the inode lies; of the root unless said. */
  statfs(ino?: Ino): MaybePromise<FileSystemStatistics>;
}

export const S_IFMT = 0o170000;
export const S_IFIFO = 0o010000;
export const S_IFCHR = 0o020000;
export const S_IFDIR = 0o040000;
export const S_IFBLK = 0o060000;
export const S_IFREG = 0o100000;
export const S_IFLNK = 0o120000;
export const S_IFSOCK = 0o140000;
