/**
 * The chunks of a staged image while it is written: filled in memory, spilled into the spool when too many are open, put into the
 * datastore when they are complete or the spool is full. What was taken stays readable whatever fails.
 */
import { zeroDigest } from '../../archive/zero-chunk.js';
import { FileError } from '../../errors.js';
import { SharedSync } from '../../os/shared-sync.js';
import type { ChunkWriter } from '../../store/chunk-writer.js';
import type { ImageBase } from './image-base.js';
import type { ImageData } from './image-data.js';
import type { ImageMap, SpooledRecord } from './image-map.js';
import type { ImageOrigin } from './image-origin.js';
import { imageChunkBytes, recordRangesMax } from './image-record.js';
import { settled, type ImageRooms } from './image-rooms.js';
import { UnfinishedChunk, wholeChunk } from './image-unfinished.js';

const rangesInMemoryMax = 256;

export interface ImageChunksParts {
  readonly map: ImageMap;
  readonly data: ImageData;
  readonly base: ImageBase;
  readonly origin: ImageOrigin;
  readonly rooms: ImageRooms;
  readonly writer: ChunkWriter;
  /** Chunks that may take space in the spool. */
  readonly spooledChunksMax: number;
}

export interface ChunkPiece {
  readonly chunk: number;
  /** Place in the chunk. */
  readonly start: number;
  readonly bytes: Uint8Array;
  /** The image does not grow by it. */
  readonly keepSize: boolean;
}

export class ImageChunks {
  readonly #parts: ImageChunksParts;
  /** Least recently written first. */
  readonly #unfinished = new Map<number, UnfinishedChunk>();
  #settling: Promise<void> | undefined;
  readonly #storeSync = new SharedSync(() => this.#parts.writer.sync());
  #failure: { readonly error: unknown } | undefined;

  constructor(parts: ImageChunksParts) {
    this.#parts = parts;
  }

  /** What an earlier process left in the spool. */
  adopt(chunk: number, { ranges }: SpooledRecord): void {
    this.#unfinished.set(chunk, new UnfinishedChunk(chunk, ranges, (each) => this.#spill(each)));
  }

  get unfinished(): ReadonlyMap<number, UnfinishedChunk> {
    return this.#unfinished;
  }

  /** False: only write() can do it, which waits for something. */
  tryWrite({ chunk, start, bytes, keepSize }: ChunkPiece): boolean {
    const { map, rooms, origin } = this.#parts;
    const unfinished = this.#unfinishedOf(chunk);
    if (unfinished.busy !== undefined || unfinished.inMemory.list.length >= rangesInMemoryMax) return false;
    if (unfinished.room === undefined && !rooms.tryOpen(unfinished)) return false;
    const end = start + bytes.length;
    rooms.view(unfinished).set(bytes, start);
    unfinished.inMemory.add({ start, end });
    if (!keepSize) map.grow(chunk * imageChunkBytes + end);
    origin.clear(chunk);
    rooms.touch(unfinished);
    this.#unfinished.delete(chunk);
    this.#unfinished.set(chunk, unfinished);
    if ((chunk + 1) * imageChunkBytes <= map.size && unfinished.isWhole) this.#complete(unfinished);
    return true;
  }

  /** Waits for room, or for what is going on with the chunk. Rejects with ENOSPC and the like of the spool, or what takes room can't be stored. */
  async write(piece: ChunkPiece): Promise<void> {
    try {
      while (!this.tryWrite(piece)) {
        const unfinished = this.#unfinishedOf(piece.chunk);
        if (unfinished.busy !== undefined) await settled(unfinished.busy);
        else if (unfinished.room === undefined) await this.#parts.rooms.waitForOpen();
        else await unfinished.occupy(() => this.#fillRoom(unfinished));
      }
    } finally {
      this.#forgetIfEmpty(piece.chunk);
    }
  }

  /** The chunk is as the map has it. */
  async drop(chunk: number): Promise<void> {
    for (let unfinished = this.#unfinished.get(chunk); unfinished !== undefined; unfinished = this.#unfinished.get(chunk)) {
      if (unfinished.busy !== undefined) await settled(unfinished.busy);
      else this.#remove(unfinished);
    }
  }

  /** Nothing that was written before is in memory only. */
  async spillAll(): Promise<void> {
    await Promise.all([...this.#unfinished.values()].map((unfinished) => this.#spillWhole(unfinished)));
  }

  /** All that was written is in the datastore; rejects with what stopped the first that is not. */
  async storeAll(): Promise<void> {
    const outcomes = await Promise.allSettled([...this.#unfinished.values()].map((unfinished) => this.#storeWhole(unfinished)));
    const failed = outcomes.find((outcome) => outcome.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
    this.#failure = undefined;
  }

  /** Puts a chunk that is stored already, for its length is to be another one. */
  async restore(chunk: number): Promise<void> {
    try {
      await this.#storeWhole(this.#unfinishedOf(chunk));
    } finally {
      this.#forgetIfEmpty(chunk);
    }
  }

  /** The map in the spool tells all but what is in memory only. Not for sure on disk. */
  async writeMap(): Promise<void> {
    const { map, origin } = this.#parts;
    await origin.write();
    await map.write({ unfinished: (chunk) => this.#spooledRecord(chunk), makeDurable: () => this.#makeDurable() });
  }

  /** What was spilled or stored before survives a power cut. */
  async sync(): Promise<void> {
    await this.#makeDurable();
    await this.writeMap();
    await this.#parts.map.sync();
  }

  /** Gives back the space of chunks that are in the datastore by now. */
  async tidy(): Promise<void> {
    const { map, data } = this.#parts;
    const unused = [...data.allocated].filter((chunk) => this.#isUnused(chunk));
    if (unused.length === 0) return;
    await this.writeMap();
    await map.sync();
    for (const chunk of unused) if (this.#isUnused(chunk) && map.isWritten(chunk)) data.discard(chunk);
  }

  /** Throws what went wrong behind a writer's back since this was asked last. */
  throwFailure(): void {
    const failure = this.#failure;
    this.#failure = undefined;
    if (failure !== undefined) throw failure.error;
  }

  #unfinishedOf(chunk: number): UnfinishedChunk {
    let unfinished = this.#unfinished.get(chunk);
    if (unfinished === undefined) {
      unfinished = new UnfinishedChunk(chunk, [], (each) => this.#spill(each));
      this.#unfinished.set(chunk, unfinished);
    }
    return unfinished;
  }

  #forgetIfEmpty(chunk: number): void {
    const unfinished = this.#unfinished.get(chunk);
    if (unfinished?.isEmpty === true && unfinished.busy === undefined) this.#remove(unfinished);
  }

  #remove(unfinished: UnfinishedChunk): void {
    const { chunk } = unfinished;
    this.#unfinished.delete(chunk);
    unfinished.version++;
    if (!unfinished.spooled.isEmpty) this.#parts.map.noteChange(chunk);
    this.#parts.rooms.close(unfinished);
  }

  #complete(unfinished: UnfinishedChunk): void {
    unfinished
      .occupy(() => this.#store(unfinished))
      .catch((error: unknown) => {
        this.#failure ??= { error };
      });
  }

  /** Only while it is not busy. */
  async #store(unfinished: UnfinishedChunk): Promise<void> {
    const { map, rooms, writer } = this.#parts;
    await rooms.beginWork(unfinished);
    let isStored = false;
    try {
      const length = Math.min(map.size - unfinished.chunk * imageChunkBytes, imageChunkBytes);
      const content = rooms.view(unfinished, length);
      await this.#fill(unfinished, content);
      const { digest } = await writer.putChunk(content);
      this.#storeSync.note();
      if (length === imageChunkBytes && digest.equals(zeroDigest(length, writer.key))) map.setHole(unfinished.chunk);
      else map.setStored(unfinished.chunk, { digest, length });
      this.#unfinished.delete(unfinished.chunk);
      map.noteChange(unfinished.chunk);
      unfinished.version++;
      isStored = true;
    } finally {
      rooms.endWork(unfinished, !isStored && !unfinished.inMemory.isEmpty);
    }
  }

  /** Puts what is not in memory where it belongs in `content`, the beginning of the chunk's room. */
  async #fill(unfinished: UnfinishedChunk, content: Buffer): Promise<void> {
    const { base, data } = this.#parts;
    const { chunk, inMemory, spooled } = unfinished;
    const range = { start: 0, end: content.length };
    await base.copy(chunk, unfinished.written().gaps(range), content);
    for (const gap of inMemory.gaps(range)) {
      for (const { start, end } of spooled.within(gap)) await data.read(chunk, start, content.subarray(start, end));
    }
  }

  async #fillRoom(unfinished: UnfinishedChunk): Promise<void> {
    await this.#fill(unfinished, this.#parts.rooms.view(unfinished));
    unfinished.inMemory.add(wholeChunk);
  }

  #spill(unfinished: UnfinishedChunk): Promise<void> {
    return unfinished.busy ?? unfinished.occupy(() => this.#writeOut(unfinished));
  }

  async #writeOut(unfinished: UnfinishedChunk): Promise<void> {
    const { map, data, rooms } = this.#parts;
    const { chunk, inMemory, spooled } = unfinished;
    const isUnclear = map.recordOf(chunk).kind === 'lost' || unfinished.written().list.length > recordRangesMax;
    if (isUnclear && !inMemory.covers(wholeChunk)) await this.#fillRoom(unfinished);
    if (!data.allocated.has(chunk)) await this.#reserve(chunk);
    await data.write(chunk, inMemory.list, rooms.view(unfinished));
    for (const range of inMemory.list) spooled.add(range);
    inMemory.clear();
    unfinished.version++;
    map.noteChange(chunk);
    rooms.close(unfinished);
  }

  async #spillWhole(unfinished: UnfinishedChunk): Promise<void> {
    while (unfinished.room !== undefined) await (unfinished.busy === undefined ? this.#spill(unfinished) : settled(unfinished.busy));
  }

  async #storeWhole(unfinished: UnfinishedChunk): Promise<void> {
    while (this.#unfinished.get(unfinished.chunk) === unfinished) {
      await (unfinished.busy === undefined ? unfinished.occupy(() => this.#store(unfinished)) : settled(unfinished.busy));
    }
  }

  /** Until there is space for one more chunk in the spool. */
  async #reserve(chunk: number): Promise<void> {
    const { data, spooledChunksMax } = this.#parts;
    while (data.allocated.size >= spooledChunksMax) {
      this.#settling ??= this.#settle().finally(() => {
        this.#settling = undefined;
      });
      await this.#settling;
    }
    data.reserve(chunk);
  }

  /** Some chunks go from the spool into the datastore, the least recently written ones. */
  async #settle(): Promise<void> {
    const { data, spooledChunksMax, base } = this.#parts;
    const before = data.allocated.size;
    const inSpool = [...this.#unfinished.values()].filter(({ chunk }) => data.allocated.has(chunk));
    const chosen = inSpool.filter(({ busy }) => busy === undefined).slice(0, Math.ceil(spooledChunksMax / 8));
    const outcomes = await Promise.allSettled(chosen.map((unfinished) => unfinished.occupy(() => this.#store(unfinished))));
    await this.tidy();
    if (data.allocated.size < before || outcomes.some(({ status }) => status === 'fulfilled')) return;
    const failed = outcomes.find((outcome) => outcome.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
    const busy = inSpool.flatMap((unfinished) => unfinished.busy ?? []);
    if (busy.length === 0) throw new FileError('NO_SPACE', `${base.path}: the spool gives no space back`);
    await Promise.race(busy.map(settled));
  }

  /** What `data` has of the chunk is not needed. */
  #isUnused(chunk: number): boolean {
    const unfinished = this.#unfinished.get(chunk);
    return unfinished === undefined || (unfinished.spooled.isEmpty && unfinished.busy === undefined);
  }

  #spooledRecord(chunk: number): SpooledRecord | undefined {
    const unfinished = this.#unfinished.get(chunk);
    if (unfinished === undefined || unfinished.spooled.isEmpty) return undefined;
    const base = this.#parts.map.recordOf(chunk);
    return unfinished.record(base.kind === 'stored' ? base : undefined);
  }

  async #makeDurable(): Promise<void> {
    await Promise.all([this.#parts.data.sync(), this.#storeSync.done()]);
  }
}
