/**
 * Contents of chunks in a slab, of which the least recently used go first. What is evicted goes into a limbo and is used again in a later turn of the
 * event loop: a view is valid until the current turn ends.
 */
import { LRUCache } from 'lru-cache';
import { Slab, roomBytes, type Room } from './slab.js';

interface Slot {
  readonly room: Room;
  readonly view: Buffer;
}

export class DecodedChunks {
  readonly #slab: Slab;
  readonly #slots: LRUCache<string, Slot>;
  readonly #freed: () => void;
  #limbo: Room[] = [];

  /** `freed` is called when there may be room for what did not fit. */
  constructor(bytesMax: number, freed: () => void) {
    this.#slab = new Slab(bytesMax);
    this.#freed = freed;
    this.#slots = new LRUCache({
      maxSize: this.#slab.bytes,
      sizeCalculation: ({ room }) => room.bytes,
      dispose: ({ room }) => {
        this.release(room);
      },
    });
  }

  get memory(): SharedArrayBuffer {
    return this.#slab.memory;
  }

  get bytes(): number {
    return this.#slab.bytes;
  }

  get bytesUsed(): number {
    return this.#slots.calculatedSize;
  }

  get count(): number {
    return this.#slots.size;
  }

  get(key: string): Buffer | undefined {
    return this.#slots.get(key)?.view;
  }

  has(key: string): boolean {
    return this.#slots.has(key);
  }

  /** A room to decode into. Undefined: others are evicted for it, and `freed` tells when that is done. */
  allocate(length: number): Room | undefined {
    const room = this.#slab.allocate(length);
    if (room === undefined) this.#evict(roomBytes(length));
    return room;
  }

  /** The room has the chunk's content now. */
  fill(key: string, room: Room, length: number): Buffer {
    const view = this.#slab.view(room, length);
    this.#slots.set(key, { room, view });
    return view;
  }

  release(room: Room): void {
    if (this.#limbo.push(room) > 1) return;
    setImmediate(() => {
      const rooms = this.#limbo;
      this.#limbo = [];
      for (const each of rooms) this.#slab.free(each);
      this.#freed();
    });
  }

  /** Evicts until so much is free, or will be in the next turn; at most a quarter of all. */
  keepFree(bytes: number): void {
    const inLimbo = this.#limbo.reduce((sum, room) => sum + room.bytes, 0);
    this.#evict(Math.min(this.#slab.bytes / 4, bytes) - this.#slab.bytesFree - inLimbo);
  }

  #evict(bytes: number): void {
    let freed = 0;
    while (freed < bytes) {
      const slot = this.#slots.pop();
      if (slot === undefined) return;
      freed += slot.room.bytes;
    }
  }
}
