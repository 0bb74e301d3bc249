/**
 * One image in staging. What was written is in the datastore as soon as a chunk of it is complete; the state directory keeps where each
 * chunk is, and what is not complete. All of it is there again after a kill once it was flushed, after a power cut once it was synced.
 */
import { FileError } from '../../errors.js';
import type { MaybePromise, OpenFile } from '../../vfs/file-system.js';
import type { Allocation, WritableFile } from '../../vfs/writable-file-system.js';
import type { ClonableImage } from './image-clone.js';
import { cloneInto } from './image-cloner.js';
import { finishImage, type FinishedImage } from './image-finish.js';
import { openParts, type ImageParts, type StagedImageOptions } from './image-parts.js';
import { piecesOf, writePieces } from './image-pieces.js';
import { imageBytesMax, imageChunkBytes } from './image-record.js';
import { Turns } from './image-turns.js';
import { zeroRange, zeroTail } from './image-zeros.js';

export type { ClonableImage } from './image-clone.js';
export type { FinishedImage } from './image-finish.js';
export type { StagedImageOptions } from './image-parts.js';

export class StagedImage {
  readonly #options: StagedImageOptions;
  readonly #parts: ImageParts;
  readonly #changes = new Turns();
  #writersOpen = 0;
  #isDirectorySynced = false;
  #closing: Promise<void> | undefined;

  private constructor(options: StagedImageOptions, parts: ImageParts) {
    this.#options = options;
    this.#parts = parts;
  }

  /** A new one, or as it was. BAD_STRUCTURE, UNSUPPORTED_VERSION, errors of the spool. */
  static async open(options: StagedImageOptions): Promise<StagedImage> {
    const parts = await openParts(options);
    await zeroTail(parts);
    return new StagedImage(options, parts);
  }

  /** Bytes. */
  get size(): number {
    return this.#parts.map.size;
  }

  /** Of chunks that are not holes. */
  get allocatedBytes(): number {
    const { map, chunks } = this.#parts;
    let count = map.held;
    for (const chunk of chunks.unfinished.keys()) if (map.recordOf(chunk).kind === 'hole') count++;
    const isLastHeld = map.count > 0 && (map.recordOf(map.count - 1).kind !== 'hole' || chunks.unfinished.has(map.count - 1));
    return count * imageChunkBytes - (isLastHeld ? map.count * imageChunkBytes - map.size : 0);
  }

  /** Chunks that take space in the spool. */
  get spooledChunks(): number {
    return this.#parts.data.allocated.size;
  }

  get writersOpen(): number {
    return this.#writersOpen;
  }

  openToRead(): OpenFile {
    const { reader } = this.#parts;
    return {
      caching: 'exclusive',
      read: (offset, length) => {
        this.#checkOpen();
        return reader.read(offset, length);
      },
      seek: (offset, what) => {
        this.#checkOpen();
        return reader.seek(offset, what);
      },
      close: () => undefined,
    };
  }

  openToWrite(): WritableFile {
    let isOpen = true;
    this.#writersOpen++;
    return {
      ...this.openToRead(),
      write: (offset, data) => this.write(offset, data),
      flush: () => this.flush(),
      allocate: (allocation) => this.allocate(allocation),
      close: () => {
        if (isOpen) this.#writersOpen--;
        isOpen = false;
      },
    };
  }

  /** As WritableFile.write(). TOO_LARGE, and errors of the spool and the datastore, also of an earlier write. */
  write(offset: number, data: Buffer): MaybePromise<number> {
    this.#checkOpen();
    this.#checkEnd(offset + data.length);
    const { chunks } = this.#parts;
    chunks.throwFailure();
    let written = 0;
    if (this.#changes.isFree) {
      for (const piece of piecesOf(offset, data)) {
        if (!chunks.tryWrite(piece)) break;
        written += piece.bytes.length;
      }
      if (written === data.length) return written;
    }
    const rest = Buffer.from(data.subarray(written));
    return this.#changes.run(() => writePieces(chunks, offset + written, rest)).then(() => data.length);
  }

  /** What was written before survives the end of this process. */
  async flush(): Promise<void> {
    this.#checkOpen();
    await this.#flush();
  }

  async #flush(): Promise<void> {
    const { chunks } = this.#parts;
    await chunks.spillAll();
    await chunks.writeMap();
    chunks.throwFailure();
  }

  /** What was written before survives a power cut. */
  async sync(): Promise<void> {
    this.#checkOpen();
    const { chunks } = this.#parts;
    await chunks.spillAll();
    await chunks.sync();
    if (!this.#isDirectorySynced) await this.#parts.directory.sync();
    this.#isDirectorySynced = true;
    await chunks.tidy();
    chunks.throwFailure();
  }

  /** The new size survives the end of this process. */
  truncate(size: number): Promise<void> {
    this.#checkEnd(size);
    return this.#change(async () => {
      const { map, chunks, data, origin } = this.#parts;
      if (size >= map.size) {
        map.grow(size);
        await chunks.writeMap();
        return;
      }
      const count = Math.ceil(size / imageChunkBytes);
      for (const chunk of [...chunks.unfinished.keys()]) if (chunk >= count) await chunks.drop(chunk);
      if (size % imageChunkBytes !== 0) await zeroRange(this.#parts, size, Math.min(count * imageChunkBytes, map.size));
      origin.clearFrom(count);
      await map.shrink(size);
      for (const chunk of [...data.allocated]) if (chunk >= count) data.discard(chunk);
    });
  }

  allocate({ kind, offset, length, keepSize }: Allocation): Promise<void> {
    const grows = !keepSize && kind !== 'punch';
    if (grows) this.#checkEnd(offset + length);
    return this.#change(async () => {
      const { map } = this.#parts;
      // There is nothing to reserve: what will be written takes what space it takes.
      if (kind !== 'reserve') await zeroRange(this.#parts, offset, Math.min(offset + length, map.size));
      if (grows) map.grow(offset + length);
    });
  }

  /**
   * Copies bytes of another image, whole chunks without reading them. Gives how many were taken, possibly fewer than asked for; 0 at the end
   * of the source.
   */
  cloneRange(source: ClonableImage, sourceOffset: number, targetOffset: number, length: number): Promise<number> {
    const range = { sourceOffset, targetOffset, length };
    return this.#change(() => cloneInto(this.#parts, source, range, (end) => this.#checkEnd(end)));
  }

  /** All of it in the datastore, for an index. Nothing may be open to write. */
  finish(): Promise<FinishedImage> {
    return this.#change(() => finishImage(this.#parts));
  }

  /** Flushes. Rejects with what kept that from being done, closed all the same. */
  close(): Promise<void> {
    return (this.#closing ??= this.#changes.run(() => this.#close()));
  }

  async #close(): Promise<void> {
    const { directory, map, data, origin, base, chunks } = this.#parts;
    try {
      await this.#flush();
      await chunks.tidy();
    } finally {
      base.close();
      for (const chunk of [...chunks.unfinished.keys()]) await chunks.drop(chunk);
      await Promise.all([map.close(), data.close(), origin.close(), directory.close()]);
    }
  }

  /** After what others have begun. */
  async #change<T>(work: () => Promise<T>): Promise<T> {
    this.#checkOpen();
    return await this.#changes.run(work);
  }

  #checkOpen(): void {
    if (this.#closing !== undefined) throw new FileError('STALE', `${this.#options.path} is committed or removed`);
  }

  #checkEnd(end: number): void {
    if (end <= imageBytesMax) return;
    throw new FileError('TOO_LARGE', `${this.#options.path}: an image has at most ${imageBytesMax} bytes, those that an index can hold`);
  }
}
