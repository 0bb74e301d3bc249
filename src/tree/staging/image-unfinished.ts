/** A chunk of a staged image of which some bytes are newer than what the datastore has. */
import type { Room } from '../../codec/content-memory.js';
import { ByteRanges, type ByteRange } from './image-ranges.js';
import { imageChunkBytes, type ChunkRecord, type StoredContent } from './image-record.js';
import type { RoomHolder } from './image-rooms.js';

export const wholeChunk: ByteRange = { start: 0, end: imageChunkBytes };

export class UnfinishedChunk implements RoomHolder {
  readonly chunk: number;
  readonly spill: () => Promise<void>;
  room: Room | undefined;
  busy: Promise<void> | undefined;
  /** Written bytes that lie in the room, and before those the ones that lie in the file `data`. */
  readonly inMemory = new ByteRanges();
  readonly spooled: ByteRanges;
  /** Changes when bytes move from where a reader may be looking for them. */
  version = 0;

  constructor(chunk: number, spooled: readonly ByteRange[], spill: (chunk: UnfinishedChunk) => Promise<void>) {
    this.chunk = chunk;
    this.spooled = new ByteRanges(spooled);
    this.spill = () => spill(this);
  }

  get isEmpty(): boolean {
    return this.inMemory.isEmpty && this.spooled.isEmpty;
  }

  /** Every byte was written. */
  get isWhole(): boolean {
    return this.inMemory.covers(wholeChunk) || (!this.spooled.isEmpty && this.written().covers(wholeChunk));
  }

  /** Runs while nobody else may change the chunk. */
  occupy(work: () => Promise<void>): Promise<void> {
    const running = work().finally(() => {
      this.busy = undefined;
    });
    this.busy = running;
    // Whoever is to know of a failure waits for it.
    running.catch(() => undefined);
    return running;
  }

  /** All written bytes. */
  written(): ByteRanges {
    return new ByteRanges([...this.inMemory.list, ...this.spooled.list]);
  }

  record(base: StoredContent | undefined): Extract<ChunkRecord, { kind: 'spooled' }> {
    return { kind: 'spooled', base, ranges: this.spooled.list };
  }
}
