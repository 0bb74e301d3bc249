/** A file whose bytes are those of an index, or a part of them: a disk image, a partition, a stream that is shown as it is. */
import { FileError } from '../errors.js';
import type { Attributes, Ino, MaybePromise, OpenFile, Timestamp } from '../vfs/file-system.js';
import { archiveXattrs, streamXattrs, type ArchiveFacts } from './archive-facts.js';
import type { TreeContext } from './context.js';
import { fileAttributes, TreeNode, type Xattrs } from './node.js';
import type { OpenStream } from './stream-opener.js';

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
  readonly #part: StreamPart;
  #allocatedBytes: number | undefined;

  constructor(ino: Ino, context: TreeContext, source: StreamSource, part: StreamPart) {
    super(ino);
    this.#context = context;
    this.#source = source;
    this.#part = part;
  }

  /** A stream that can't be opened shows with the size that the manifest says; opening it tells why. */
  override async attributes(): Promise<Attributes> {
    const { start, length } = this.#part;
    try {
      this.#allocatedBytes ??= (await this.#source.take()).stream.allocatedBytes(start, start + length);
    } catch {
      return fileAttributes(this.ino, this.#context.owner, this.#source.time, length);
    }
    return fileAttributes(this.ino, this.#context.owner, this.#source.time, length, this.#allocatedBytes);
  }

  override async open(): Promise<OpenFile> {
    const { stream } = await this.#source.take();
    const { start, length } = this.#part;
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
    const { start, length } = this.#part;
    const known = archiveXattrs(this.#source.facts);
    try {
      return new Map([...known, ...streamXattrs(this.#context, [await this.#source.take()], { start, end: start + length })]);
    } catch {
      return known;
    }
  }
}
