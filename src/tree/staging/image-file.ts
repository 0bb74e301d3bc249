/**
 * One image in staging. What was written is in the datastore as soon as a chunk of it is complete; the state directory keeps where each
 * chunk is, and what is not complete. All of it is there again after a kill once it was flushed, after a power cut once it was synced.
 */
import { mkdir, open } from 'node:fs/promises';
import { join } from 'node:path';
import { zeros, zeroDigest } from '../../archive/zero-chunk.js';
import type { DamageLog } from '../../archive/damage.js';
import type { ChunkCache } from '../../codec/chunk-cache.js';
import { FileError } from '../../errors.js';
import type { ChunkIndex } from '../../format/chunk-index.js';
import type { ChunkWriter } from '../../store/chunk-writer.js';
import type { MaybePromise, OpenFile } from '../../vfs/file-system.js';
import type { Allocation, WritableFile } from '../../vfs/writable-file-system.js';
import { ImageBase } from './image-base.js';
import { ImageChunks, type ChunkPiece } from './image-chunks.js';
import { contentAt, planClone, runsOf, type ClonableImage, type ClonePlan } from './image-clone.js';
import { ImageData } from './image-data.js';
import { finishImage, type FinishedImage } from './image-finish.js';
import { ImageMap, type SpooledRecord } from './image-map.js';
import { ImageOrigin } from './image-origin.js';
import { ImageReader } from './image-reader.js';
import { imageBytesMax, imageChunkBytes } from './image-record.js';
import type { ImageRooms } from './image-rooms.js';
import { Turns } from './image-turns.js';

export type { ClonableImage } from './image-clone.js';
export type { FinishedImage } from './image-finish.js';

export interface StagedImageOptions {
  /** In the tree, for messages. */
  readonly path: string;
  /** State directory in the spool; made if it is not there. Nobody else may have it open. */
  readonly directory: string;
  readonly writer: ChunkWriter;
  /** Of all images of that writer. */
  readonly rooms: ImageRooms;
  /** Of the same datastore. */
  readonly cache: ChunkCache;
  /** Of the writer's key in the cache; -1 if it has none. */
  readonly keyNumber: number;
  readonly damage: DamageLog;
  /** Unfinished chunks of 4 MiB that may take space in the spool. */
  readonly spooledChunksMax?: number;
}

interface Parts {
  readonly options: StagedImageOptions;
  readonly map: ImageMap;
  readonly data: ImageData;
  readonly base: ImageBase;
  readonly origin: ImageOrigin;
  readonly chunks: ImageChunks;
  readonly reader: ImageReader;
}

const spooledChunksMaxDefault = 256;

export class StagedImage {
  readonly #parts: Parts;
  readonly #changes = new Turns();
  #writersOpen = 0;
  #isDirectorySynced = false;
  #closing: Promise<void> | undefined;

  private constructor(parts: Parts) {
    this.#parts = parts;
  }

  /** A new one, or as it was. BAD_STRUCTURE, UNSUPPORTED_VERSION, errors of the spool. */
  static async open(options: StagedImageOptions): Promise<StagedImage> {
    const { path, directory, writer, rooms, cache, keyNumber, damage, spooledChunksMax = spooledChunksMaxDefault } = options;
    await mkdir(directory, { recursive: true, mode: 0o700 });
    const spooled: { chunk: number; record: SpooledRecord }[] = [];
    const data = await ImageData.open(join(directory, 'data'));
    const origin = await ImageOrigin.open(join(directory, 'origin'));
    const map = await ImageMap.open(join(directory, 'map'), (chunk, record) => spooled.push({ chunk, record }));
    const base = new ImageBase({ path, map, cache, keyNumber, damage });
    const chunks = new ImageChunks({ map, data, base, origin, rooms, writer, spooledChunksMax });
    for (const { chunk, record } of spooled) chunks.adopt(chunk, record);
    const image = new StagedImage({ options, map, data, base, origin, chunks, reader: new ImageReader({ map, data, base, chunks, rooms }) });
    await image.#zeroTail();
    return image;
  }

  /** Bytes. */
  get size(): number {
    return this.#parts.map.size;
  }

  /** Of chunks that are not holes. */
  get allocatedBytes(): number {
    const { map, chunks } = this.#parts;
    let bytes = 0;
    for (const chunk of map.used(0, map.count)) bytes += Math.min(imageChunkBytes, map.size - chunk * imageChunkBytes);
    for (const chunk of chunks.unfinished.keys()) if (map.recordOf(chunk).kind === 'hole') bytes += imageChunkBytes;
    return Math.min(bytes, map.size);
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
      read: (offset, length) => reader.read(offset, length),
      seek: (offset, what) => reader.seek(offset, what),
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
    checkEnd(this.#parts.options.path, offset + data.length);
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
    return this.#changes.run(() => this.#write(offset + written, rest)).then(() => data.length);
  }

  /** What was written before survives the end of this process. */
  async flush(): Promise<void> {
    const { chunks } = this.#parts;
    await chunks.spillAll();
    await chunks.writeMap();
    chunks.throwFailure();
  }

  /** What was written before survives a power cut. */
  async sync(): Promise<void> {
    const { chunks, options } = this.#parts;
    await chunks.spillAll();
    await chunks.sync();
    if (!this.#isDirectorySynced) await syncDirectory(options.directory);
    this.#isDirectorySynced = true;
    await chunks.tidy();
    chunks.throwFailure();
  }

  truncate(size: number): Promise<void> {
    checkEnd(this.#parts.options.path, size);
    return this.#changes.run(async () => {
      const { map, chunks, data, origin } = this.#parts;
      if (size >= map.size) {
        map.grow(size);
        return;
      }
      const count = Math.ceil(size / imageChunkBytes);
      for (const chunk of [...chunks.unfinished.keys()]) if (chunk >= count) await chunks.drop(chunk);
      if (size % imageChunkBytes !== 0) await this.#zero(size, Math.min(count * imageChunkBytes, map.size));
      origin.clearFrom(count);
      await map.shrink(size);
      for (const chunk of [...data.allocated]) if (chunk >= count) data.discard(chunk);
    });
  }

  allocate({ kind, offset, length, keepSize }: Allocation): Promise<void> {
    const grows = !keepSize && kind !== 'punch';
    if (grows) checkEnd(this.#parts.options.path, offset + length);
    return this.#changes.run(async () => {
      const { map } = this.#parts;
      // There is nothing to reserve: what will be written takes what space it takes.
      if (kind !== 'reserve') await this.#zero(offset, Math.min(offset + length, map.size));
      if (grows) map.grow(offset + length);
    });
  }

  /**
   * Copies bytes of another image, whole chunks without reading them. Gives how many were taken, possibly fewer than asked for; 0 at the end
   * of the source.
   */
  cloneRange(source: ClonableImage, sourceOffset: number, targetOffset: number, length: number): Promise<number> {
    return this.#changes.run(async () => {
      const plan = planClone(source, { sourceOffset, targetOffset, length, targetSize: this.size });
      checkEnd(this.#parts.options.path, targetOffset + plan.length);
      await this.#copy(source, sourceOffset, targetOffset, Math.min(plan.head, plan.length));
      if (plan.count > 0) await this.#cloneChunks(source, plan, targetOffset + plan.length);
      return plan.length;
    });
  }

  /** All of it in the datastore, for an index. Nothing may be open to write. */
  finish(): Promise<FinishedImage> {
    return this.#changes.run(() => finishImage({ ...this.#parts, writer: this.#parts.options.writer }));
  }

  /** Flushes. Rejects with what kept that from being done, closed all the same. */
  close(): Promise<void> {
    return (this.#closing ??= this.#changes.run(() => this.#close()));
  }

  async #close(): Promise<void> {
    const { map, data, origin, base, chunks } = this.#parts;
    try {
      await this.flush();
      await chunks.tidy();
    } finally {
      base.close();
      for (const chunk of [...chunks.unfinished.keys()]) await chunks.drop(chunk);
      await Promise.all([map.close(), data.close(), origin.close()]);
    }
  }

  async #write(offset: number, data: Uint8Array): Promise<void> {
    for (const piece of piecesOf(offset, data)) await this.#parts.chunks.write(piece);
  }

  /** Bytes [start, end) become zeros, whole chunks holes; the size stays. `end` is not behind it. */
  async #zero(start: number, end: number): Promise<void> {
    const { map, chunks } = this.#parts;
    const { size } = map;
    for (let at = start; at < end; ) {
      const chunk = Math.floor(at / imageChunkBytes);
      const chunkStart = chunk * imageChunkBytes;
      const stop = Math.min(end, chunkStart + imageChunkBytes);
      if (!this.#holds(chunk)) {
        at = Math.max(stop, Math.min(this.#nextHeld(chunk + 1) * imageChunkBytes, end));
      } else {
        if (at === chunkStart && stop === Math.min(chunkStart + imageChunkBytes, size)) await this.#makeHole(chunk);
        else await chunks.write({ chunk, start: at - chunkStart, bytes: zeros.subarray(0, stop - at), keepSize: true });
        at = stop;
      }
    }
  }

  async #makeHole(chunk: number): Promise<void> {
    const { map, chunks, origin } = this.#parts;
    await chunks.drop(chunk);
    map.setHole(chunk);
    origin.clear(chunk);
  }

  #holds(chunk: number): boolean {
    const { map, chunks } = this.#parts;
    return map.recordOf(chunk).kind !== 'hole' || chunks.unfinished.has(chunk);
  }

  #nextHeld(from: number): number {
    const { map, chunks } = this.#parts;
    const found = map.nextUsed(from, map.count);
    return [...chunks.unfinished.keys()].reduce((first, chunk) => (chunk >= from && chunk < first ? chunk : first), found);
  }

  /** A process that ended while it made the image smaller may have left more of the last chunk than there should be. */
  async #zeroTail(): Promise<void> {
    const { map, chunks } = this.#parts;
    const start = map.size % imageChunkBytes;
    if (start === 0) return;
    const chunk = map.count - 1;
    const record = map.recordOf(chunk);
    const isLonger = record.kind === 'stored' && record.length > start;
    const isWritten = chunks.unfinished.get(chunk)?.spooled.list.some(({ end }) => end > start) === true;
    if (isLonger || isWritten) await chunks.write({ chunk, start, bytes: zeros.subarray(0, imageChunkBytes - start), keepSize: true });
  }

  async #copy(source: ClonableImage, sourceOffset: number, targetOffset: number, length: number): Promise<void> {
    for (let done = 0; done < length; ) {
      const pieces = await source.readAt(sourceOffset + done, Math.min(length - done, imageChunkBytes));
      const bytes = Buffer.concat(pieces);
      if (bytes.length === 0) throw new FileError('INVALID_ARGUMENT', 'the source of a clone is shorter than its index says');
      await this.#write(targetOffset + done, bytes);
      done += bytes.length;
    }
  }

  async #cloneChunks(source: ClonableImage, { first, count, target }: ClonePlan, end: number): Promise<void> {
    const { map, chunks, origin, options } = this.#parts;
    const { index } = source;
    const missing = await this.#missingOf(index, first, first + count);
    for (const chunk of [...chunks.unfinished.keys()]) if (chunk >= target && chunk < target + count) await chunks.drop(chunk);
    for (const { at, count: run, content } of runsOf(index, first, first + count)) {
      const isZero = content.digest.equals(zeroDigest(content.length, options.writer.key));
      for (let chunk = at - first + target; chunk < at - first + target + run; chunk++) {
        if (isZero) map.setHole(chunk);
        else if (!missing.has(content.digest.toString('latin1'))) map.setStored(chunk, contentAt(index, chunk - target + first));
      }
    }
    if (first === target) origin.note(index.csum, target, target + count);
    else for (let chunk = target; chunk < target + count; chunk++) origin.clear(chunk);
    map.grow(end);
    if (missing.size > 0) await this.#copyMissing(source, { first, count, target }, missing);
  }

  /** Digests of chunks that are not in the datastore any more. */
  async #missingOf(index: ChunkIndex, first: number, end: number): Promise<ReadonlySet<string>> {
    const { writer } = this.#parts.options;
    const contents = [...runsOf(index, first, end)].map(({ content }) => content).filter(({ digest, length }) => !digest.equals(zeroDigest(length, writer.key)));
    const missing = await writer.reuseChunks(contents);
    return new Set(missing.flatMap((i) => contents[i]?.digest.toString('latin1') ?? []));
  }

  /** Reads them: they may be there by now, or have lain in another place; else this fails as any read of them does. */
  async #copyMissing(source: ClonableImage, { first, count, target }: Pick<ClonePlan, 'first' | 'count' | 'target'>, missing: ReadonlySet<string>): Promise<void> {
    for (let i = 0; i < count; i++) {
      const { digest, length } = contentAt(source.index, first + i);
      if (missing.has(digest.toString('latin1'))) await this.#copy(source, (first + i) * imageChunkBytes, (target + i) * imageChunkBytes, length);
    }
  }
}

function* piecesOf(offset: number, data: Uint8Array): Generator<ChunkPiece> {
  for (let at = 0; at < data.length; ) {
    const chunk = Math.floor((offset + at) / imageChunkBytes);
    const start = offset + at - chunk * imageChunkBytes;
    const bytes = data.subarray(at, at + imageChunkBytes - start);
    yield { chunk, start, bytes, keepSize: false };
    at += bytes.length;
  }
}

function checkEnd(path: string, end: number): void {
  if (end <= imageBytesMax) return;
  throw new FileError('TOO_LARGE', `${path}: an image has at most ${imageBytesMax} bytes, those that an index can hold`);
}

async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
