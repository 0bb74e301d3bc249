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
  type AttributeChanges,
  type Created,
  type NewFile,
  type Place,
  type RenameMode,
  type WritableFile,
  type WriteOperations,
} from '../../vfs/writable-file-system.js';
import { BlobWriter } from './blob-writer.js';
import type { StagedImage } from './image-file.js';
import { NamedImages } from './named-images.js';
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
  readonly #named: NamedImages;
  /** At the top, by inode. */
  readonly #blobs = new Set<Ino>();
  #imageWriters = 0;
  #lastLine = '';
  /** Set while it is committed. */
  frozen = false;

  constructor({ spool, images, key, log }: StagingTreeOptions) {
    this.#key = key;
    this.spool = spool;
    this.images = images;
    this.#named = new NamedImages(images);
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
    return this.#named.has(ino) ? this.#imageEntry(ino) : this.spool.getattr(ino);
  }

  openDirectory(ino: Ino): Directory {
    const directory = this.spool.openDirectory(ino);
    if (ino !== this.root) return directory;
    // Attributes of images take a look-up.
    const withoutAttributes = ({ name, ino: child, type }: DirectoryEntry): DirectoryEntry => ({ name, ino: child, type });
    return {
      caching: directory.caching,
      rewind: () => directory.rewind?.(),
      read: (index, count) => andThen(directory.read(index, count), (entries) => entries.map(withoutAttributes)),
      close: () => {
        directory.close();
      },
    };
  }

  open(ino: Ino): MaybePromise<OpenFile> {
    return this.#named.image(ino)?.then((image) => this.#openToRead(image)) ?? this.spool.open(ino);
  }

  /** Of the spool; undefined for images, whose chunks go into the datastore. */
  statfs(ino: Ino): FileSystemStatistics | undefined {
    return this.#named.has(ino) ? undefined : this.spool.statfs();
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
    if (stagedKind(name) !== 'image') {
      this.#blobs.add(ino);
      return entry;
    }
    this.#named.tell(ino, name.toString('latin1'));
    return this.#imageEntry(ino);
  }

  async #imageEntry(ino: Ino): Promise<Entry> {
    try {
      const image = await this.#named.image(ino);
      await this.#settleTime(ino);
      const entry = this.spool.getattr(ino);
      return image === undefined ? entry : { ...entry, attributes: imageAttributes(entry.attributes, image) };
    } catch (error) {
      // So that it can be removed; who opens it is told the same.
      this.#logOnce(`an image can't be used: ${messageOf(error)}`);
      return { ...this.spool.getattr(ino), ttlMs: 0 };
    }
  }

  /** The time of an image is that of its file in the spool. It is set when it is asked for, so that nobody sees another one afterwards. */
  #settleTime(ino: Ino): MaybePromise<unknown> {
    if (!this.#named.takeWritten(ino) || !this.has(ino)) return undefined;
    return this.spool.writing.setAttributes(ino, { mtime: 'now', killPrivileges: false });
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
        if (atTop(parent) || this.#named.has(ino) || this.#blobs.has(ino)) throw apart();
        return writing.link(ino, parent, name);
      }),
      unlink: changing((parent, name) => andThen(writing.unlink(parent, name), () => this.#forgetImage(parent, name))),
      removeDirectory: changing((parent, name) => writing.removeDirectory(parent, name)),
      rename: changing((from, to, mode) => this.#rename(from, to, mode)),
      setAttributes: changing((ino, changes, file) => {
        const image = this.#named.image(ino);
        if (image !== undefined) return image.then((opened) => this.#setImage(ino, opened, changes));
        if (!this.#blobs.has(ino)) return writing.setAttributes(ino, changes, file);
        if (changes.size !== undefined) this.#checkBlob(changes.size);
        return writing.setAttributes(ino, changes);
      }),
      setxattr: changing((ino, xattr) => writing.setxattr(ino, xattr)),
      removexattr: changing((ino, name) => writing.removexattr(ino, name)),
      setInodeFlags: changing((ino, changes) => writing.setInodeFlags(ino, changes)),
      open: changing((ino, options) => {
        const image = this.#named.image(ino);
        if (image !== undefined) return image.then((opened) => this.#openImage(ino, opened, options.truncate));
        return andThen(writing.open(ino, options), (file) => (this.#blobs.has(ino) ? this.#limited(file) : file));
      }),
      sync: (ino, options) => this.#named.image(ino)?.then((image) => image.sync()) ?? writing.sync(ino, options),
      forget: (ino) => {
        writing.forget(ino);
        if (this.spool.has(ino)) return;
        this.#named.forget(ino);
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
      const opened = await this.#openImage(ino, await this.images.image(name.toString('latin1')), file.truncate);
      return { entry: await this.getattr(ino), file: opened };
    });
  }

  async #setImage(ino: Ino, image: StagedImage, { size, ...others }: AttributeChanges): Promise<Entry> {
    if (size !== undefined) await image.truncate(size);
    if (size !== undefined || others.mtime !== undefined) this.#named.takeWritten(ino);
    const entry = await this.spool.writing.setAttributes(ino, size === undefined ? others : { mtime: 'now', ...others });
    return { ...entry, attributes: imageAttributes(entry.attributes, image) };
  }

  async #openImage(ino: Ino, image: StagedImage, truncate: boolean): Promise<WritableFile> {
    if (truncate) await image.truncate(0);
    this.#imageWriters++;
    this.images.hold(image);
    return new StagedImageWriter(image, {
      key: this.#key,
      writing: () => {
        this.#refuseIfFrozen();
        this.#named.noteWrite(ino);
      },
      flushed: () => this.#settleTime(ino),
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
        this.#named.rename(from.name.toString('latin1'), to.name.toString('latin1'));
      });
    });
  }

  #forgetImage(parent: Ino, name: Buffer): void {
    if (parent !== this.root || stagedKind(name) !== 'image') return;
    this.#named.remove(name.toString('latin1'));
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
