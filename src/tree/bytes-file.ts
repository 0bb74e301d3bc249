/** Files whose content is in memory. */
import { FileError } from '../errors.js';
import type { Attributes, Caching, Ino, OpenFile, Timestamp } from '../vfs/file-system.js';
import type { TreeContext } from './context.js';
import { fileAttributes, freshMs, TreeNode, type NodeOwner } from './node.js';

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

/** A text that is made anew for whoever looks; for a moment it stays, so that what is read has the size that was shown. */
export class ReportFile extends TreeNode {
  readonly #context: TreeContext;
  readonly #text: () => string;
  #bytes = Buffer.alloc(0);
  #madeMs = -Infinity;

  constructor(ino: Ino, context: TreeContext, text: () => string) {
    super(ino);
    this.#context = context;
    this.#text = text;
  }

  override attributes(): Attributes {
    return fileAttributes(this.ino, this.#context.owner, this.#context.opened, this.#current().length);
  }

  override open(): OpenFile {
    return openBytes(this.#current(), 'unsized');
  }

  #current(): Buffer {
    const now = performance.now();
    if (now - this.#madeMs > freshMs) {
      this.#bytes = Buffer.from(this.#text());
      this.#madeMs = now;
    }
    return this.#bytes;
  }
}
