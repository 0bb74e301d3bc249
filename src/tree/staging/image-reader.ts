/** Reads of a staged image: what is in memory over what is in the spool over what is in the datastore. */
import { FileError } from '../../errors.js';
import { zeros } from '../../archive/zero-chunk.js';
import type { MaybePromise } from '../../vfs/file-system.js';
import { andThen } from '../../vfs/maybe.js';
import type { ImageBase } from './image-base.js';
import type { ImageChunks } from './image-chunks.js';
import type { ImageData } from './image-data.js';
import type { ImageMap } from './image-map.js';
import type { ByteRange } from './image-ranges.js';
import { imageChunkBytes } from './image-record.js';
import type { ImageRooms } from './image-rooms.js';
import type { UnfinishedChunk } from './image-unfinished.js';

export interface ImageReaderParts {
  readonly map: ImageMap;
  readonly data: ImageData;
  readonly base: ImageBase;
  readonly chunks: ImageChunks;
  readonly rooms: ImageRooms;
}

export class ImageReader {
  readonly #parts: ImageReaderParts;

  constructor(parts: ImageReaderParts) {
    this.#parts = parts;
  }

  /** As OpenFile.read(). */
  read(offset: number, length: number): MaybePromise<readonly Uint8Array[]> {
    const end = Math.min(offset + length, this.#parts.map.size);
    const pieces: MaybePromise<Uint8Array>[] = [];
    for (let at = offset; at < end; ) {
      const chunk = Math.floor(at / imageChunkBytes);
      const start = at - chunk * imageChunkBytes;
      const range = { start, end: Math.min(end - chunk * imageChunkBytes, imageChunkBytes) };
      this.#parts.base.noteRead(chunk);
      pieces.push(this.#piece(chunk, range));
      at += range.end - range.start;
    }
    if (pieces.every((piece) => piece instanceof Uint8Array)) return pieces;
    // Those that are at hand now may be gone when the others arrive.
    return Promise.all(pieces.map((piece) => Promise.resolve(piece instanceof Promise ? piece.then(copyOf) : copyOf(piece))));
  }

  /** As OpenFile.seek(): by chunks, and by what was written where the rest of one is zeros. */
  seek(offset: number, what: 'data' | 'hole'): number {
    const { map } = this.#parts;
    if (offset < 0 || offset >= map.size) throw noSuchAddress(offset);
    for (let at = offset; at < map.size; ) {
      const chunk = Math.floor(at / imageChunkBytes);
      const start = chunk * imageChunkBytes;
      const data = this.#dataOf(chunk, at - start);
      if (data === undefined) {
        if (what === 'hole') return at;
        at = this.#nextUsed(chunk + 1) * imageChunkBytes;
      } else if (what === 'data') {
        return Math.min(Math.max(at, start + data.start), map.size);
      } else if (start + data.start > at) {
        return at;
      } else {
        at = start + data.end;
      }
    }
    if (what === 'hole') return map.size;
    throw noSuchAddress(offset);
  }

  /** The first data of a chunk that ends behind `from`. */
  #dataOf(chunk: number, from: number): ByteRange | undefined {
    const { map, chunks } = this.#parts;
    const whole = { start: 0, end: imageChunkBytes };
    if (map.recordOf(chunk).kind !== 'hole') return whole;
    return chunks.unfinished.get(chunk)?.written().list.find(({ end }) => end > from);
  }

  /** The first chunk from `from` on that may hold something; that of the end if there is none. */
  #nextUsed(from: number): number {
    const { map, chunks } = this.#parts;
    const found = map.nextUsed(from, map.count);
    let first = found;
    for (const chunk of chunks.unfinished.keys()) if (chunk >= from && chunk < first) first = chunk;
    return first;
  }

  #piece(chunk: number, range: ByteRange): MaybePromise<Uint8Array> {
    const unfinished = this.#parts.chunks.unfinished.get(chunk);
    if (unfinished === undefined) return this.#parts.base.read(chunk, range);
    if (unfinished.inMemory.covers(range)) return this.#parts.rooms.view(unfinished).subarray(range.start, range.end);
    return this.#assemble(chunk, unfinished, range);
  }

  /** Again from the beginning if bytes were moved away meanwhile. */
  async #assemble(chunk: number, unfinished: UnfinishedChunk, range: ByteRange): Promise<Uint8Array> {
    const { version } = unfinished;
    const content = Buffer.alloc(range.end - range.start);
    const isSame = (): boolean => unfinished.version === version;
    const below = unfinished.written().gaps(range);
    if (below.length > 0) await this.#copyBase(chunk, range, below, content);
    for (const { start, end } of unfinished.spooled.within(range)) {
      if (isSame()) await this.#parts.data.read(chunk, start, content.subarray(start - range.start, end - range.start));
    }
    if (!isSame()) return this.#piece(chunk, range);
    for (const { start, end } of unfinished.inMemory.within(range)) {
      content.set(this.#parts.rooms.view(unfinished).subarray(start, end), start - range.start);
    }
    return content;
  }

  #copyBase(chunk: number, range: ByteRange, gaps: readonly ByteRange[], content: Buffer): MaybePromise<void> {
    return andThen(this.#parts.base.read(chunk, range), (base) => {
      for (const { start, end } of gaps) content.set(base.subarray(start - range.start, end - range.start), start - range.start);
    });
  }
}

function copyOf(piece: Uint8Array): Uint8Array {
  return piece.buffer === zeros.buffer ? piece : new Uint8Array(piece);
}

function noSuchAddress(offset: number): FileError {
  return new FileError('NO_SUCH_ADDRESS', `nothing of that kind at or after offset ${offset}`);
}
