/** A datastore as a file system: what a driver mounts and what the command line walks through. */
import { DamageLog } from '../archive/damage.js';
import { ChunkCache } from '../codec/chunk-cache.js';
import type { DiskCache } from '../codec/disk-cache.js';
import type { EncryptionKey } from '../crypto/encryption-key.js';
import type { Namespace } from '../format/namespace.js';
import { loadZstd } from '../os/zstd/zstd.js';
import type { Datastore } from '../store/datastore.js';
import type { Directory, Entry, FileSystem, FileSystemStatistics, InodeFlags, Ino, MaybePromise, OpenFile } from '../vfs/file-system.js';
import { andThen } from '../vfs/maybe.js';
import type { WriteOperations } from '../vfs/writable-file-system.js';
import { archiveInoMin, ArchiveShelf } from './archive-shelf.js';
import { NodeRegistry, type TreeContext } from './context.js';
import { groupKey, namespaceDirectory } from './namespace-directory.js';
import { freshMs, stale, type TreeNode, type Xattrs } from './node.js';
import type { PxarArchive } from './pxar-archive.js';
import { reportDirectory } from './report-directory.js';
import { Staging, type StagingOptions } from './staging/staging.js';
import type { StagingTree } from './staging/staging-tree.js';
import { treeWriting } from './tree-writing.js';

export interface TreeOptions {
  readonly store: Datastore;
  readonly keys: readonly EncryptionKey[];
  /** Becomes the root of the tree. */
  readonly namespace: Namespace;
  /** For decoded chunks; rounded to whole 16 MiB. */
  readonly cacheBytesMax: number;
  /** For chunk files; closed with the tree. */
  readonly diskCache?: DiskCache | undefined;
  /** Zeros in place of what is lost, and marked: nothing else is refused for damage. */
  readonly salvage: boolean;
  readonly log: (line: string) => void;
}

export interface DatastoreTree extends FileSystem {
  /** Adds facts about who serves the tree to `.pbsfs/status.json`. */
  reportDriver(facts: () => object): void;
  /** Calls `forget` for names that were removed from the store or mean something else now, as soon as that is noticed. */
  followChanges(forget: (parent: Ino, name: Buffer) => void): void;
  close(): Promise<void>;
}

const noFlags: InodeFlags = { flags: 0, projectId: 0, fatAttributes: 0 };

class Tree implements DatastoreTree {
  readonly root: Ino;
  readonly writing: WriteOperations | undefined;
  readonly #context: TreeContext;
  #driverFacts: () => object = () => ({});

  constructor(context: TreeContext, namespace: Namespace) {
    this.#context = context;
    const report = reportDirectory(context, () => this.#driverFacts());
    this.writing = context.staging && treeWriting(context, context.staging);
    this.root = namespaceDirectory(context, namespace, new Map([['.pbsfs', () => report]])).ino;
  }

  reportDriver(facts: () => object): void {
    this.#driverFacts = facts;
  }

  followChanges(forget: (parent: Ino, name: Buffer) => void): void {
    this.#context.store.watch((directory) => {
      const node = this.#context.nodes.withKey(groupKey(directory));
      if (node !== undefined) void forgetChanged(node, forget);
    });
  }

  async close(): Promise<void> {
    await this.#context.staging?.close();
    await Promise.all([this.#context.cache.close(), this.#context.store.close()]);
  }

  lookup(parent: Ino, name: Buffer): MaybePromise<Entry | undefined> {
    const staged = this.#staged(parent);
    if (staged !== undefined) return staged.lookup(parent, name);
    return this.#with(parent, (node) => node.lookup(name), (archive) => archive.lookup(parent, name));
  }

  getattr(ino: Ino): MaybePromise<Entry> {
    const staged = this.#staged(ino);
    if (staged !== undefined) return staged.getattr(ino);
    if (ino >= archiveInoMin) {
      const root = this.#context.archives.rootOf(ino);
      if (ino === root.ino) return root.entry();
    }
    const entryOf = (node: TreeNode): MaybePromise<Entry> => andThen(node.attributes(), (attributes) => ({ attributes, ttlMs: freshMs }));
    return this.#with(ino, entryOf, (archive) => archive.getattr(ino));
  }

  readlink(ino: Ino): MaybePromise<Buffer> {
    const staged = this.#staged(ino);
    if (staged !== undefined) return staged.spool.readlink(ino);
    return this.#with(ino, (node) => node.readlink(), (archive) => archive.readlink(ino));
  }

  openDirectory(ino: Ino): MaybePromise<Directory> {
    const staged = this.#staged(ino);
    if (staged !== undefined) return staged.openDirectory(ino);
    return this.#with(ino, (node) => node.openDirectory(), (archive) => archive.openDirectory(ino));
  }

  open(ino: Ino): MaybePromise<OpenFile> {
    const staged = this.#staged(ino);
    if (staged !== undefined) return staged.open(ino);
    return this.#with(ino, (node) => node.open(), (archive) => archive.open(ino));
  }

  listxattr(ino: Ino): MaybePromise<readonly Buffer[]> {
    const staged = this.#staged(ino);
    if (staged !== undefined) return staged.spool.listxattr(ino);
    return andThen(this.#xattrs(ino), (values) => [...values.keys()].map((name) => Buffer.from(name, 'latin1')));
  }

  getxattr(ino: Ino, name: Buffer): MaybePromise<Buffer | undefined> {
    const staged = this.#staged(ino);
    if (staged !== undefined) return staged.spool.getxattr(ino, name);
    return andThen(this.#xattrs(ino), (values) => {
      const value = values.get(name.toString('latin1'));
      return typeof value === 'function' ? value() : value;
    });
  }

  inodeFlags(ino: Ino): MaybePromise<InodeFlags> {
    const staged = this.#staged(ino);
    if (staged !== undefined) return staged.spool.inodeFlags(ino);
    return this.#with(ino, () => noFlags, (archive) => archive.inodeFlags(ino));
  }

  /** Of the spool for what lies there, else of the datastore. */
  statfs(ino: Ino = this.root): MaybePromise<FileSystemStatistics> {
    const spooled = this.#staged(ino)?.statfs(ino);
    if (spooled !== undefined) return spooled;
    const blockSize = 4096;
    return this.#context.store.space().then(({ bytes, bytesFree }) => ({
      blockSize,
      blocks: Math.floor(bytes / blockSize),
      blocksFree: Math.floor(bytesFree / blockSize),
      files: 0,
      nameLengthMax: 255,
    }));
  }

  /** The staging directory that the inode is in. */
  #staged(ino: Ino): StagingTree | undefined {
    return ino >= archiveInoMin ? undefined : this.#context.staging?.tree(ino);
  }

  #xattrs(ino: Ino): MaybePromise<Xattrs> {
    if (ino >= archiveInoMin) {
      const root = this.#context.archives.rootOf(ino);
      if (ino === root.ino) return root.xattrs();
    }
    return this.#with<Xattrs>(ino, (node) => node.xattrs(), (archive) => archive.xattrs(ino));
  }

  #with<T>(ino: Ino, ofNode: (node: TreeNode) => MaybePromise<T>, ofArchive: (archive: PxarArchive) => MaybePromise<T>): MaybePromise<T> {
    if (ino >= archiveInoMin) return this.#context.archives.rootOf(ino).use(ofArchive);
    const node = this.#context.nodes.get(ino);
    if (node === undefined) throw stale(ino);
    return ofNode(node);
  }
}

async function forgetChanged(node: TreeNode, forget: (parent: Ino, name: Buffer) => void): Promise<void> {
  try {
    for (const name of await node.changedNames()) forget(node.ino, Buffer.from(name));
  } catch {
    // What can't be listed any more is asked for again by whoever looks at it.
  }
}

export function openDatastoreTree(options: TreeOptions): DatastoreTree {
  return new Tree(contextOf(options), options.namespace);
}

/** One in which new snapshots can be made. BUSY if the spool is in use. */
export async function openWritableTree(options: TreeOptions, staging: StagingOptions): Promise<DatastoreTree> {
  const context = contextOf(options);
  try {
    context.staging = await Staging.open(context, staging, options.log);
  } catch (error) {
    await context.cache.close();
    throw error;
  }
  return new Tree(context, options.namespace);
}

function contextOf({ store, keys, salvage, log, cacheBytesMax, diskCache }: TreeOptions): TreeContext {
  return {
    store,
    keys,
    salvage,
    log,
    cache: new ChunkCache({ bytesMax: cacheBytesMax, keys: keys.map(({ encKey }) => encKey), source: store.chunks, diskCache }),
    damage: new DamageLog(log),
    zstd: loadZstd(),
    owner: { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 },
    opened: { sec: Math.floor(Date.now() / 1000), nsec: 0 },
    nodes: new NodeRegistry(),
    archives: new ArchiveShelf(),
    staging: undefined,
  };
}
