/**
 * The memory in which chunks of staged images are filled and from which they are stored, for all images of one writer together. Some
 * rooms are for chunks that are open, the others for those on their way into the datastore, so that neither waits for the other forever.
 * One is always left for chunks that come from the spool: when the datastore has space again, whatever fills the others can follow.
 */
import type { ContentMemory, Room } from '../../codec/content-memory.js';
import { imageChunkBytes } from './image-record.js';

export interface RoomHolder {
  /** Belongs to this file. */
  room: Room | undefined;
  /** While it is stored or spilled; settles as that does. */
  readonly busy: Promise<void> | undefined;
  /** Gives the room back. */
  spill(): Promise<void>;
}

const openMax = 8;

export class ImageRooms {
  readonly #memory: ContentMemory;
  readonly #openMax: number;
  readonly #workMax: number;
  readonly #roomsMax: number;
  #taken = 0;
  /** Least recently written first. */
  readonly #open = new Set<RoomHolder>();
  #working = 0;
  readonly #waitingForWork: (() => void)[] = [];
  readonly #waitingForRooms: (() => void)[] = [];

  /** Of `memory` nobody else takes more than what `roomsMax` rooms of a chunk leave. At least 2. */
  constructor(memory: ContentMemory, roomsMax = Math.floor(memory.memory.byteLength / imageChunkBytes)) {
    this.#memory = memory;
    this.#roomsMax = Math.max(roomsMax, 2);
    this.#openMax = Math.min(openMax, Math.floor(this.#roomsMax / 2));
    this.#workMax = this.#roomsMax - this.#openMax;
  }

  /** Chunks that are filled in memory now. */
  get open(): number {
    return this.#open.size;
  }

  /** Rooms that somebody has. */
  get taken(): number {
    return this.#taken;
  }

  /** The first bytes of a holder's room. */
  view({ room }: RoomHolder, length = imageChunkBytes): Buffer {
    if (room === undefined) throw new RangeError('the chunk has no room');
    return this.#memory.view(room, length);
  }

  /** It was written just now. */
  touch(holder: RoomHolder): void {
    if (this.#open.delete(holder)) this.#open.add(holder);
  }

  /** False: none is free now. */
  tryOpen(holder: RoomHolder): boolean {
    if (this.#open.size >= this.#openMax || this.#taken >= this.#roomsMax - 1) return false;
    const room = this.#memory.take(imageChunkBytes);
    if (room instanceof Promise) {
      this.#awaitRoom(room);
      return false;
    }
    this.#taken++;
    holder.room = room;
    this.#open.add(holder);
    return true;
  }

  /** Until tryOpen() may succeed. What is stored or spilled already is waited for, else the least recently written chunk is spilled. */
  async waitForOpen(): Promise<void> {
    const busy = [...this.#open].flatMap((holder) => holder.busy ?? []);
    const [oldest] = this.#open;
    if (busy.length > 0) await Promise.race(busy.map(settled));
    else if (oldest !== undefined && this.#open.size >= this.#openMax) await oldest.spill();
    else await this.#roomGiven();
  }

  /** An open chunk was spilled. */
  close(holder: RoomHolder): void {
    this.#open.delete(holder);
    this.#give(holder);
  }

  /** Waits until the holder may store its chunk; it has a room then. */
  async beginWork(holder: RoomHolder): Promise<void> {
    if (this.#working >= this.#workMax) await new Promise<void>((resolve) => this.#waitingForWork.push(resolve));
    else this.#working++;
    this.#open.delete(holder);
    if (holder.room !== undefined) return;
    while (this.#taken >= this.#roomsMax) await this.#roomGiven();
    this.#taken++;
    holder.room = await this.#memory.take(imageChunkBytes);
  }

  /** `keep`: the chunk is open again, however many there are. */
  endWork(holder: RoomHolder, keep: boolean): void {
    if (keep) this.#open.add(holder);
    else this.#give(holder);
    this.#leaveWork();
    this.#wake();
  }

  #leaveWork(): void {
    const next = this.#waitingForWork.shift();
    if (next === undefined) this.#working--;
    else next();
  }

  #give(holder: RoomHolder): void {
    if (holder.room === undefined) return;
    this.#memory.give(holder.room);
    holder.room = undefined;
    this.#taken--;
    this.#wake();
  }

  #roomGiven(): Promise<void> {
    return new Promise((resolve) => this.#waitingForRooms.push(resolve));
  }

  #wake(): void {
    for (const wake of this.#waitingForRooms.splice(0)) wake();
  }

  /** Others have the memory: it is tried again when they give back. */
  #awaitRoom(room: Promise<Room>): void {
    void room.then((given) => {
      this.#memory.give(given);
      this.#wake();
    });
  }
}

/** When it is done, one way or the other. */
export function settled(running: Promise<unknown>): Promise<void> {
  return running.then(
    () => undefined,
    () => undefined,
  );
}
