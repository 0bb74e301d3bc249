/**
 * Watches which chunks of one stream are read and names those that come next. It follows the stream, not a file: a walk over
 * thousands of small files moves through it like one long read. Several readers at once are told apart by where they are.
 */

/** Chunks are known by number only; the stream knows what is zero or at hand. */
export interface ChunksAhead {
  readonly count: number;
  bytesOf(chunk: number): number;
  /** False: not now, too much is queued already. */
  prefetch(chunk: number): boolean;
}

interface Reader {
  /** Last chunk read. */
  at: number;
  /** First chunk not yet asked for. */
  ahead: number;
  windowBytes: number;
}

const readersMax = 32;
/** Requests come out of order and skip a little: what is this near to a reader's last chunk continues it. */
const backwardChunks = 1;
const forwardChunks = 2;
const windowBytesFirst = 8 << 20;

export class ReadAhead {
  readonly #chunks: ChunksAhead;
  readonly #windowBytesMax: () => number;
  /** Most recently seen last. */
  readonly #readers: Reader[] = [];

  /** `windowBytesMax` is asked again whenever a reader goes on: the way to a store may turn out longer or faster. */
  constructor(chunks: ChunksAhead, windowBytesMax: () => number) {
    this.#chunks = chunks;
    this.#windowBytesMax = windowBytesMax;
  }

  /** A reader needs `chunk` now. */
  note(chunk: number): void {
    const last = this.#readers.at(-1);
    if (last?.at === chunk) return;
    const found = this.#readers.findLastIndex(({ at }) => chunk >= at - backwardChunks && chunk <= at + forwardChunks);
    if (found === -1) {
      if (this.#readers.length === readersMax) this.#readers.shift();
      this.#readers.push({ at: chunk, ahead: chunk + 1, windowBytes: windowBytesFirst });
      return;
    }
    const [reader] = this.#readers.splice(found, 1);
    if (reader === undefined) return;
    this.#readers.push(reader);
    if (chunk > reader.at) this.#advance(reader, chunk);
  }

  #advance(reader: Reader, chunk: number): void {
    reader.at = chunk;
    reader.ahead = Math.max(reader.ahead, chunk + 1);
    let bytes = 0;
    for (let next = chunk + 1; next < reader.ahead; next++) bytes += this.#chunks.bytesOf(next);
    const windowBytesMax = this.#windowBytesMax();
    const window = Math.min(reader.windowBytes, windowBytesMax);
    while (reader.ahead < this.#chunks.count && bytes < window && this.#chunks.prefetch(reader.ahead)) {
      bytes += this.#chunks.bytesOf(reader.ahead);
      reader.ahead++;
    }
    reader.windowBytes = Math.min(reader.windowBytes * 2, windowBytesMax);
  }
}
