/** Files whose content is in memory. */
import { FileError } from '../errors.js';
import type { Attributes, Caching, Ino, OpenFile, Timestamp } from '../vfs/file-system.js';
import type { TreeContext } from './context.js';
import { fileAttributes, TreeNode, type NodeOwner } from './node.js';

export function openBytes(bytes: Buffer, caching: Caching): OpenFile {
  return {
    caching,
    read: (offset, length) => [bytes.subarray(offset, offset + length)],
    seek: (offset, what) => {
      if (offset < 0 || offset >= bytes.length) throw new FileError('NO_SUCH_ADDRESS', `offset ${offset} is not within the file`);
      return what === 'data' ? offset : bytes.length;
    },
    close: () => undefined,
  };
}

/** Bytes that never change. */
export class BytesFile extends TreeNode {
  readonly #owner: NodeOwner;
  readonly #time: Timestamp;
  readonly #bytes: Buffer;

  constructor(ino: Ino, owner: NodeOwner, time: Timestamp, bytes: Buffer) {
    super(ino);
    this.#owner = owner;
    this.#time = time;
    this.#bytes = bytes;
  }

  override attributes(): Attributes {
    return fileAttributes(this.ino, this.#owner, this.#time, this.#bytes.length);
  }

  override open(): OpenFile {
    return openBytes(this.#bytes, 'immutable');
  }
}

/** A text that is made anew whenever somebody looks. */
export class ReportFile extends TreeNode {
  readonly #context: TreeContext;
  readonly #text: () => string;

  constructor(ino: Ino, context: TreeContext, text: () => string) {
    super(ino);
    this.#context = context;
    this.#text = text;
  }

  override attributes(): Attributes {
    return fileAttributes(this.ino, this.#context.owner, this.#context.opened, Buffer.byteLength(this.#text()));
  }

  override open(): OpenFile {
    return openBytes(Buffer.from(this.#text()), 'unsized');
  }
}
