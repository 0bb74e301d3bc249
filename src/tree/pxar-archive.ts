/** An open pxar archive as part of the tree: its nodes answer for a range of inode numbers that begins at `base`. */
import type { LinkCounts } from '../archive/link-counts.js';
import type { NodeId, PxarChild, PxarContentRange, PxarNode, PxarTree } from '../archive/pxar-tree.js';
import { FileError } from '../errors.js';
import type { Directory, DirectoryEntry, Entry, Ino, InodeFlags, MaybePromise, OpenFile } from '../vfs/file-system.js';
import { S_IFMT } from '../vfs/file-system.js';
import { andThen } from '../vfs/maybe.js';
import type { ArchiveSource } from './archive-root.js';
import { metadataOf, pxarAttributes, pxarInodeFlags, pxarXattrs } from './pxar-attributes.js';
import { PxarListing } from './pxar-listing.js';
import type { OpenStream } from '../archive/stream-opener.js';

/** The content of an archive never changes. */
const foreverMs = 365 * 86_400_000;
/** How long an entry may be believed whose link count is not known yet. */
const countingMs = 1000;

/** A file of an archive, which a copy of it may refer to. */
export class OpenArchiveFile implements OpenFile {
  readonly caching = 'immutable';
  readonly archive: ArchiveSource;
  readonly node: NodeId;
  readonly content: PxarContentRange;

  constructor(archive: ArchiveSource, node: NodeId, content: PxarContentRange) {
    this.archive = archive;
    this.node = node;
    this.content = content;
  }

  read(at: number, length: number): MaybePromise<readonly Uint8Array[]> {
    const { stream, offset, size } = this.content;
    return at >= size ? [] : stream.pieces(offset + at, Math.min(length, size - at));
  }

  seek(at: number, what: 'data' | 'hole'): number {
    const { stream, offset, size } = this.content;
    if (at < 0 || at >= size) throw new FileError('NO_SUCH_ADDRESS', `offset ${at} is not within the file`);
    return stream.seek(offset + at, what, offset + size) - offset;
  }

  close(): void {
    // The streams are closed with the archive.
  }
}

export interface PxarArchivePlace {
  readonly source: ArchiveSource;
  /** Added to the numbers of nodes. */
  readonly base: Ino;
  /** Told of damage that does not fail the operation at once. */
  readonly report: (error: unknown) => void;
}

export class PxarArchive {
  readonly streams: readonly OpenStream[];
  readonly tree: PxarTree;
  readonly #links: LinkCounts;
  readonly #source: ArchiveSource;
  readonly #base: Ino;
  readonly #report: (error: unknown) => void;

  constructor(tree: PxarTree, streams: readonly OpenStream[], links: LinkCounts, place: PxarArchivePlace) {
    this.tree = tree;
    this.streams = streams;
    this.#links = links;
    this.#source = place.source;
    this.#base = place.base;
    this.#report = place.report;
  }

  getattr(ino: Ino): MaybePromise<Entry> {
    return andThen(this.#node(ino), (node) => andThen(this.#links.settle('one'), () => this.#entryOf(node)));
  }

  lookup(parent: Ino, name: Buffer): MaybePromise<Entry | undefined> {
    return andThen(this.tree.lookup(parent - this.#base, name), (child) => {
      if (child === undefined) return undefined;
      if (child.entry.kind !== 'file') return this.#entryOf(child);
      return andThen(this.#links.settle('one'), () => this.#entryOf(child));
    });
  }

  readlink(ino: Ino): MaybePromise<Buffer> {
    return andThen(this.#node(ino), ({ entry }) => {
      if (entry.target === undefined) throw new FileError('NOT_A_LINK', 'not a symbolic link');
      return entry.target;
    });
  }

  openDirectory(ino: Ino): MaybePromise<Directory> {
    return andThen(this.tree.directory(ino - this.#base), (directory) => {
      const listing = new PxarListing(this.tree, directory, { entryOf: (child) => this.#directoryEntryOf(child), report: this.#report });
      return {
        caching: 'immutable',
        read: (index, count) => andThen(this.#links.settle('all'), () => listing.read(index, count)),
        close: () => undefined,
      };
    });
  }

  open(ino: Ino): MaybePromise<OpenFile> {
    return andThen(this.#node(ino), (node) => {
      if (node.entry.kind === 'directory') throw new FileError('IS_A_DIRECTORY', 'a directory, not a file');
      return andThen(this.tree.content(node), (content) => new OpenArchiveFile(this.#source, node.id, content));
    });
  }

  xattrs(ino: Ino): MaybePromise<Map<string, Buffer>> {
    return andThen(this.#node(ino), (node) => {
      const values = pxarXattrs(node.entry);
      if (node.entry.content === undefined) return values;
      const lost = this.#lostRanges(node);
      return andThen(lost, (text) => (text === '' ? values : values.set('user.pbsfs.damaged', Buffer.from(text))));
    });
  }

  inodeFlags(ino: Ino): MaybePromise<InodeFlags> {
    return andThen(this.#node(ino), ({ entry }) => pxarInodeFlags(entry));
  }

  #node(ino: Ino): MaybePromise<PxarNode> {
    return this.tree.node(ino - this.#base);
  }

  #entryOf(node: PxarNode): Entry {
    const isFile = node.entry.kind === 'file';
    const nlink = isFile ? this.#links.of(node.id) : 1;
    const attributes = pxarAttributes(node, this.#base + node.id, nlink, this.tree.streams);
    return { attributes, ttlMs: isFile && !this.#links.complete ? countingMs : foreverMs };
  }

  #directoryEntryOf(child: PxarChild): DirectoryEntry {
    const ino = this.#base + child.id;
    return { name: child.name, ino, type: metadataOf(child.entry).mode & S_IFMT, entry: this.#entryOf(child) };
  }

  #lostRanges(node: PxarNode): MaybePromise<string> {
    return andThen(this.tree.content(node), ({ stream, offset, size }) =>
      stream
        .lostRanges(offset, offset + size)
        .map(({ start, end }) => `${start - offset}-${end - offset - 1}`)
        .join(' '),
    );
  }
}
