/** What a driver (something that shows a file system to the kernel) offers and takes. */
import type { FileSystem, Ino } from './file-system.js';

/** What a driver carries of the contract in file-system.ts; what is false here is missing or coarser there. */
export interface DriverCapabilities {
  readonly nonUtf8Names: boolean;
  readonly nanoseconds: boolean;
  readonly timesBefore1970: boolean;
  readonly inode64: boolean;
  readonly seekHoles: boolean;
  readonly inodeFlags: boolean;
  readonly xattrLarge: boolean;
  readonly posixAclEnforced: boolean;
  readonly invalidation: boolean;
  /** Carries a WritableFileSystem; a driver that does not refuses it. */
  readonly writing: boolean;
}

export interface DriverOptions {
  /** Absolute path of an existing directory. */
  readonly mountPoint: string;
  /** What `mount` and `df` show as the source. */
  readonly source: string;
  /** Other users see the tree; the kernel then checks permissions and ACLs itself. */
  readonly allowOther: boolean;
  /** Let the kernel check modes and ACLs also without `allowOther`; it always does so in what can be written. */
  readonly defaultPermissions: boolean;
  /** Further flags for the mount call as typed after -o (noexec, noatime, nosuid, dev ...). */
  readonly flags: readonly string[];
  readonly log: (line: string) => void;
}

export interface OperationStatistics {
  readonly name: string;
  readonly count: number;
  readonly errors: number;
}

export interface Mounted {
  /** Settles when the mount is gone: resolved after an unmount, rejected when the connection broke. */
  readonly done: Promise<void>;
  /** Unmounts; busy mounts are refused with BUSY unless `lazy`. */
  unmount(options?: { lazy?: boolean }): Promise<void>;
  statistics(): readonly OperationStatistics[];
  /** Tells the kernel that what it knows of an entry or of an inode is old. Nothing where `invalidation` is false. */
  invalidateEntry(parent: Ino, name: Buffer): void;
  invalidateInode(ino: Ino): void;
}

export interface Driver {
  readonly name: string;
  readonly capabilities: DriverCapabilities;
  /**
   * Resolves when the tree can be used, to write too if the file system allows it and `ro` is no flag. Throws NO_FUSE, NO_PRIVILEGE,
   * MOUNT_POINT or MOUNT_FAILED.
   */
  mount(fileSystem: FileSystem, options: DriverOptions): Promise<Mounted>;
}
