/**
 * A file system that can be written, over one directory: what is made in it are the directory's own files, links and special files, with
 * all that they have. The spool of an archive that is being staged.
 */
import { close, closeSync, fdatasync, fsync, statfsSync } from 'node:fs';
import { promisify } from 'node:util';
import { FileError } from '../../errors.js';
import { readLinkAt } from '../../os/directory-calls.js';
import { copyRange } from '../../os/file-extents.js';
import { statIfThere } from '../../os/file-stat.js';
import { syncFileSystemAside } from '../../os/file-sync.js';
import { openFlags } from '../../os/open-flags.js';
import {
  type Directory,
  type Entry,
  type FileSystemStatistics,
  type Ino,
  type InodeFlags,
  type MaybePromise,
  type OpenFile,
  S_IFDIR,
  S_IFLNK,
  S_IFREG,
} from '../../vfs/file-system.js';
import type { CopiedRange, WritableFileSystem, WriteOperations, WriteOptions } from '../../vfs/writable-file-system.js';
import { andThen } from '../../vfs/maybe.js';
import { OpenArchiveFile } from '../pxar-archive.js';
import { SpoolAttributes } from './spool-attributes.js';
import { SpoolClones, type CloneSource } from './spool-clones.js';
import { SpoolCore, type SpoolOptions, locationOf } from './spool-core.js';
import { SpoolCreation } from './spool-creation.js';
import { SpoolReader, SpoolWriter } from './spool-file.js';
import { SpoolDirectory } from './spool-listing.js';
import { SpoolNames } from './spool-names.js';
import type { SpoolNode } from './spool-node.js';
import { SpoolOpenFiles } from './spool-open-files.js';
import { type ReservedXattrs, SpoolXattrs } from './spool-xattrs.js';

const { O_RDONLY } = openFlags;
const noClones: CloneSource = {
  any: false,
  adopt: () => {
    throw mustCopy();
  },
  contentOf: () => {
    throw mustCopy();
  },
};
/** Copies of this length do not keep others waiting; programs ask for the rest. */
const copyBytesMax = 16 * 1024 * 1024;
const nameLengthMax = 255;
const syncs = { all: promisify(fsync), data: promisify(fdatasync) } as const;
const closeAside = promisify(close);

export interface SpoolTreeOptions extends SpoolOptions {
  /** Nothing unless said. */
  readonly reservedXattrs?: ReservedXattrs;
  /** Where clones have their bytes. There are none unless said. */
  readonly clones?: CloneSource;
}

export class SpoolTree implements WritableFileSystem {
  readonly root: Ino;
  readonly writing: WriteOperations;
  readonly #core: SpoolCore;
  readonly #xattrs: SpoolXattrs;
  readonly #files: SpoolOpenFiles;
  readonly #clones: SpoolClones;
  readonly #attributes: SpoolAttributes;

  constructor(options: SpoolTreeOptions) {
    this.#core = new SpoolCore(options);
    this.root = this.#core.nodes.root.ino;
    this.#xattrs = new SpoolXattrs(this.#core, options.reservedXattrs ?? (() => undefined));
    this.#clones = new SpoolClones(this.#core, this.#xattrs, options.clones ?? noClones);
    this.#core.isClone = (node) => this.#clones.of(node) !== undefined;
    this.#files = new SpoolOpenFiles(this.#core, this.#clones);
    this.#attributes = new SpoolAttributes(this.#core, this.#clones);
    this.writing = this.#writeOperations();
  }

  /** Files that are open, of those `openWriters` to be written. A file that is mapped into memory is open. */
  get openFiles(): number {
    return this.#files.files;
  }

  get openWriters(): number {
    return this.#files.writers + this.#clones.filling;
  }

  /** Inodes that the kernel knows or has open. */
  get knownInodes(): number {
    return this.#core.nodes.size;
  }

  /** Whether the inode is one of this tree that the kernel knows. */
  has(ino: Ino): boolean {
    return this.#core.nodes.has(ino);
  }

  /** A reserved attribute: `user.pbsfs.` and `name`. */
  fact(ino: Ino, name: string): Buffer | undefined {
    return this.#xattrs.fact(ino, name);
  }

  setFact(ino: Ino, name: string, value: Buffer | undefined): void {
    this.#xattrs.setFact(ino, name, value);
  }

  /** Everything that was written is durable: the whole file system that the spool is on is synchronized, on another thread. */
  async syncAll(): Promise<void> {
    const fd = this.#core.open(this.#core.begin(this.root), O_RDONLY);
    await syncFileSystemAside(fd).finally(() => closeAside(fd));
  }

  /** What is open is closed, and nothing can be asked any more. */
  close(): void {
    this.#files.closeAll();
    this.#core.close();
  }

  readonly lookup = (parent: Ino, name: Buffer): Entry | undefined => {
    const directory = this.#core.begin(parent);
    const location = locationOf(directory, name);
    const stat = statIfThere(this.#core.directory(directory), name);
    return stat && this.#core.told(location, stat);
  };

  getattr(ino: Ino): Entry {
    return this.#core.entry(this.#core.begin(ino));
  }

  readlink(ino: Ino): Buffer {
    const node = this.#core.begin(ino);
    if (node.type !== S_IFLNK) throw new FileError('NOT_A_LINK', 'not a symbolic link');
    const { fd, name } = this.#core.reach(node);
    return readLinkAt(fd, name);
  }

  openDirectory(ino: Ino): Directory {
    const node = this.#core.begin(ino);
    if (node.type !== S_IFDIR) throw new FileError('NOT_A_DIRECTORY', 'not a directory');
    return new SpoolDirectory(this.#core, node, this.lookup);
  }

  open(ino: Ino): OpenFile {
    return this.#files.read(this.#core.begin(ino));
  }

  listxattr(ino: Ino): readonly Buffer[] {
    return this.#xattrs.list(ino);
  }

  getxattr(ino: Ino, name: Buffer): Buffer | undefined {
    return this.#xattrs.get(ino, name);
  }

  inodeFlags(ino: Ino): InodeFlags {
    return this.#attributes.flags(ino);
  }

  statfs(): FileSystemStatistics {
    const { fd } = this.#core.reach(this.#core.begin(this.root));
    const { bsize, blocks, bfree, bavail, files, ffree } = statfsSync(`/proc/self/fd/${fd}`);
    return { blockSize: bsize, blocks, blocksFree: bfree, blocksAvailable: bavail, files, filesFree: ffree, nameLengthMax };
  }

  #writeOperations(): WriteOperations {
    const creation = new SpoolCreation(this.#core, this.#xattrs, this.#files);
    const names = new SpoolNames(this.#core);
    return {
      create: (parent, name, file) => creation.file(parent, name, file),
      createUnnamed: (parent, file) => creation.unnamedFile(parent, file),
      makeDirectory: (parent, name, directory) => creation.directory(parent, name, directory),
      makeSpecialFile: (parent, name, file) => creation.specialFile(parent, name, file),
      makeSymbolicLink: (parent, name, target, caller) => creation.symbolicLink(parent, name, target, caller),
      link: (ino, parent, name) => names.link(ino, parent, name),
      unlink: (parent, name) => names.unlink(parent, name),
      removeDirectory: (parent, name) => names.removeDirectory(parent, name),
      rename: (from, to, mode) => names.rename(from, to, mode),
      setAttributes: (ino, changes, file) => this.#attributes.set(ino, changes, file),
      setxattr: (ino, xattr) => this.#xattrs.set(ino, xattr),
      removexattr: (ino, name) => this.#xattrs.remove(ino, name),
      setInodeFlags: (ino, changes) => this.#attributes.setFlags(ino, changes),
      open: (ino, options) => this.#files.write(this.#core.begin(ino), options),
      copyRange: copySpooled,
      sync: (ino, { dataOnly }) => this.#syncNode(this.#core.begin(ino), dataOnly),
      forget: (ino) => this.#forget(ino),
    };
  }

  /** What makes a file a clone is no data. */
  #syncNode(node: SpoolNode, dataOnly: boolean): Promise<void> | undefined {
    return this.#sync(node, dataOnly && this.#clones.of(node) === undefined ? syncs.data : syncs.all);
  }

  /** On another thread: the disk takes its time. */
  #sync(node: SpoolNode, sync: (fd: number) => Promise<void>): Promise<void> | undefined {
    const file = this.#files.find(node);
    if (file !== undefined) return file.during(sync);
    if (node.type !== S_IFREG && node.type !== S_IFDIR) return undefined;
    const fd = this.#core.open(node, O_RDONLY);
    return sync(fd).finally(() => closeSync(fd));
  }

  #forget(ino: Ino): void {
    if (!this.has(ino) || ino === this.root) return;
    const node = this.#core.begin(ino);
    node.known = false;
    this.#core.nodes.dropIfUnused(node);
  }
}

/** Between two files of spools, or a whole file of an archive into one: the kernel reads and writes others itself. */
export function copySpooled({ target, ...range }: CopiedRange, options: WriteOptions): MaybePromise<number> {
  if (!(target instanceof SpoolWriter)) throw mustCopy();
  return andThen(copyTo(target, range), (copied) => {
    if (copied > 0) target.changed(options);
    return copied;
  });
}

function copyTo(target: SpoolWriter, { source, sourceOffset, targetOffset, length }: Omit<CopiedRange, 'target'>): MaybePromise<number> {
  const cloned = source instanceof SpoolReader ? source.clone : source instanceof OpenArchiveFile ? source : undefined;
  if (cloned !== undefined) {
    const isSameSpool = !(source instanceof SpoolReader) || source.clones === target.clones;
    if (!isSameSpool || sourceOffset !== targetOffset) throw mustCopy();
    return target.clones.clone(target, cloned, { offset: targetOffset, length });
  }
  if (!(source instanceof SpoolReader) || target.clone !== undefined) throw mustCopy();
  return copyRange(source.fd, { offset: sourceOffset, length: Math.min(length, copyBytesMax) }, target.fd, targetOffset);
}

function mustCopy(): FileError {
  return new FileError('NOT_SUPPORTED', 'ranges are copied only between files of a spool, or from the same place of a file in an archive');
}
