/** A file whose bytes are those of an index, or a part of them: a disk image, a partition, a stream that is shown as it is. */
import type { ChunkStream } from '../archive/chunk-stream.js';
import { FileError } from '../errors.js';
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
    const { stream } = await this.#source.take();
    const { start, length } = this.#partOf(stream);
    const end = start + length;
    return {
      caching: 'immutable',
      read: (offset, bytes) => (offset >= length ? [] : stream.pieces(start + offset, Math.min(bytes, length - offset))),
      seek: (offset, what) => {
        if (offset < 0 || offset >= length) throw new FileError('NO_SUCH_ADDRESS', `offset ${offset} is not within the file`);
        return stream.seek(start + offset, what, end) - start;
      },
      close: () => undefined,
    };
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
