/** A file of a spool whose bytes are those of a file in an archive, from the first one on, until something is written to it. */
import type { PxarContentRange } from '../../archive/pxar-tree.js';
import { FileError } from '../../errors.js';
import { dataFrom } from '../../restore/file-content.js';
import type { MaybePromise } from '../../vfs/file-system.js';
import { andThen } from '../../vfs/maybe.js';
import type { CloneFact } from './clone-fact.js';

export class SpoolClone {
  readonly fact: CloneFact;
  /** Bytes of the file, which are so many of the content. */
  size: number;
  /** While the bytes are copied into the spool. */
  filling: Promise<void> | undefined;
  readonly #contentOf: (fact: CloneFact) => MaybePromise<PxarContentRange>;
  #content: PxarContentRange | undefined;

  constructor(fact: CloneFact, size: number, contentOf: (fact: CloneFact) => MaybePromise<PxarContentRange>) {
    this.fact = fact;
    this.size = size;
    this.#contentOf = contentOf;
  }

  /** All of the file in the archive, which may be longer. */
  content(): MaybePromise<PxarContentRange> {
    if (this.#content !== undefined) return this.#content;
    return andThen(this.#contentOf(this.fact), (content) => (this.#content = content));
  }

  read(at: number, length: number): MaybePromise<readonly Uint8Array[]> {
    if (at >= this.size) return [];
    return andThen(this.content(), ({ stream, offset }) => stream.pieces(offset + at, Math.min(length, this.size - at)));
  }

  seek(at: number, what: 'data' | 'hole'): MaybePromise<number> {
    if (at < 0 || at >= this.size) throw new FileError('NO_SUCH_ADDRESS', `offset ${at} is not within the file`);
    return andThen(this.content(), ({ stream, offset }) => stream.seek(offset + at, what, offset + this.size) - offset);
  }

  /** Whether the file can become so long, or its content is that long, with nothing but zeros from `from` on. */
  hasHole(from: number, end: number): MaybePromise<boolean> {
    if (from >= end) return true;
    return andThen(this.content(), ({ stream, offset, size }) => end <= size && dataFrom(stream, offset + from, offset + end) >= offset + end);
  }
}
