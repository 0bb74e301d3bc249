/**
 * Where a stream is cut into chunks: a rolling hash over the last 64 bytes decides, between a quarter of the average size and
 * four times it. Cuts do not depend on how the stream is sliced into pieces. Format: pxar, sections 6.1 to 6.3
 */
import { FormatError } from '../errors.js';
import { chunkerTable } from './chunker-table.js';
import { javaScriptKernel, scanWindowBytes as windowBytes, type ScanKernel } from './scan-kernel.js';

export const chunkAverageBytesMin = 64 * 1024;
export const chunkAverageBytesMax = 4 * 1024 * 1024;

export class HashChunker {
  readonly chunkBytesMin: number;
  readonly chunkBytesMax: number;
  readonly #mask: number;
  readonly #kernel: ScanKernel;
  /** The end of the last piece, 64 bytes that belong before offset 0 of the next one. */
  readonly #before = new Uint8Array(windowBytes);
  #chunkBytes = 0;
  #hash = 0;

  /** `averageBytes` is a power of two from 64 KiB to 4 MiB. Every kernel gives the same cuts. */
  constructor(averageBytes: number, kernel: ScanKernel = javaScriptKernel()) {
    const inRange = averageBytes >= chunkAverageBytesMin && averageBytes <= chunkAverageBytesMax;
    if (!inRange || !Number.isInteger(Math.log2(averageBytes))) {
      throw new FormatError('BAD_STRUCTURE', `${averageBytes} is no average chunk size: a power of two from 64 KiB to 4 MiB is`);
    }
    this.chunkBytesMin = averageBytes / 4;
    this.chunkBytesMax = averageBytes * 4;
    this.#mask = averageBytes * 2 - 1;
    this.#kernel = kernel;
  }

  /** Bytes since the last cut. */
  get chunkBytes(): number {
    return this.#chunkBytes;
  }

  /**
   * Takes `piece[from..to)`, which continues the stream, up to the end of the current chunk. Returns the offset in `piece`
   * where the chunk ends, and then begins a new one; undefined if all was taken and the chunk goes on.
   */
  scan(piece: Uint8Array, from = 0, to = piece.length): number | undefined {
    const end = this.#cut(piece, from, to);
    if (end === undefined) this.#remember(piece, from, to);
    else this.reset();
    return end;
  }

  /** Ends the current chunk here, whatever its size. */
  reset(): void {
    this.#chunkBytes = 0;
    this.#hash = 0;
  }

  #cut(piece: Uint8Array, from: number, to: number): number | undefined {
    const chunkStart = from - this.#chunkBytes;
    const first = chunkStart + this.chunkBytesMin;
    const last = Math.min(to, chunkStart + this.chunkBytesMax);
    this.#chunkBytes = to - chunkStart;
    if (to < first) return undefined;
    let hash = this.#hash;
    let at = from;
    if (from < first) {
      at = first;
      hash = 0;
      for (let old = first - windowBytes; old < first; old += 1) {
        hash = rotate(hash) ^ word(old < from ? this.#byteBefore(from - old) : piece[old]);
      }
      if (this.#isCut(hash)) return first;
    }
    // While offset `at` is scanned, the byte that leaves the window is 64 before it: first among those of earlier pieces.
    for (; at < last && at - windowBytes < from; at += 1) {
      hash = rotate(hash) ^ word(this.#byteBefore(from - at + windowBytes)) ^ word(piece[at]);
      if (this.#isCut(hash)) return at + 1;
    }
    if (at < last) {
      const kernel = this.#kernel;
      kernel.hash = hash;
      const end = kernel.roll(piece, at, last, this.#mask);
      if (end >= 0) return end;
      hash = kernel.hash;
    }
    this.#hash = hash;
    return last - chunkStart >= this.chunkBytesMax ? last : undefined;
  }

  #isCut(hash: number): boolean {
    return (hash & this.#mask) >= this.#mask - 2;
  }

  /** The byte that is `distance` before the current piece's first, 1 to 64. */
  #byteBefore(distance: number): number {
    return this.#before[windowBytes - distance] ?? 0;
  }

  #remember(piece: Uint8Array, from: number, to: number): void {
    const bytes = Math.min(windowBytes, to - from);
    this.#before.copyWithin(0, bytes);
    this.#before.set(piece.subarray(to - bytes, to), windowBytes - bytes);
  }
}

function rotate(hash: number): number {
  return (hash << 1) | (hash >>> 31);
}

function word(byte = 0): number {
  return chunkerTable[byte] ?? 0;
}
