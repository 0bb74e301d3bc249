/**
 * One block of memory that main thread and workers share, handed out in rooms of a power of two from 64 KiB on
 * (the buddy system), so that chunks of any size fit without copies and without garbage.
 */
import { chunkBytesMax } from '../format/blob.js';

const roomBytesMin = 1 << 16;

export interface Room {
  readonly offset: number;
  readonly bytes: number;
}

export function roomBytes(length: number): number {
  let bytes = roomBytesMin;
  while (bytes < length) bytes *= 2;
  return bytes;
}

/** Bytes of whole rooms of the largest size: so many as fit, at least one. */
export function wholeRoomsBytes(bytes: number, roomBytesMax: number): number {
  return Math.max(Math.floor(bytes / roomBytesMax), 1) * roomBytesMax;
}

export class Slab {
  readonly memory: SharedArrayBuffer;
  readonly bytes: number;
  readonly #roomBytesMax: number;
  /** Offsets of free rooms by their size. The last one is taken first: it was used last, so that its pages are there and in caches. */
  readonly #free = new Map<number, number[]>();
  #bytesFree: number;

  /**
   * `bytes` is rounded down to whole rooms of the largest size, at least one of them. Pages are taken from the system when first used.
   * What `memory` has beyond them is not handed out.
   */
  constructor(bytes: number, roomBytesMax = chunkBytesMax, memory = new SharedArrayBuffer(wholeRoomsBytes(bytes, roomBytesMax))) {
    this.#roomBytesMax = roomBytesMax;
    this.bytes = wholeRoomsBytes(bytes, roomBytesMax);
    this.memory = memory;
    this.#bytesFree = this.bytes;
    for (let size = roomBytesMin; size <= roomBytesMax; size *= 2) this.#free.set(size, []);
    for (let offset = this.bytes - roomBytesMax; offset >= 0; offset -= roomBytesMax) this.#freeOf(roomBytesMax).push(offset);
  }

  get bytesFree(): number {
    return this.#bytesFree;
  }

  /** A room for `length` bytes, or undefined if there is none in one piece. */
  allocate(length: number): Room | undefined {
    const bytes = roomBytes(length);
    let size = bytes;
    while (size <= this.#roomBytesMax && this.#freeOf(size).length === 0) size *= 2;
    if (size > this.#roomBytesMax) return undefined;
    const offset = this.#freeOf(size).pop() ?? 0;
    while (size > bytes) {
      size /= 2;
      this.#freeOf(size).push(offset + size);
    }
    this.#bytesFree -= bytes;
    return { offset, bytes };
  }

  free(room: Room): void {
    let { offset, bytes } = room;
    this.#bytesFree += bytes;
    while (bytes < this.#roomBytesMax) {
      const inPair = offset % (bytes * 2);
      const buddy = inPair === 0 ? offset + bytes : offset - bytes;
      if (!remove(this.#freeOf(bytes), buddy)) break;
      offset = Math.min(offset, buddy);
      bytes *= 2;
    }
    this.#freeOf(bytes).push(offset);
  }

  view(room: Room, length: number): Buffer {
    return Buffer.from(this.memory, room.offset, length);
  }

  #freeOf(size: number): number[] {
    const offsets = this.#free.get(size);
    if (offsets === undefined) throw new Error(`no room has ${size} bytes`);
    return offsets;
  }
}

function remove(offsets: number[], offset: number): boolean {
  const at = offsets.lastIndexOf(offset);
  if (at === -1) return false;
  offsets.splice(at, 1);
  return true;
}
