/**
 * Memory that the main thread, the workers and the search for cuts share: contents lie in it from the time they are read until their
 * chunks are stored. Who takes more than there is waits until others give back.
 */
import type { ScanKernel } from '../format/scan-kernel.js';
import { newScanMemory, scanBytesMax } from './scan-memory.js';
import { Slab, wholeRoomsBytes, type Room } from './slab.js';

export type { Room } from './slab.js';

/** Most bytes of one room. */
export const contentRoomBytesMax = 32 << 20;

export class ContentMemory {
  readonly #slab: Slab;
  /** Searches for cuts; fast for pieces that lie in this memory. */
  readonly kernel: ScanKernel;
  readonly #waiting: { readonly length: number; readonly resolve: (room: Room) => void }[] = [];

  /** `bytes` is rounded down to whole rooms of the largest size: at least one, at most 127. */
  constructor(bytes: number) {
    const bytesMax = Math.min(bytes, scanBytesMax);
    const { buffer, kernel } = newScanMemory(wholeRoomsBytes(bytesMax, contentRoomBytesMax));
    this.#slab = new Slab(bytesMax, contentRoomBytesMax, buffer);
    this.kernel = kernel;
  }

  get memory(): SharedArrayBuffer {
    return this.#slab.memory;
  }

  /** A room of at least `length` bytes, at most contentRoomBytesMax; in the order of asking. */
  take(length: number): Room | Promise<Room> {
    const room = this.#waiting.length === 0 ? this.#slab.allocate(length) : undefined;
    return room ?? new Promise((resolve) => this.#waiting.push({ length, resolve }));
  }

  give(room: Room): void {
    this.#slab.free(room);
    for (let first = this.#waiting[0]; first !== undefined; first = this.#waiting[0]) {
      const next = this.#slab.allocate(first.length);
      if (next === undefined) return;
      this.#waiting.shift();
      first.resolve(next);
    }
  }

  /** The bytes [from, from + length) of a room. */
  view(room: Room, length = room.bytes, from = 0): Buffer {
    return Buffer.from(this.#slab.memory, room.offset + from, length);
  }
}
