/** One thing in the tree outside of archives. What a kind of node does not say otherwise it refuses. */
import { FileError } from '../errors.js';
import type { Attributes, Directory, DirectoryEntry, Entry, Ino, MaybePromise, OpenFile, Timestamp } from '../vfs/file-system.js';
import { S_IFDIR, S_IFLNK, S_IFREG } from '../vfs/file-system.js';

/** What the store may change is asked for again after this time: changes show within two seconds. */
export const freshMs = 500;

/** A value, or how to work it out. */
export type XattrValue = Buffer | (() => MaybePromise<Buffer>);
export type Xattrs = ReadonlyMap<string, XattrValue>;

export const noXattrs: Xattrs = new Map();

export abstract class TreeNode {
  constructor(readonly ino: Ino) {}

  abstract attributes(): MaybePromise<Attributes>;

  lookup(_name: Buffer): MaybePromise<Entry | undefined> {
    throw new FileError('NOT_A_DIRECTORY', 'not a directory');
  }

  openDirectory(): MaybePromise<Directory> {
    throw new FileError('NOT_A_DIRECTORY', 'not a directory');
  }

  open(): MaybePromise<OpenFile> {
    throw new FileError('IS_A_DIRECTORY', 'not a file that can be read');
  }

  readlink(): MaybePromise<Buffer> {
    throw new FileError('NOT_A_LINK', 'not a symbolic link');
  }

  /** Names in a directory that no longer mean what they meant when it was listed last. */
  changedNames(): MaybePromise<readonly string[]> {
    return [];
  }

  xattrs(): MaybePromise<Xattrs> {
    return noXattrs;
  }

  /** Of a directory in which something can be made. */
  makeDirectory(_name: Buffer): MaybePromise<Entry> {
    throw readOnly();
  }

  removeDirectory(_name: Buffer): MaybePromise<void> {
    throw readOnly();
  }

  /** Gives what is called `name` here another name, here or in another directory. */
  rename(_name: Buffer, _to: TreeNode, _toName: Buffer): MaybePromise<void> {
    throw readOnly();
  }

  setXattr(_name: string, _value: Buffer): MaybePromise<void> {
    throw readOnly();
  }
}

export function readOnly(): FileError {
  return new FileError('READ_ONLY', 'snapshots can not be changed; new ones are made in a directory called staging');
}

/** The kernel may know what was staged for longer than it is there. */
export function stale(ino: Ino): FileError {
  return new FileError('STALE', `no file has the inode number ${ino} any more`);
}

export interface NodeOwner {
  readonly uid: number;
  readonly gid: number;
}

export function directoryAttributes(ino: Ino, owner: NodeOwner, time: Timestamp, permissions = 0o555): Attributes {
  // As on btrfs, a link count of 1 means that subdirectories are not counted.
  return { ...common(ino, owner, time), mode: S_IFDIR | permissions, nlink: 1, size: 0, blocks: 0 };
}

/** Files may hold secrets of a whole machine: only the owner of the mount reads them. */
export function fileAttributes(ino: Ino, owner: NodeOwner, time: Timestamp, size: number, allocatedBytes = size): Attributes {
  return { ...common(ino, owner, time), mode: S_IFREG | 0o400, nlink: 1, size, blocks: Math.ceil(allocatedBytes / 512) };
}

export function linkAttributes(ino: Ino, owner: NodeOwner, time: Timestamp, target: Buffer): Attributes {
  return { ...common(ino, owner, time), mode: S_IFLNK | 0o777, nlink: 1, size: target.length, blocks: 0 };
}

function common(ino: Ino, owner: NodeOwner, time: Timestamp): Omit<Attributes, 'mode' | 'nlink' | 'size' | 'blocks'> {
  return { ino, uid: owner.uid, gid: owner.gid, rdevMajor: 0, rdevMinor: 0, atime: time, mtime: time, ctime: time };
}

/** A directory whose entries are known as a whole. */
export function listedDirectory(entries: readonly DirectoryEntry[]): Directory {
  return {
    caching: 'changing',
    read: (index, count) => entries.slice(index, index + count),
    close: () => undefined,
  };
}
