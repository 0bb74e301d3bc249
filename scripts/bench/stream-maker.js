/** A stream that is cut into chunks as it is written. The cuts lie where chance puts them, with the lengths that a content-defined chunker gives. */
import { randomNumbers } from './content.js';

const chunkBytesMax = 16 * 1024 * 1024;

export class StreamMaker {
  /** @type {(chunk: Buffer) => Buffer} */
  #putChunk;
  #next = randomNumbers(4);
  #averageBytes;
  #chunk = Buffer.allocUnsafe(chunkBytesMax);
  #used = 0;
  #target;
  #position = 0;
  /** @type {number[]} */
  #ends = [];
  /** @type {Buffer[]} */
  #digests = [];

  /**
   * @param {(chunk: Buffer) => Buffer} putChunk stores a chunk and gives its digest
   * @param {number} averageBytes as a chunker is told: 4 MiB for archives, 512 KiB for catalogs
   */
  constructor(putChunk, averageBytes) {
    this.#putChunk = putChunk;
    this.#averageBytes = averageBytes;
    this.#target = this.#nextLength();
  }

  get position() {
    return this.#position;
  }

  /** @param {Buffer} bytes */
  write(bytes) {
    this.fill(bytes.length, (target, offset) => bytes.copy(target, 0, offset));
  }

  /**
   * @param {number} length
   * @param {(target: Buffer, offset: number) => void} make
   */
  fill(length, make) {
    for (let offset = 0; offset < length; ) {
      const piece = Math.min(length - offset, this.#target - this.#used);
      make(this.#chunk.subarray(this.#used, this.#used + piece), offset);
      this.#used += piece;
      this.#position += piece;
      offset += piece;
      if (this.#used === this.#target) this.#cut();
    }
  }

  finish() {
    if (this.#used > 0) this.#cut();
    return { size: this.#position, ends: this.#ends, digests: Buffer.concat(this.#digests) };
  }

  #cut() {
    this.#digests.push(this.#putChunk(this.#chunk.subarray(0, this.#used)));
    this.#ends.push(this.#position);
    this.#used = 0;
    this.#target = this.#nextLength();
  }

  /** After a quarter of the average each byte ends the chunk with the same small probability. */
  #nextLength() {
    const length = this.#averageBytes * (0.25 - Math.log(1 - this.#next()) * 0.67);
    return Math.max(1, Math.min(Math.floor(length), this.#averageBytes * 4, chunkBytesMax));
  }
}
