/**
 * One staging directory: a spool, in which files at the top are limited to what becomes of them, and images are not files of the
 * spool but chunks. Nothing can be changed while it is committed.
 */
import type { EncryptionKey } from '../../crypto/encryption-key.js';
import { FileError, MountError, messageOf } from '../../errors.js';
import { chunkBytesMax } from '../../format/blob.js';
import {
  S_IFDIR,
  S_IFMT,
  S_IFREG,
  type Attributes,
  type Directory,
  type DirectoryEntry,
  type Entry,
  type FileSystemStatistics,
  type Ino,
  type MaybePromise,
  type OpenFile,
} from '../../vfs/file-system.js';
import { andThen } from '../../vfs/maybe.js';
import { printableName } from '../../vfs/name.js';
import {
  type Created,
  type NewFile,
  type Place,
  type RenameMode,
  type WritableFile,
  type WriteOperations,
} from '../../vfs/writable-file-system.js';
import { BlobWriter } from './blob-writer.js';
import type { StagedImage } from './image-file.js';
import { StagedImageWriter } from './staged-image-writer.js';
import type { StagedImages } from './staged-images.js';
import { stagedKind, type StagedKind } from './staged-name.js';
import type { SpoolTree } from './spool-tree.js';

export interface StagingTreeOptions {
  readonly spool: SpoolTree;
  readonly images: StagedImages;
  /** Of the chunks that are written. */
  readonly key: EncryptionKey | undefined;
  readonly log: (line: string) => void;
}

export class StagingTree {
  readonly spool: SpoolTree;
  readonly images: StagedImages;
  readonly writing: WriteOperations;
  readonly #key: EncryptionKey | undefined;
  readonly #log: (line: string) => void;
  /** What is at the top, by inode: names of images, and blobs. */
  readonly #imageOf = new Map<Ino, string>();
  readonly #blobs = new Set<Ino>();
  #imageWriters = 0;
  #lastLine = '';
  /** Set while it is committed. */
  frozen = false;

  constructor({ spool, images, key, log }: StagingTreeOptions) {
    this.#key = key;
    this.spool = spool;
    this.images = images;
    this.#log = log;
    this.writing = this.#operations();
  }

  get root(): Ino {
    return this.spool.root;
  }

  has(ino: Ino): boolean {
    return this.spool.has(ino);
  }

  get openWriters(): number {
    return this.spool.openWriters + this.#imageWriters;
  }

  lookup(parent: Ino, name: Buffer): MaybePromise<Entry | undefined> {
    const found = this.spool.lookup(parent, name);
    return found === undefined || parent !== this.root ? found : this.#shown(name, found);
  }

  getattr(ino: Ino): MaybePromise<Entry> {
    const entry = this.spool.getattr(ino);
    const name = this.#imageOf.get(ino);
    return name === undefined ? entry : this.#withImage(name, entry);
  }

  openDirectory(ino: Ino): Directory {
    const directory = this.spool.openDirectory(ino);
    if (ino !== this.root) return directory;
    // Attributes of images take a look-up.
    const withoutAttributes = ({ name, ino: child, type }: DirectoryEntry): DirectoryEntry => ({ name, ino: child, type });
    return {
      caching: directory.caching,
      read: (index, count) => andThen(directory.read(index, count), (entries) => entries.map(withoutAttributes)),
      close: () => {
        directory.close();
      },
    };
  }

  open(ino: Ino): MaybePromise<OpenFile> {
    const name = this.#imageOf.get(ino);
    return name === undefined ? this.spool.open(ino) : this.images.image(name).then((image) => this.#openToRead(image));
  }

  /** Of the spool; undefined for images, whose chunks go into the datastore. */
  statfs(ino: Ino): FileSystemStatistics | undefined {
    return this.#imageOf.has(ino) ? undefined : this.spool.statfs();
  }

  #openToRead(image: StagedImage): OpenFile {
    const file = image.openToRead();
    let open = true;
    this.images.hold(image);
    const close = (): void => {
      if (open) this.images.letGo(image);
      open = false;
    };
    return { ...file, close };
  }

  async close(): Promise<void> {
    this.spool.close();
    await this.images.close();
  }

  /** Remembers what an entry at the top is, and shows an image with its size. */
  #shown(name: Buffer, entry: Entry): MaybePromise<Entry> {
    const { ino, mode } = entry.attributes;
    if ((mode & S_IFMT) !== S_IFREG) return entry;
    const text = name.toString('latin1');
    if (stagedKind(name) !== 'image') {
      this.#blobs.add(ino);
      return entry;
    }
    this.#imageOf.set(ino, text);
    return this.#withImage(text, entry);
  }

  #withImage(name: string, entry: Entry): MaybePromise<Entry> {
    const shown = (image: StagedImage): Entry => ({ ...entry, attributes: imageAttributes(entry.attributes, image) });
    return this.images.image(name).then(shown, (error: unknown) => {
      // So that it can be removed; who opens it is told the same.
      this.#logOnce(`${name} can't be used: ${messageOf(error)}`);
      return { ...entry, ttlMs: 0 };
    });
  }

  #operations(): WriteOperations {
    const { writing } = this.spool;
    const changing = <Args extends unknown[], T>(work: (...args: Args) => T): ((...args: Args) => T) => (...args) => {
      this.#refuseIfFrozen();
      return work(...args);
    };
    const atTop = (parent: Ino): boolean => parent === this.root;
    return {
      ...writing,
      create: changing((parent, name, file) => (atTop(parent) ? this.#create(name, file) : writing.create(parent, name, file))),
      createUnnamed: changing((parent, file) => {
        if (atTop(parent)) throw new FileError('NOT_SUPPORTED', 'files at the top of staging need a name');
        return writing.createUnnamed(parent, file);
      }),
      makeDirectory: changing((parent, name, directory) => {
        if (atTop(parent)) checkKind(name, ['archive'], 'a directory');
        return writing.makeDirectory(parent, name, directory);
      }),
      makeSpecialFile: changing((parent, name, file) => {
        if (!atTop(parent)) return writing.makeSpecialFile(parent, name, file);
        if (file.type !== S_IFREG) throw onlyFilesAndArchives();
        checkKind(name, ['image', 'blob'], 'a file');
        return andThen(writing.makeSpecialFile(parent, name, file), (entry) => this.#shown(name, entry));
      }),
      makeSymbolicLink: changing((parent, name, target, caller) => {
        if (atTop(parent)) throw onlyFilesAndArchives();
        return writing.makeSymbolicLink(parent, name, target, caller);
      }),
      link: changing((ino, parent, name) => {
        if (atTop(parent) || this.#imageOf.has(ino) || this.#blobs.has(ino)) throw apart();
        return writing.link(ino, parent, name);
      }),
      unlink: changing((parent, name) => andThen(writing.unlink(parent, name), () => this.#forgetImage(parent, name))),
      removeDirectory: changing((parent, name) => writing.removeDirectory(parent, name)),
      rename: changing((from, to, mode) => this.#rename(from, to, mode)),
      setAttributes: changing((ino, changes, file) => {
        const name = this.#imageOf.get(ino);
        const { size, ...others } = changes;
        if (name === undefined) {
          if (!this.#blobs.has(ino)) return writing.setAttributes(ino, changes, file);
          if (size !== undefined) this.#checkBlob(size);
          return writing.setAttributes(ino, changes);
        }
        return this.images.image(name).then(async (image) => {
          if (size !== undefined) await image.truncate(size);
          // The time is that of the file in the spool.
          const touched = size === undefined ? others : { mtime: 'now' as const, ...others };
          const entry = await writing.setAttributes(ino, touched);
          return { ...entry, attributes: imageAttributes(entry.attributes, image) };
        });
      }),
      setxattr: changing((ino, xattr) => writing.setxattr(ino, xattr)),
      removexattr: changing((ino, name) => writing.removexattr(ino, name)),
      setInodeFlags: changing((ino, changes) => writing.setInodeFlags(ino, changes)),
      open: changing((ino, options) => {
        const name = this.#imageOf.get(ino);
        if (name !== undefined) return this.#openImage(ino, name, options.truncate);
        return andThen(writing.open(ino, options), (file) => (this.#blobs.has(ino) ? this.#limited(file) : file));
      }),
      sync: (ino, options) => {
        const name = this.#imageOf.get(ino);
        if (name === undefined) return writing.sync(ino, options);
        return this.images.image(name).then((image) => image.sync());
      },
      forget: (ino) => {
        writing.forget(ino);
        if (this.spool.has(ino)) return;
        this.#imageOf.delete(ino);
        this.#blobs.delete(ino);
      },
    };
  }

  #create(name: Buffer, file: NewFile): MaybePromise<Created> {
    if (checkKind(name, ['image', 'blob'], 'a file') === 'blob') return this.#createFile(name, file, 'blob');
    return this.images.check().then(() => {
      this.#refuseIfFrozen();
      return this.#createFile(name, file, 'image');
    });
  }

  #createFile(name: Buffer, file: NewFile, kind: StagedKind): MaybePromise<Created> {
    return andThen(this.spool.writing.create(this.root, name, file), async ({ entry, file: plain }) => {
      const shown = await this.#shown(name, entry);
      if (kind === 'blob') return { entry: shown, file: this.#limited(plain) };
      plain.close();
      const { ino } = entry.attributes;
      return { entry: await this.getattr(ino), file: await this.#openImage(ino, name.toString('latin1'), file.truncate) };
    });
  }

  async #openImage(ino: Ino, name: string, truncate: boolean): Promise<WritableFile> {
    const image = await this.images.image(name);
    if (truncate) await image.truncate(0);
    this.#imageWriters++;
    this.images.hold(image);
    return new StagedImageWriter(image, {
      key: this.#key,
      check: () => this.#refuseIfFrozen(),
      // The time is that of the file in the spool.
      changed: () => (this.has(ino) ? this.spool.writing.setAttributes(ino, { mtime: 'now', killPrivileges: false }) : undefined),
      closed: () => {
        this.#imageWriters--;
        this.images.letGo(image);
      },
    });
  }

  #rename(from: Place, to: Place, mode: RenameMode): MaybePromise<void> {
    const { writing } = this.spool;
    const crossing = (from.parent === this.root) !== (to.parent === this.root);
    if (from.parent !== this.root && to.parent !== this.root) return writing.rename(from, to, mode);
    return andThen(this.spool.lookup(from.parent, from.name), (source) => {
      if (source === undefined) throw new FileError('INVALID_ARGUMENT', 'what is to be renamed is gone');
      const isDirectory = (source.attributes.mode & S_IFMT) === S_IFDIR;
      if (crossing) throw apart();
      const [before, after] = [stagedKind(from.name), checkKind(to.name, isDirectory ? ['archive'] : ['image', 'blob'], 'what is there')];
      if (before !== after || (mode === 'exchange' && after !== 'archive')) throw apart();
      return andThen(writing.rename(from, to, mode), () => {
        if (after !== 'image') return;
        this.images.rename(from.name.toString('latin1'), to.name.toString('latin1'));
        this.#imageOf.set(source.attributes.ino, to.name.toString('latin1'));
      });
    });
  }

  #forgetImage(parent: Ino, name: Buffer): void {
    if (parent !== this.root || stagedKind(name) !== 'image') return;
    this.images.remove(name.toString('latin1'));
  }

  #limited(file: WritableFile): WritableFile {
    return new BlobWriter(file, (size) => {
      this.#refuseIfFrozen();
      this.#checkBlob(size);
    });
  }

  #checkBlob(size: number): void {
    if (size <= chunkBytesMax) return;
    const reason = 'a file at the top of staging becomes a blob of at most 16 MiB; call it NAME.img, or put it into a directory NAME.pxar';
    this.#log(`staging: ${reason}`);
    throw new FileError('TOO_LARGE', reason);
  }

  #logOnce(line: string): void {
    if (this.#lastLine !== line) this.#log(line);
    this.#lastLine = line;
  }

  #refuseIfFrozen(): void {
    if (this.frozen) throw new MountError('BUSY', 'this staging directory is being committed');
  }
}

function checkKind(name: Buffer, kinds: readonly StagedKind[], what: string): StagedKind {
  const kind = stagedKind(name);
  if (kind !== undefined && kinds.includes(kind)) return kind;
  const rule = 'at the top of staging are directories NAME.pxar, images NAME.img, and small files';
  throw new FileError('INVALID_ARGUMENT', `'${printableName(name)}' can't be the name of ${what}: ${rule}`);
}

function imageAttributes(attributes: Attributes, image: StagedImage): Attributes {
  return { ...attributes, size: image.size, blocks: Math.ceil(image.allocatedBytes / 512) };
}

/** Programs then copy, and take away what they copied. */
function apart(): FileError {
  return new FileError('CROSS_DEVICE', 'what is at the top of staging is of another kind than what is in an archive');
}

function onlyFilesAndArchives(): FileError {
  return new FileError('NOT_PERMITTED', 'links and special files belong into a directory NAME.pxar');
}
