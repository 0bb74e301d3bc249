/** The part of the npm package fuse-native that is used, and what it takes. */
import type { Attributes, FileSystemStatistics, Timestamp } from '../vfs/file-system.js';
import { encodeDevice } from './wire/attributes.js';

/** `errno` is 0 or negative. */
export type NativeCallback<T extends unknown[] = []> = (errno: number, ...values: T) => void;

export interface NativeStat {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly nlink: number;
  readonly ino: number;
  readonly rdev: number;
  readonly blocks: number;
  /** Milliseconds. */
  readonly atime: number;
  readonly mtime: number;
  readonly ctime: number;
}

export interface NativeStatfs {
  readonly bsize: number;
  readonly frsize: number;
  readonly blocks: number;
  readonly bfree: number;
  readonly bavail: number;
  readonly files: number;
  readonly namemax: number;
}

export interface NativeHandlers {
  getattr(path: string, done: NativeCallback<[NativeStat?]>): void;
  readdir(path: string, done: NativeCallback<[string[]?, NativeStat[]?]>): void;
  readlink(path: string, done: NativeCallback<[string?]>): void;
  open(path: string, flags: number, done: NativeCallback<[number?]>): void;
  /** Takes the length or a negative errno. */
  read(path: string, handle: number, target: Buffer, length: number, offset: number, done: (result: number) => void): void;
  release(path: string, handle: number, done: NativeCallback): void;
  statfs(path: string, done: NativeCallback<[NativeStatfs?]>): void;
  /** That there are such handlers at all; NativeXattrHandlers do the work. */
  getxattr(): void;
  listxattr(): void;
}

/** What the package hands to its own wrappers: `signal` takes the length or a negative errno, and the memory of the target. */
export type NativeSignal = (result: number, memory: ArrayBufferLike) => void;

/** Methods of its class that are replaced: its own do not tell the handler how much room the caller has. */
export interface NativeXattrHandlers {
  _op_getxattr(signal: NativeSignal, path: string, name: string, target: Buffer): void;
  _op_listxattr(signal: NativeSignal, path: string, target: Buffer): void;
}

export interface NativeMount {
  mount(done: (error: Error | null) => void): void;
  unmount(done: (error: Error | null) => void): void;
}

export interface NativeOptions {
  /** Further options of libfuse may follow the name after commas. */
  readonly fsname: string;
  readonly attrTimeout: number;
  readonly entryTimeout: number;
  readonly maxRead: number;
  readonly allowOther: boolean;
  readonly defaultPermissions: boolean;
  readonly timeout: false;
}

export interface NativeLibrary {
  new (mountPoint: string, handlers: NativeHandlers, options: NativeOptions): NativeMount;
  unmount(mountPoint: string, done: (error: Error | null) => void): void;
}

/** Times before 1970 cannot be told. */
function milliseconds({ sec, nsec }: Timestamp): number {
  return Math.max(sec * 1000 + Math.floor(nsec / 1e6), 0);
}

export function nativeStat(attributes: Attributes): NativeStat {
  const { mode, uid, gid, size, nlink, ino, blocks } = attributes;
  const rdev = encodeDevice(attributes.rdevMajor, attributes.rdevMinor);
  const { atime, mtime, ctime } = attributes;
  return {
    mode,
    uid,
    gid,
    size,
    nlink,
    ino,
    rdev,
    blocks,
    atime: milliseconds(atime),
    mtime: milliseconds(mtime),
    ctime: milliseconds(ctime),
  };
}

const numberMax = 2 ** 32 - 1;

/** Counts are 32 bits: a large file system is told in larger blocks. */
export function nativeStatfs(statistics: FileSystemStatistics): NativeStatfs {
  let { blockSize, blocks, blocksFree } = statistics;
  while (blocks > numberMax) {
    blockSize *= 2;
    blocks = Math.floor(blocks / 2);
    blocksFree = Math.floor(blocksFree / 2);
  }
  const { files, nameLengthMax } = statistics;
  return {
    ...{ bsize: blockSize, frsize: blockSize, blocks, bfree: blocksFree, bavail: blocksFree },
    ...{ files: Math.min(files, numberMax), namemax: nameLengthMax },
  };
}
