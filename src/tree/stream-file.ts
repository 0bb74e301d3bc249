/** A file whose bytes are those of an index, or a part of them: a disk image, a partition, a stream that is shown as it is. */
import type { ChunkStream } from '../archive/chunk-stream.js';
import { FileError } from '../errors.js';
import type { ChunkIndex } from '../format/chunk-index.js';
import type { Attributes, Ino, MaybePromise, OpenFile, Timestamp } from '../vfs/file-system.js';
import { archiveXattrs, streamXattrs, type ArchiveFacts } from './archive-facts.js';
import type { TreeContext } from './context.js';
import { fileAttributes, TreeNode, type Xattrs } from './node.js';
import type { OpenStream } from '../archive/stream-opener.js';

export interface StreamPart {
  readonly start: number;
  readonly length: number;
}

export interface StreamSource {
  /** Opens the stream, or takes it from the shelf. */
  readonly take: () => MaybePromise<OpenStream>;
  readonly time: Timestamp;
  readonly facts: ArchiveFacts;
}

class OpenStreamFile implements OpenFile {
  readonly caching = 'immutable';
  readonly #stream: ChunkStream;
  readonly #part: StreamPart;

  constructor({ stream }: OpenStream, part: StreamPart) {
    this.#stream = stream;
    this.#part = part;
  }

  read(offset: number, bytes: number): MaybePromise<readonly Uint8Array[]> {
    const { start, length } = this.#part;
    return offset >= length ? [] : this.#stream.pieces(start + offset, Math.min(bytes, length - offset));
  }

  seek(offset: number, what: 'data' | 'hole'): number {
    const { start, length } = this.#part;
    if (offset < 0 || offset >= length) throw new FileError('NO_SUCH_ADDRESS', `offset ${offset} is not within the file`);
    return this.#stream.seek(start + offset, what, start + length) - start;
  }

  close(): void {
    // The stream is closed with the archive that it belongs to.
  }
}

/** A whole image of a snapshot, whose chunks a copy of it may take over. */
export class OpenImageFile extends OpenStreamFile {
  readonly index: ChunkIndex;
  readonly fits: OpenStream['fits'];

  constructor(opened: OpenStream, part: StreamPart) {
    super(opened, part);
    this.index = opened.index;
    this.fits = opened.fits;
  }
}

export class StreamFile extends TreeNode {
  readonly #context: TreeContext;
  readonly #source: StreamSource;
  readonly #part: StreamPart | undefined;
  #known: Attributes | undefined;

  /** Without `part` it is all of the stream, which when salvaging may be longer or shorter than the manifest says. */
  constructor(ino: Ino, context: TreeContext, source: StreamSource, part?: StreamPart) {
    super(ino);
    this.#context = context;
    this.#source = source;
    this.#part = part;
  }

  /** A stream that can't be opened shows with the size that the manifest says; opening it tells why. */
  override async attributes(): Promise<Attributes> {
    const { time, facts } = this.#source;
    try {
      return (this.#known ??= this.#attributesOf((await this.#source.take()).stream));
    } catch {
      return fileAttributes(this.ino, this.#context.owner, time, this.#part?.length ?? facts.files[0]?.size ?? 0);
    }
  }

  override async open(): Promise<OpenFile> {
    const opened = await this.#source.take();
    const part = this.#partOf(opened.stream);
    const isImage = this.#part === undefined && opened.index.kind === 'fixed' && opened.doubt === undefined;
    return isImage ? new OpenImageFile(opened, part) : new OpenStreamFile(opened, part);
  }

  override async xattrs(): Promise<Xattrs> {
    const known = archiveXattrs(this.#source.facts);
    try {
      const opened = await this.#source.take();
      const { start, length } = this.#partOf(opened.stream);
      return new Map([...known, ...streamXattrs(this.#context, [opened], { start, end: start + length })]);
    } catch {
      return known;
    }
  }

  #attributesOf(stream: ChunkStream): Attributes {
    const { start, length } = this.#partOf(stream);
    return fileAttributes(this.ino, this.#context.owner, this.#source.time, length, stream.allocatedBytes(start, start + length));
  }

  #partOf(stream: ChunkStream): StreamPart {
    return this.#part ?? { start: 0, length: stream.size };
  }
}
