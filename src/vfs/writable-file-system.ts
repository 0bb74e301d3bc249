/**
 * What a file system offers that can be changed, beyond the contract in file-system.ts. A driver asks for a change only after the
 * permission bits and ACLs allowed it; types of files, names that exist and directories that are not empty are the file system's
 * matter. Refusals are thrown as there: an error that errno.ts knows, or one of the system.
 *
 * The kernel caches what an `exclusive` file holds, and knows of each change that it asked for. Changes of the same inode may be
 * asked for while an earlier one is still promised; those of one directory's names, and writes to one file, come one by one unless
 * a caller was killed while it waited.
 */
import type { Attributes, Entry, FileSystem, Ino, MaybePromise, OpenFile, Timestamp } from './file-system.js';

/** Who asks; 0 throughout where the kernel does, as for what it had to write later. */
export interface Caller {
  readonly uid: number;
  readonly gid: number;
  /** Id of the thread; 0 where it is not known here. */
  readonly pid: number;
}

/** `new-node.ts` says what becomes of these in a given directory. */
export interface NewNode {
  /** The 12 permission bits that the program asked for, before `umask`. */
  readonly mode: number;
  /** Taken off unless the directory has a default ACL. */
  readonly umask: number;
  readonly caller: Caller;
}

export interface NewSpecialFile extends NewNode {
  /** S_IFMT bits: a regular file, fifo, socket or device. */
  readonly type: number;
  readonly rdevMajor: number;
  readonly rdevMinor: number;
}

export interface NewFile extends NewNode {
  /** EXISTS if the name is there (O_EXCL); else that file is opened. */
  readonly exclusive: boolean;
  /** The file that is there is emptied. */
  readonly truncate: boolean;
  /** As in OpenOptions. */
  readonly killPrivileges: boolean;
}

export interface OpenOptions {
  /** Empties the file. */
  readonly truncate: boolean;
  /** With `truncate`: set-uid, and set-gid where the group may execute, go. The capability goes with or without. */
  readonly killPrivileges: boolean;
}

export interface Place {
  readonly parent: Ino;
  readonly name: Buffer;
}

/** `replace` takes the place of what is there, `keep` is EXISTS then, `exchange` needs both and swaps them. */
export type RenameMode = 'replace' | 'keep' | 'exchange';

/** What is absent stays. ctime becomes now unless given. */
export interface AttributeChanges {
  /** The 12 permission bits. The access ACL, if there is one, follows (posix-acl.ts). */
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly size?: number;
  readonly atime?: Timestamp | 'now';
  readonly mtime?: Timestamp | 'now';
  readonly ctime?: Timestamp;
  /** Set-uid, and set-gid where the group may execute, go. The capability goes with each change of owner or size. */
  readonly killPrivileges: boolean;
}

export interface NewXattr {
  readonly name: Buffer;
  readonly value: Buffer;
  /** `create` is EXISTS if it is there, `replace` is NO_DATA if not. */
  readonly mode: 'set' | 'create' | 'replace';
  /** With an access ACL: the set-gid bit goes. */
  readonly killSetGroupId: boolean;
}

/** Bits of InodeFlags.flags; what is in neither stays. */
export interface InodeFlagChanges {
  readonly set: number;
  readonly clear: number;
  readonly projectId?: number;
}

/** `reserve` allocates, `zero` also makes it read as zeros, `punch` gives it back and makes it a hole (the size stays). */
export interface Allocation {
  readonly kind: 'reserve' | 'zero' | 'punch';
  readonly offset: number;
  readonly length: number;
  /** Not extended where the range ends beyond the size. */
  readonly keepSize: boolean;
}

export interface WriteOptions {
  /** Set-uid, and set-gid where the group may execute, go. The capability goes with or without. */
  readonly killPrivileges: boolean;
}

/** Open for writing, and for reading whatever the program asked for: the driver keeps to that. */
export interface WritableFile extends OpenFile {
  /**
   * Writes at `offset`, also for programs that append, and gives how many bytes it took: fewer are an error to most programs. `data` is
   * valid during the call only: what is kept for later must be copied.
   */
  write(offset: number, data: Buffer, options: WriteOptions): MaybePromise<number>;
  /** At each close of each descriptor; the program gets the error. Nothing need be durable. */
  flush(): MaybePromise<void>;
  /** NOT_SUPPORTED for what cannot be had. */
  allocate(allocation: Allocation, options: WriteOptions): MaybePromise<void>;
}

export interface Created {
  readonly entry: Entry;
  readonly file: WritableFile;
}

export interface CopiedRange {
  /** Any open file, of something that cannot be written too. */
  readonly source: OpenFile;
  readonly sourceOffset: number;
  readonly target: WritableFile;
  readonly targetOffset: number;
  readonly length: number;
}

export interface WriteOperations {
  create(parent: Ino, name: Buffer, file: NewFile): MaybePromise<Created>;
  /** A file without a name (O_TMPFILE), nlink 0; `link` may give it one. */
  createUnnamed(parent: Ino, file: NewNode): MaybePromise<Created>;
  makeDirectory(parent: Ino, name: Buffer, directory: NewNode): MaybePromise<Entry>;
  makeSpecialFile(parent: Ino, name: Buffer, file: NewSpecialFile): MaybePromise<Entry>;
  makeSymbolicLink(parent: Ino, name: Buffer, target: Buffer, caller: Caller): MaybePromise<Entry>;
  link(ino: Ino, parent: Ino, name: Buffer): MaybePromise<Entry>;
  /** What is open, or still known to the kernel (`forget`), can be used as before. */
  unlink(parent: Ino, name: Buffer): MaybePromise<void>;
  removeDirectory(parent: Ino, name: Buffer): MaybePromise<void>;
  /**
   * The kernel then takes what had the old name to have the new one; a file system that shows something else there invalidates that
   * entry (Mounted.invalidateEntry).
   */
  rename(from: Place, to: Place, mode: RenameMode): MaybePromise<void>;
  setAttributes(ino: Ino, changes: AttributeChanges, file?: OpenFile): MaybePromise<Entry>;
  setxattr(ino: Ino, xattr: NewXattr): MaybePromise<void>;
  /** NO_DATA if there is none; to take an ACL from what has none is no error. */
  removexattr(ino: Ino, name: Buffer): MaybePromise<void>;
  setInodeFlags(ino: Ino, changes: InodeFlagChanges): MaybePromise<void>;
  /** Opens for writing. What is opened only to be read, `FileSystem.open` opens. */
  open(ino: Ino, options: OpenOptions): MaybePromise<WritableFile>;
  /** How many bytes were copied, 0 at the end of the source. NOT_SUPPORTED: the kernel reads and writes them itself. */
  copyRange(range: CopiedRange, options: WriteOptions): MaybePromise<number>;
  /**
   * What was written to a file (or the names in a directory) is durable when this is done; with `dataOnly` what is not needed to read it
   * again may be missing. Where nothing can be written there is nothing to do.
   */
  sync(ino: Ino, options: { readonly dataOnly: boolean }): MaybePromise<void>;
  /**
   * The kernel, which was told of the inode by an entry, has no use for it any more: without a name it is gone when the last who has it
   * open closes it. It may ask for one that has a name again. Nothing is told when a mount ends.
   */
  forget(ino: Ino): void;
}

/**
 * Of what `Directory.read` gives, here `entry` must be as things are at that moment and be absent where the name is gone since the
 * directory was opened. Reading from index 0 again shows what is there by then.
 */
export interface WritableFileSystem extends FileSystem {
  readonly writing: WriteOperations;
}

export function isWritable(fileSystem: FileSystem): fileSystem is WritableFileSystem {
  return 'writing' in fileSystem && fileSystem.writing !== undefined;
}

export function isWritableFile(file: OpenFile): file is WritableFile {
  return 'write' in file;
}

/** Mode after a write by somebody who may not keep it, or after a change of owner. */
export function withoutPrivileges({ mode }: Pick<Attributes, 'mode'>): number {
  const groupExecutes = (mode & 0o010) !== 0;
  return mode & ~(0o4000 | (groupExecutes ? 0o2000 : 0));
}
