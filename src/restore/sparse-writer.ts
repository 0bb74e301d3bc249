/** Writes content through a descriptor; what is zero is left a hole. */
import { ftruncateSync, writeSync } from 'node:fs';

/** What file systems keep or leave out as a whole; the reference looks at blocks of this size too. */
const blockBytes = 4096;
const zeroBlock = Buffer.alloc(blockBytes);

/** All of `bytes` at `position` of the file. */
export function writeAll(fd: number, bytes: Buffer, position: number): void {
  for (let done = 0; done < bytes.length; ) done += writeSync(fd, bytes, done, bytes.length - done, position + done);
}

export function isZero(bytes: Buffer, start: number, end: number): boolean {
  return bytes[start] === 0 && bytes[end - 1] === 0 && bytes.compare(zeroBlock, 0, end - start, start, end) === 0;
}

/** A file that has nothing in it yet. */
export class SparseWriter {
  readonly #fd: number;
  /** End of what was written: behind it there are only zeros. */
  #end = 0;

  constructor(fd: number) {
    this.#fd = fd;
  }

  /** Runs of blocks that are not zero are written each at once. */
  write(bytes: Buffer, position: number): void {
    let from = 0;
    for (let at = 0; at < bytes.length; ) {
      const next = Math.min(bytes.length, at + blockBytes - ((position + at) % blockBytes));
      if (isZero(bytes, at, next)) {
        this.#data(bytes, from, at, position);
        from = next;
      }
      at = next;
    }
    this.#data(bytes, from, bytes.length, position);
  }

  /** Gives the file its size, if it ends with zeros. */
  finish(size: number): void {
    if (this.#end < size) ftruncateSync(this.#fd, size);
  }

  #data(bytes: Buffer, from: number, to: number, position: number): void {
    if (from === to) return;
    writeAll(this.#fd, bytes.subarray(from, to), position + from);
    this.#end = position + to;
  }
}
