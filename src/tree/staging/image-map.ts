/**
 * What each chunk of a staged image holds apart from what is not finished, in memory and in the file `map`. The file is behind: write()
 * brings it up to date. Records in it never lead to less than they did before, whenever the machine stops.
 */
import { constants } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { digestBytes } from '../../format/chunk-index.js';
import { nextData } from '../../os/file-extents.js';
import { SharedSync } from '../../os/shared-sync.js';
import {
  decodeHeader,
  decodeRecord,
  encodeHeader,
  encodeRecord,
  headerBytes,
  imageChunkBytes,
  recordBytes,
  type ChunkRecord,
  type StoredContent,
} from './image-record.js';
import { Turns } from './image-turns.js';

const pageChunks = 1024;
const runChunksMax = 8192;
const holeKind = 0;
const storedKind = 1;
const lostKind = 2;

/** Chunks that follow each other; without one they are holes that never were anything else. */
interface Page {
  readonly kinds: Uint8Array;
  /** Whether the record in the file is none of a hole. */
  readonly recorded: Uint8Array;
  readonly lengths: Uint32Array;
  readonly digests: Buffer;
}

export type SpooledRecord = Extract<ChunkRecord, { kind: 'spooled' }>;

export interface MapWriting {
  /** Undefined: as the map itself has it. */
  readonly unfinished: (chunk: number) => SpooledRecord | undefined;
  /** Makes durable what new records refer to; before they replace others. */
  readonly makeDurable: () => Promise<void>;
}

export class ImageMap {
  readonly #path: string;
  readonly #handle: FileHandle;
  readonly #pages = new Map<number, Page>();
  readonly #unwritten = new Set<number>();
  readonly #turns = new Turns();
  readonly #sync = new SharedSync(() => this.#handle.datasync());
  #size: number;
  /** Chunks that are no holes. */
  #held = 0;
  #sequence: number;
  #isHeaderWritten: boolean;

  private constructor(path: string, handle: FileHandle, { size, sequence }: { size: number; sequence: number }, isNew: boolean) {
    this.#path = path;
    this.#handle = handle;
    this.#size = size;
    this.#sequence = sequence;
    this.#isHeaderWritten = !isNew;
  }

  /** Made if it is not there. `spooled` gets the chunks that are in the spool. BAD_STRUCTURE, UNSUPPORTED_VERSION. */
  static async open(path: string, spooled: (chunk: number, record: SpooledRecord) => void): Promise<ImageMap> {
    const handle = await open(path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600);
    try {
      const header = Buffer.alloc(headerBytes);
      const { bytesRead } = await handle.read(header, 0, headerBytes, 0);
      // A new one may have been killed before anything was written.
      if (bytesRead === 0) return new ImageMap(path, handle, { size: 0, sequence: 0 }, true);
      const map = new ImageMap(path, handle, decodeHeader(header.subarray(0, bytesRead), path), false);
      await handle.truncate(headerBytes + map.count * recordBytes);
      await map.#load(spooled);
      return map;
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  get path(): string {
    return this.#path;
  }

  /** Bytes of the image. */
  get size(): number {
    return this.#size;
  }

  /** Chunks of the image. */
  get count(): number {
    return Math.ceil(this.#size / imageChunkBytes);
  }

  /** How many chunks are no holes. */
  get held(): number {
    return this.#held;
  }

  /** To a larger one. */
  grow(size: number): void {
    if (size <= this.#size) return;
    this.#size = size;
    this.#isHeaderWritten = false;
  }

  /** What the chunk holds below what is not finished. */
  recordOf(chunk: number): Exclude<ChunkRecord, { kind: 'spooled' }> {
    const page = this.#pages.get(Math.floor(chunk / pageChunks));
    const i = chunk % pageChunks;
    const kind = page?.kinds[i] ?? holeKind;
    if (page === undefined || kind === holeKind) return { kind: 'hole' };
    if (kind === lostKind) return { kind: 'lost' };
    return { kind: 'stored', digest: page.digests.subarray(i * digestBytes, (i + 1) * digestBytes), length: page.lengths[i] ?? 0 };
  }

  setHole(chunk: number): void {
    const page = this.#pages.get(Math.floor(chunk / pageChunks));
    if (page === undefined) return;
    this.#setKind(page, chunk, holeKind);
    this.#unwritten.add(chunk);
  }

  setStored(chunk: number, { digest, length }: StoredContent): void {
    const page = this.#pageOf(chunk);
    const i = chunk % pageChunks;
    this.#setKind(page, chunk, storedKind);
    page.lengths[i] = length;
    digest.copy(page.digests, i * digestBytes);
    this.#unwritten.add(chunk);
  }

  /** What of it lies in the spool has changed. */
  noteChange(chunk: number): void {
    this.#pageOf(chunk);
    this.#unwritten.add(chunk);
  }

  /** The file knows how it is now. */
  isWritten(chunk: number): boolean {
    return !this.#unwritten.has(chunk);
  }

  /** The first chunk from `from` on that is not sure to be a hole; `end` if there is none before. */
  nextUsed(from: number, end: number): number {
    for (let chunk = from; chunk < end; ) {
      const number = Math.floor(chunk / pageChunks);
      const page = this.#pages.get(number);
      const pageEnd = Math.min((number + 1) * pageChunks, end);
      if (page === undefined) chunk = pageEnd;
      for (; chunk < pageEnd; chunk++) if (page?.kinds[chunk % pageChunks] !== holeKind) return chunk;
    }
    return end;
  }

  /** Chunks that hold something, in order. */
  *used(from: number, end: number): Generator<number> {
    for (let chunk = this.nextUsed(from, end); chunk < end; chunk = this.nextUsed(chunk + 1, end)) yield chunk;
  }

  /** Brings the file up to date; not yet for sure on disk. */
  write(writing: MapWriting): Promise<void> {
    return this.#turns.run(async () => {
      const { count } = this;
      const isKnown = (chunk: number): boolean => chunk < count && this.recordOf(chunk).kind !== 'lost';
      const chunks = [...this.#unwritten].filter(isKnown).sort((a, b) => a - b);
      this.#unwritten.clear();
      try {
        await this.#writeRecords(chunks, writing);
      } catch (error) {
        for (const chunk of chunks) this.#unwritten.add(chunk);
        throw error;
      }
      await this.#writeHeader();
    });
  }

  /** To a smaller size. The records behind it go for good; nothing of the chunks behind it may be unfinished. */
  shrink(size: number): Promise<void> {
    this.#size = size;
    const { count } = this;
    for (const chunk of [...this.#unwritten]) if (chunk >= count) this.#unwritten.delete(chunk);
    for (const [number, page] of [...this.#pages]) {
      const first = number * pageChunks;
      for (let chunk = Math.max(first, count); chunk < first + pageChunks; chunk++) this.#setKind(page, chunk, holeKind);
      if (first >= count) this.#pages.delete(number);
    }
    this.#isHeaderWritten = false;
    return this.#turns.run(async () => {
      await this.#writeHeader();
      await this.#sync.done();
      // It may have grown again meanwhile, by what is not written yet.
      await this.#handle.truncate(headerBytes + count * recordBytes);
      this.#sync.note();
      for (const [number, page] of this.#pages) {
        const first = number * pageChunks;
        if (first + pageChunks > count) page.recorded.fill(0, Math.max(count - first, 0));
      }
    });
  }

  /** What was written before survives a power cut. */
  sync(): Promise<void> {
    return this.#sync.done();
  }

  close(): Promise<void> {
    return this.#turns.run(() => this.#handle.close());
  }

  async #writeHeader(): Promise<void> {
    if (this.#isHeaderWritten) return;
    this.#isHeaderWritten = true;
    try {
      this.#sequence++;
      const { bytes, offset } = encodeHeader({ sequence: this.#sequence, size: this.#size });
      await this.#writeAll(bytes, offset);
    } catch (error) {
      this.#isHeaderWritten = false;
      throw error;
    }
  }

  async #writeRecords(chunks: readonly number[], { unfinished, makeDurable }: MapWriting): Promise<void> {
    const runs = [...this.#encodeRuns(chunks, unfinished)];
    if (chunks.some((chunk) => this.#pageOf(chunk).recorded[chunk % pageChunks] !== 0)) await makeDurable();
    for (const { first, bytes } of runs) {
      for (let at = 0; at < bytes.length; at += recordBytes) {
        const chunk = first + at / recordBytes;
        this.#pageOf(chunk).recorded[chunk % pageChunks] = bytes[at] === 0 ? 0 : 1;
      }
      await this.#writeAll(bytes, headerBytes + first * recordBytes);
    }
  }

  /** Records as they are now, those of neighbours together. */
  *#encodeRuns(chunks: readonly number[], unfinished: MapWriting['unfinished']): Generator<{ first: number; bytes: Buffer }> {
    for (let at = 0; at < chunks.length; ) {
      const first = chunks[at] ?? 0;
      let count = 1;
      while (count < runChunksMax && chunks[at + count] === first + count) count++;
      const bytes = Buffer.alloc(count * recordBytes);
      for (let i = 0; i < count; i++) {
        const record = unfinished(first + i) ?? this.recordOf(first + i);
        if (record.kind !== 'lost') encodeRecord(record, first + i, bytes.subarray(i * recordBytes, (i + 1) * recordBytes));
      }
      yield { first, bytes };
      at += count;
    }
  }

  async #load(spooled: (chunk: number, record: SpooledRecord) => void): Promise<void> {
    const bytes = Buffer.alloc(pageChunks * recordBytes);
    for (let at = nextData(this.#handle.fd, headerBytes); at !== undefined; ) {
      const number = Math.floor((at - headerBytes) / bytes.length);
      const { bytesRead } = await this.#handle.read(bytes, 0, bytes.length, headerBytes + number * bytes.length);
      for (let i = 0; (i + 1) * recordBytes <= bytesRead; i++) {
        const chunk = number * pageChunks + i;
        const record = decodeRecord(bytes.subarray(i * recordBytes, (i + 1) * recordBytes), chunk);
        this.#take(chunk, record);
        if (record.kind === 'spooled') spooled(chunk, record);
      }
      at = bytesRead < bytes.length ? undefined : nextData(this.#handle.fd, headerBytes + (number + 1) * bytes.length);
    }
  }

  #take(chunk: number, record: ChunkRecord): void {
    if (record.kind === 'hole') return;
    const page = this.#pageOf(chunk);
    const content = record.kind === 'spooled' ? record.base : record;
    if (content !== undefined && 'digest' in content) this.setStored(chunk, content);
    if (record.kind === 'lost') this.#setKind(page, chunk, lostKind);
    page.recorded[chunk % pageChunks] = 1;
    this.#unwritten.delete(chunk);
  }

  #setKind(page: Page, chunk: number, kind: number): void {
    const i = chunk % pageChunks;
    this.#held += Number(kind !== holeKind) - Number(page.kinds[i] !== holeKind);
    page.kinds[i] = kind;
  }

  #pageOf(chunk: number): Page {
    const number = Math.floor(chunk / pageChunks);
    let page = this.#pages.get(number);
    if (page === undefined) {
      page = {
        kinds: new Uint8Array(pageChunks),
        recorded: new Uint8Array(pageChunks),
        lengths: new Uint32Array(pageChunks),
        digests: Buffer.alloc(pageChunks * digestBytes),
      };
      this.#pages.set(number, page);
    }
    return page;
  }

  async #writeAll(bytes: Buffer, offset: number): Promise<void> {
    for (let at = 0; at < bytes.length; ) {
      const { bytesWritten } = await this.#handle.write(bytes, at, bytes.length - at, offset + at);
      at += bytesWritten;
    }
    this.#sync.note();
  }
}
