/**
 * Bytes of a stream become chunks and an index. What is written lies in shared memory until its chunks are stored, so that nothing is copied but the
 * beginning of a chunk whose room ends. Format: pxar, sections 6.3 and 6.5; datastore, section 4.2.
 *
 * Where a payload stream is cut depends on the pieces in which it is looked at, and on what is suggested until then. Pieces are those of the official
 * client: small writes are collected in 256 KiB, a write of that size or more is a piece of its own. Other streams are looked at in the same pieces, as those don't matter to them.
 */
import { randomUUID } from 'node:crypto';
import { contentRoomBytesMax, type Room } from '../codec/content-memory.js';
import { StoreError } from '../errors.js';
import { digestBytes } from '../format/chunk-index.js';
import { encodeDynamicIndex } from '../format/dynamic-index.js';
import { PayloadChunker } from '../format/payload-chunker.js';
import type { IndexTarget, ReusedChunk, StoredChunk } from '../store/backup-session.js';
import type { MaybePromise } from '../vfs/file-system.js';

export interface StreamFigures {
  readonly bytes: number;
  readonly bytesAdded: number;
  readonly encodedBytesAdded: number;
  readonly bytesInjected: number;
  readonly chunks: number;
}

export interface WrittenStream {
  readonly filename: string;
  readonly size: number;
  /** Of the index, 64 hexadecimal digits. */
  readonly csum: string;
  readonly figures: StreamFigures;
}

export interface StreamWriterOptions {
  readonly target: Pick<IndexTarget, 'memory' | 'putChunk' | 'writeIndex'>;
  /** Of the index: `root.pxar.didx`. */
  readonly filename: string;
  /** A power of two from 64 KiB to 4 MiB. */
  readonly averageBytes: number;
  /** `payload`: also at suggested places, and with chunks of an earlier snapshot between. */
  readonly cuts: 'hash' | 'payload';
}

/** Most bytes of one write: a block of a file, and what goes before it. */
export const pieceBytesMax = (4 << 20) + (64 << 10);

/** Most bytes of a chunk, in average sizes. */
const chunkAveragesMax = 4;
const collectedBytesMax = 256 << 10;
/** The beginning of a chunk, a piece that was not looked at yet, and a write. */
const roomBytesMin = 16 << 20;
const digestsBytesMin = 64 * digestBytes;

/** A room of the shared memory: chunks in work, then the beginning of a chunk, then nothing yet. */
interface Shelf {
  readonly room: Room;
  readonly view: Buffer;
  chunksInWork: number;
}

export class StreamWriter {
  readonly #target: StreamWriterOptions['target'];
  readonly #filename: string;
  readonly #takesSuggestions: boolean;
  readonly #chunker: PayloadChunker;
  readonly #roomBytes: number;
  readonly #ctime = Math.floor(Date.now() / 1000);
  readonly #figures = { bytes: 0, bytesAdded: 0, encodedBytesAdded: 0, bytesInjected: 0, chunks: 0 };
  readonly #ends: number[] = [];
  #digests = Buffer.alloc(digestsBytesMin);
  readonly #inWork = new Set<Promise<void>>();
  /** Those for which the stream has not been cut yet. */
  readonly #injections: (readonly ReusedChunk[])[] = [];
  #shelf: Shelf | undefined;
  /** Offsets in the shelf, in ascending order: where the current chunk begins, how far it was looked at, where the next byte goes. */
  #chunkStart = 0;
  #scanned = 0;
  #filled = 0;
  #failure: Error | undefined;
  #closed = false;

  constructor({ target, filename, averageBytes, cuts }: StreamWriterOptions) {
    this.#target = target;
    this.#filename = filename;
    this.#takesSuggestions = cuts === 'payload';
    this.#chunker = new PayloadChunker(averageBytes, target.memory.kernel);
    this.#roomBytes = averageBytes * chunkAveragesMax + 2 * pieceBytesMax <= roomBytesMin ? roomBytesMin : contentRoomBytesMax;
  }

  /** Bytes of the stream so far, injected ones included. */
  get position(): number {
    return this.#figures.bytes;
  }

  /** Live. */
  get figures(): StreamFigures {
    return this.#figures;
  }

  /** Waits until `bytes`, at most pieceBytesMax, can be written. Rejects with the first failure of any chunk. */
  room(bytes: number): MaybePromise<void> {
    if (bytes > pieceBytesMax) throw new RangeError(`${bytes} bytes are more than the ${pieceBytesMax} of one write`);
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    if (this.#closed) return Promise.reject(closed(this.#filename));
    const shelf = this.#shelf;
    if (shelf !== undefined) {
      if (this.#filled + bytes <= shelf.view.length) return undefined;
      if (shelf.chunksInWork === 0) return this.#continueOn(shelf);
    }
    const room = this.#target.memory.take(this.#roomBytes);
    return room instanceof Promise ? room.then((taken) => this.#moveTo(taken)) : this.#moveTo(room);
  }

  /** The memory right behind the last byte, after room(): what is put there and then written is not copied. */
  space(bytes: number): Buffer {
    return this.#shelfFor(bytes).view.subarray(this.#filled, this.#filled + bytes);
  }

  /** Takes bytes for which there is room(); they may change afterwards, unless they are in the space(). */
  write(bytes: Buffer): void {
    const { view } = this.#shelfFor(bytes.length);
    // Not before the next write: what is suggested until then may be the end of this piece.
    if (this.#filled - this.#scanned + bytes.length > collectedBytesMax) this.#scan();
    const isInPlace = bytes.buffer === view.buffer && bytes.byteOffset === view.byteOffset + this.#filled;
    if (!isInPlace) bytes.copy(view, this.#filled);
    this.#filled += bytes.length;
    this.#figures.bytes += bytes.length;
  }

  /** A good place for a cut: where a file begins. In ascending order, before the bytes there are written. */
  suggest(position: number): void {
    this.#checkPayload();
    this.#chunker.suggest(position);
  }

  /** Puts chunks of an earlier snapshot here, with a cut before them. That they are in the datastore is the caller's business. */
  inject(chunks: readonly ReusedChunk[]): void {
    this.#checkPayload();
    const bytes = chunks.reduce((sum, { length }) => sum + length, 0);
    this.#chunker.force(this.#figures.bytes, bytes);
    this.#injections.push(chunks);
    this.#figures.bytes += bytes;
    this.#figures.bytesInjected += bytes;
  }

  /** Ends the stream and writes its index when all chunks are stored. Rejects with the first failure of any chunk. A stream has at least 1 byte. */
  async finish(): Promise<WrittenStream> {
    if (this.#closed) throw closed(this.#filename);
    this.#scan();
    if (this.#filled > this.#chunkStart) this.#putChunk(this.#filled);
    await this.abort();
    if (this.#failure !== undefined) throw this.#failure;
    const digests = this.#digests.subarray(0, this.#ends.length * digestBytes);
    const uuid = Buffer.from(randomUUID().replaceAll('-', ''), 'hex');
    const index = encodeDynamicIndex({ uuid, ctime: this.#ctime, ends: this.#ends, digests });
    await this.#target.writeIndex(index);
    return { filename: this.#filename, size: this.#figures.bytes, csum: csumIn(index), figures: this.#figures };
  }

  /** Takes no more, and gives the memory back when the chunks in work are done. Never rejects. */
  async abort(): Promise<void> {
    this.#closed = true;
    await Promise.all(this.#inWork);
    if (this.#shelf !== undefined) this.#target.memory.give(this.#shelf.room);
    this.#shelf = undefined;
  }

  #shelfFor(bytes: number): Shelf {
    const shelf = this.#shelf;
    if (shelf !== undefined && this.#filled + bytes <= shelf.view.length) return shelf;
    throw new RangeError(`there is no room for ${bytes} bytes of ${this.#filename}`);
  }

  #moveTo(room: Room): void {
    if (this.#failure !== undefined || this.#closed) {
      this.#target.memory.give(room);
      throw this.#failure ?? closed(this.#filename);
    }
    const old = this.#shelf;
    this.#shelf = { room, view: this.#target.memory.view(room), chunksInWork: 0 };
    if (old === undefined) return;
    this.#continueOn(this.#shelf, old);
    if (old.chunksInWork === 0) this.#target.memory.give(old.room);
  }

  /** Lays the beginning of the current chunk to the front of the shelf. */
  #continueOn(shelf: Shelf, old = shelf): void {
    old.view.copy(shelf.view, 0, this.#chunkStart, this.#filled);
    this.#scanned -= this.#chunkStart;
    this.#filled -= this.#chunkStart;
    this.#chunkStart = 0;
  }

  /** Looks for cuts in what was written since the last time: one piece. */
  #scan(): void {
    const from = this.#scanned;
    const piece = this.#shelf?.view.subarray(from, this.#filled) ?? Buffer.alloc(0);
    this.#scanned = this.#filled;
    for (let cut = this.#chunker.scan(piece); cut !== undefined; cut = this.#chunker.scan(piece, cut.end)) {
      if (cut.chunkBytes > 0) this.#putChunk(from + cut.end);
      if (cut.forced) this.#addInjected(this.#injections.shift() ?? []);
    }
  }

  #addInjected(chunks: readonly ReusedChunk[]): void {
    for (const { digest, length } of chunks) {
      const place = this.#addEntry(length);
      digest.copy(this.#digests, place);
    }
  }

  /** Hands the current chunk, which ends at this offset in the shelf, to the target. */
  #putChunk(end: number): void {
    const shelf = this.#shelf;
    if (shelf === undefined) throw new Error('a chunk needs a shelf');
    const content = shelf.view.subarray(this.#chunkStart, end);
    const place = this.#addEntry(content.length);
    this.#chunkStart = end;
    shelf.chunksInWork++;
    const stored = this.#target
      .putChunk(content)
      .then((chunk) => {
        this.#account(chunk, place, content.length);
      })
      .catch((error: unknown) => {
        this.#failure ??= error instanceof Error ? error : new Error(String(error));
      })
      .finally(() => {
        this.#inWork.delete(stored);
        shelf.chunksInWork--;
        if (shelf.chunksInWork === 0 && shelf !== this.#shelf) this.#target.memory.give(shelf.room);
      });
    this.#inWork.add(stored);
  }

  #account({ digest, added, encodedBytes }: StoredChunk, place: number, length: number): void {
    digest.copy(this.#digests, place);
    if (!added) return;
    this.#figures.bytesAdded += length;
    this.#figures.encodedBytesAdded += encodedBytes;
  }

  /** Gives the offset at which the digest belongs. */
  #addEntry(length: number): number {
    const place = this.#ends.length * digestBytes;
    this.#ends.push((this.#ends.at(-1) ?? 0) + length);
    this.#figures.chunks++;
    if (place + digestBytes > this.#digests.length) this.#digests = Buffer.concat([this.#digests, Buffer.alloc(this.#digests.length)]);
    return place;
  }

  #checkPayload(): void {
    if (!this.#takesSuggestions) throw new Error(`${this.#filename} is no payload stream`);
  }
}

function csumIn(index: Buffer): string {
  return index.toString('hex', 32, 64);
}

function closed(filename: string): StoreError {
  return new StoreError('CLOSED', `the backup of ${filename} was ended`);
}
