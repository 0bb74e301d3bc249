/** Memory that chunks lie in while they are sent. It is used again: new memory for each would cost more than reading the chunk does. */

/** Chunks of images, and most others. */
const roomBytes = (4 << 20) + (64 << 10);
const roomsKeptMax = 4;

export class ChunkMemory {
  readonly #rooms: Buffer[] = [];

  /** At least `bytes` long, with anything in it. */
  take(bytes: number): Buffer {
    if (bytes > roomBytes) return Buffer.allocUnsafeSlow(bytes);
    return this.#rooms.pop() ?? Buffer.allocUnsafeSlow(roomBytes);
  }

  /** When nobody reads from it any more. */
  give(room: Buffer): void {
    if (room.length === roomBytes && this.#rooms.length < roomsKeptMax) this.#rooms.push(room);
  }
}

/** Of all sessions. */
export const chunkMemory = new ChunkMemory();
