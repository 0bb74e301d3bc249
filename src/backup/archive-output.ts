/**
 * Entries of a tree on their way into the streams of an archive: the first name of a file with its content, further ones as hard links.
 * Holds one record per child of the directories on the current path, and one per file with several names. Format: pxar, sections 2.9, 3.3, 3.5
 */
import { FormatError } from '../errors.js';
import type { CatalogPlainKind } from '../format/catalog.js';
import { fileTypeMask, fileTypes, type PxarEntry, type PxarMetadata } from '../format/pxar/entry.js';
import { itemHeaderBytes, nameBytesMax } from '../format/pxar/item.js';
import { PxarWriter } from '../format/pxar/writer.js';
import type { FileStat } from '../os/file-stat.js';
import type { ReusedChunk } from '../store/backup-session.js';
import type { MaybePromise } from '../vfs/file-system.js';
import { andThen } from '../vfs/maybe.js';
import type { ArchiveCatalog, ArchiveStream, PayloadStream } from './archive-options.js';
import type { ArchiveTally } from './archive-tally.js';
import { copyCloned, type ClonedContent } from './cloned-content.js';
import { contentBlockBytes, copyContent, type ContentTarget } from './source-content.js';
import { shownPath, sourceError } from './source-errors.js';
import { specialEntry } from './special-entry.js';
import { StreamSink } from './stream-sink.js';

/** An entry that is open: a regular file for reading, anything else with O_PATH. */
export interface FoundEntry {
  readonly name: Buffer;
  readonly fd: number;
  readonly stat: FileStat;
  readonly metadata: PxarMetadata;
  /** Of a file whose content lies elsewhere. */
  readonly clone?: ClonedContent | undefined;
  /** Absolute within the tree. */
  readonly path: () => Buffer;
}

export interface OutputStreams {
  readonly meta: ArchiveStream;
  /** Absent for a legacy archive. */
  readonly payload: PayloadStream | undefined;
  readonly catalog: ArchiveCatalog | undefined;
  /** Of a split archive. */
  readonly prelude: Buffer | undefined;
}

export interface LinkedFile {
  /** Relative to the root. */
  readonly path: Buffer;
  /** Of its FILENAME header. */
  readonly position: number;
}

const slash = Buffer.from('/');
const sourceCalls: ReadonlySet<unknown> = new Set(['read', 'lseek', 'statx']);

/** What all names of a file have in common; undefined if it has one. */
export function linkKey({ nlink, dev, ino }: FileStat): string | undefined {
  return nlink > 1 ? `${dev}/${ino}` : undefined;
}

export class ArchiveOutput {
  readonly #streams: OutputStreams;
  readonly #sink: StreamSink;
  readonly #writer: PxarWriter;
  readonly #tally: ArchiveTally;
  readonly #names: Buffer[] = [];
  readonly #links = new Map<string, LinkedFile>();
  #direct = false;

  /** Nothing is passed on before the first entry. */
  constructor(streams: OutputStreams, root: PxarMetadata, tally: ArchiveTally) {
    this.#streams = streams;
    this.#tally = tally;
    this.#sink = new StreamSink(streams.meta);
    const { payload, prelude } = streams;
    const meta = (bytes: Buffer): void => (this.#direct ? streams.meta.write(bytes) : this.#sink.write(bytes));
    const split = payload && { version: 2 as const, meta, payload: (bytes: Buffer) => payload.write(bytes), ...(prelude && { prelude }) };
    this.#writer = new PxarWriter(split ?? { version: 1, meta }, root);
    tally.directories += 1;
  }

  /** Names of the directories from below the root to the one that takes the next entry. */
  get directoryNames(): readonly Buffer[] {
    return this.#names;
  }

  get payloadPosition(): number {
    return this.#writer.payloadPosition;
  }

  /** The first name of a file, if it was archived and can be linked to. */
  linkTarget(key: string): LinkedFile | undefined {
    const known = this.#links.get(key);
    return known !== undefined && known.path.length <= nameBytesMax ? known : undefined;
  }

  beginDirectory(name: Buffer, metadata: PxarMetadata): MaybePromise<void> {
    this.#writer.openDirectory(name, metadata);
    this.#streams.catalog?.writer.openDirectory(name);
    this.#names.push(name);
    this.#tally.directories += 1;
    return this.#sink.drain();
  }

  endDirectory(): MaybePromise<void> {
    this.#writer.closeDirectory();
    this.#streams.catalog?.writer.closeDirectory();
    this.#names.pop();
    return this.#drain();
  }

  /** Anything but a directory. */
  entry(entry: FoundEntry): MaybePromise<void> {
    const { name, stat } = entry;
    if ((stat.mode & fileTypeMask) !== fileTypes.regular) {
      const special = specialEntry(entry, this.#tally.warn);
      return special && this.special(name, special);
    }
    const key = linkKey(stat);
    const target = key === undefined ? undefined : this.linkTarget(key);
    if (target !== undefined) return this.hardlink(name, target);
    if (key !== undefined) this.#register(key, entry);
    return this.#file(entry);
  }

  special(name: Buffer, entry: PxarEntry): MaybePromise<void> {
    this.#writer.addSpecial(name, entry);
    this.#streams.catalog?.writer.add({ kind: catalogKind(entry), name });
    this.#tally.others += 1;
    return this.#drain();
  }

  hardlink(name: Buffer, target: LinkedFile): MaybePromise<void> {
    this.#writer.addHardlink(name, target.position, target.path);
    this.#streams.catalog?.writer.add({ kind: 'hardlink', name });
    this.#tally.others += 1;
    return this.#drain();
  }

  /** A file whose content is, or will be, in reused chunks. `key`: of linkKey(). */
  reusedFile(name: Buffer, metadata: PxarMetadata, content: { readonly offset: number; readonly size: number }, key?: string): MaybePromise<void> {
    if (key !== undefined && !this.#links.has(key)) this.#links.set(key, { path: this.#pathOf(name), position: this.#writer.metaPosition });
    this.#writer.addReusedFile(name, metadata, content);
    this.#tally.files += 1;
    this.#tally.filesReused += 1;
    this.#tally.bytesReused += content.size;
    return this.#sink.drain();
  }

  /** Tells that a file begins where the payload ends now. */
  suggestCut(): void {
    this.#streams.payload?.suggest(this.#writer.payloadPosition);
  }

  inject(chunks: readonly ReusedChunk[]): void {
    this.#streams.payload?.inject(chunks);
    this.#writer.injectPayload(chunks.reduce((sum, { length }) => sum + length, 0));
  }

  /** The patterns of the command line, as a file that a legacy archive ends with. */
  async patternFile(name: Buffer, metadata: PxarMetadata, content: Buffer): Promise<void> {
    this.#writer.addFile(name, metadata, content.length);
    this.#writer.write(content);
    this.#streams.catalog?.writer.add({ kind: 'file', name, size: content.length, mtimeSec: metadata.mtime.sec });
    await this.#drain();
  }

  async finish(): Promise<void> {
    await this.#streams.payload?.room(itemHeaderBytes);
    this.#writer.finish();
    await this.#sink.flush();
    await this.#streams.catalog?.flush();
    const { meta, payload } = this.#streams;
    if (meta.position === this.#writer.metaPosition && (payload === undefined || payload.position === this.#writer.payloadPosition)) return;
    throw new FormatError('BAD_STRUCTURE', 'the streams of the archive are not as long as its metadata says; please report this');
  }

  #file(entry: FoundEntry): MaybePromise<void> {
    const { payload } = this.#streams;
    // With the header, and the byte more that is asked for.
    const room = Math.min(entry.stat.size, contentBlockBytes) + itemHeaderBytes + 1;
    if (payload !== undefined) return andThen(payload.room(room), () => this.#content(entry, payload));
    return this.#inline(entry, room);
  }

  async #inline(entry: FoundEntry, room: number): Promise<void> {
    await this.#sink.flush();
    await this.#content(entry, this.#streams.meta, room);
    await this.#streams.catalog?.flush();
  }

  #content(entry: FoundEntry, stream: ArchiveStream, roomAfterHeader = 0): MaybePromise<void> {
    const { name, metadata, stat } = entry;
    const { payload, catalog } = this.#streams;
    payload?.suggest(this.#writer.payloadPosition);
    this.#writer.addFile(name, metadata, stat.size);
    catalog?.writer.add({ kind: 'file', name, size: stat.size, mtimeSec: stat.mtime.sec });
    this.#tally.files += 1;
    if (payload !== undefined) return andThen(this.#sink.drain(), () => this.#copy(entry, stream));
    return (async () => {
      await this.#sink.flush();
      await stream.room(roomAfterHeader);
      this.#direct = true;
      await this.#copy(entry, stream);
      this.#direct = false;
    })();
  }

  #copy(entry: FoundEntry, stream: ArchiveStream): MaybePromise<void> {
    const target: ContentTarget = {
      stream,
      write: (bytes) => this.#writer.write(bytes),
      wrote: (bytes) => this.#tally.read(bytes),
    };
    const tell = (change: Awaited<ReturnType<typeof copyContent>>): void => {
      if (change === 'shrunk') this.#tally.warn(`${shownPath(entry.path())} shrank while it was read: its end is filled with zeros`);
      if (change !== 'grown') return;
      this.#tally.warn(`${shownPath(entry.path())} grew while it was read: only its first ${entry.stat.size} bytes are archived`);
    };
    try {
      const { clone, stat } = entry;
      const change = clone === undefined ? copyContent(entry, target) : copyCloned(clone, stat.size, target);
      if (change instanceof Promise) return change.then(tell, (error: unknown) => {
          throw contentError(error, entry);
        });
      tell(change);
      return undefined;
    } catch (error) {
      throw contentError(error, entry);
    }
  }

  #register(key: string, { name, path }: FoundEntry): void {
    if (this.#links.has(key)) this.#tally.warn(`${shownPath(path())} is archived as a file of its own: the path that it links to is too long`);
    else this.#links.set(key, { path: this.#pathOf(name), position: this.#writer.metaPosition });
  }

  #pathOf(name: Buffer): Buffer {
    return Buffer.concat([...this.#names.flatMap((directory) => [directory, slash]), name]);
  }

  #drain(): MaybePromise<void> {
    const catalog = this.#streams.catalog;
    const drained = this.#sink.drain();
    return catalog === undefined ? drained : andThen(drained, () => catalog.flush());
  }
}

/** Only what the source says gets its path; other errors are of the datastore. */
function contentError(error: unknown, { path }: FoundEntry): unknown {
  return sourceCalls.has((error as { syscall?: unknown }).syscall) ? sourceError(error, 'content', path()) : error;
}

function catalogKind({ kind, metadata }: PxarEntry): CatalogPlainKind {
  if (kind !== 'device') return kind as CatalogPlainKind;
  return ((metadata?.mode ?? 0) & fileTypeMask) === fileTypes.blockDevice ? 'blockdev' : 'chardev';
}
