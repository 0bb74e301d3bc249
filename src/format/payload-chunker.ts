/**
 * Where a payload stream (v2) is cut: like any stream, but also where files begin (suggested), so that a later backup can
 * reuse whole chunks, and where reused chunks are put in (forced). Positions count from the start of the stream that
 * results, injected bytes included. How the stream is sliced into pieces matters: a suggestion within the piece goes
 * before an earlier cut by hash, one beyond it does not. Format: pxar, section 6.5
 */
import { FormatError } from '../errors.js';
import { HashChunker } from './chunker.js';
import type { ScanKernel } from './scan-kernel.js';

export interface PayloadCut {
  /** offset in the piece where the chunk ends */
  readonly end: number;
  /** 0 (no chunk) only if forced */
  readonly chunkBytes: number;
  /** the injected bytes come here */
  readonly forced: boolean;
}

interface ForcedBoundary {
  readonly position: number;
  readonly injectedBytes: number;
}

export class PayloadChunker {
  readonly #hash: HashChunker;
  readonly #suggestions: number[] = [];
  readonly #forced: ForcedBoundary[] = [];
  #position = 0;

  constructor(averageBytes: number, kernel?: ScanKernel) {
    this.#hash = new HashChunker(averageBytes, kernel);
  }

  /** Bytes since the last cut: the size of the last chunk when the stream ends. */
  get chunkBytes(): number {
    return this.#hash.chunkBytes;
  }

  /** A good place for a cut; call in ascending order, and before the bytes there are scanned. */
  suggest(position: number): void {
    this.#suggestions.push(position);
  }

  /** A cut that must be, after which `injectedBytes` of the stream come from elsewhere. */
  force(position: number, injectedBytes: number): void {
    this.#forced.push({ position, injectedBytes });
  }

  /**
   * Takes `piece` from offset `from` up to the next cut; undefined if there is none before its end. Call again with the
   * end of each cut, also at the end of the piece, until there is none; only then give the next piece.
   */
  scan(piece: Uint8Array, from = 0): PayloadCut | undefined {
    const forced = this.#forced[0];
    const room = (forced?.position ?? Infinity) - this.#position;
    if (room < 0)
      throw new FormatError('BAD_STRUCTURE', `the payload stream is already beyond the forced boundary ${forced?.position}`);
    const to = Math.min(piece.length, from + room);
    const bytesBefore = this.#hash.chunkBytes;
    const end = this.#suggestedEnd(from, to) ?? this.#hash.scan(piece, from, to);
    this.#position += (end ?? to) - from;
    if (end !== undefined) {
      this.#hash.reset();
      return { end, chunkBytes: bytesBefore + end - from, forced: false };
    }
    if (forced?.position !== this.#position) return undefined;
    this.#forced.shift();
    this.#hash.reset();
    this.#position += forced.injectedBytes;
    return { end: to, chunkBytes: bytesBefore + to - from, forced: true };
  }

  /** The offset of the next suggestion if a cut is to be made there; drops those that are of no use. */
  #suggestedEnd(from: number, to: number): number | undefined {
    const { chunkBytesMin, chunkBytesMax } = this.#hash;
    for (;;) {
      const suggestion = this.#suggestions[0];
      if (suggestion === undefined) return undefined;
      const bytesAhead = suggestion - this.#position;
      const chunkBytes = this.#hash.chunkBytes + bytesAhead;
      if (bytesAhead > to - from || (bytesAhead >= 0 && chunkBytes > chunkBytesMax)) return undefined;
      this.#suggestions.shift();
      if (bytesAhead >= 0 && chunkBytes >= chunkBytesMin) return bytesAhead === 0 ? undefined : from + bytesAhead;
    }
  }
}
