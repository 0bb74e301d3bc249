/**
 * Memory for encoded chunks, shared with worker threads and used again. New memory for each chunk costs more than to encrypt it: in pages, and in
 * the garbage collections that large buffers bring about, where each thread that had them counts them.
 */

/** Chunks of images, and most others. */
const roomBytes = (4 << 20) + (64 << 10);
/** What is much shorter would waste memory. */
const shortBytesMax = roomBytes / 4;

export class KeptRooms {
  readonly #rooms: SharedArrayBuffer[] = [];
  #made = 0;

  /** `roomsMax`: how many there may be; they stay. Who wants more gets memory that goes. */
  constructor(private readonly roomsMax: number) {}

  /** `bytes` long, with anything in it. To be given back: a room that is not is lost. */
  take(bytes: number): Uint8Array {
    if (bytes <= roomBytes && bytes > shortBytesMax) {
      const room = this.#rooms.pop() ?? this.#new();
      if (room !== undefined) return new Uint8Array(room, 0, bytes);
    }
    return new Uint8Array(Buffer.allocUnsafeSlow(bytes).buffer);
  }

  /** When nobody uses it any more. */
  give({ buffer }: Uint8Array): void {
    if (buffer instanceof SharedArrayBuffer) this.#rooms.push(buffer);
  }

  #new(): SharedArrayBuffer | undefined {
    if (this.#made >= this.roomsMax) return undefined;
    this.#made++;
    return new SharedArrayBuffer(roomBytes);
  }
}
