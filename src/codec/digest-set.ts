/** A set of chunk digests in 33 bytes for each place of an open table: an image of 1 TiB has 262,144 of them. */
import { digestBytes } from '../format/chunk-index.js';

const placesMin = 1 << 10;
/** Of the places, before the table grows. */
const fillMax = 0.75;

export class DigestSet {
  #digests = Buffer.alloc(0);
  /** 1 where a place is taken. */
  #taken = new Uint8Array(0);
  #size = 0;

  get size(): number {
    return this.#size;
  }

  has(digest: Buffer): boolean {
    return this.#taken.length > 0 && this.#taken[this.#placeOf(digest)] === 1;
  }

  /** False if it was in the set. */
  add(digest: Buffer): boolean {
    if (this.#size >= this.#taken.length * fillMax) this.#grow();
    const place = this.#placeOf(digest);
    if (this.#taken[place] === 1) return false;
    this.#taken[place] = 1;
    digest.copy(this.#digests, place * digestBytes);
    this.#size++;
    return true;
  }

  /** Where the digest is, or the free place where it would be. */
  #placeOf(digest: Buffer): number {
    if (digest.length !== digestBytes) throw new RangeError(`a digest has ${digestBytes} bytes, not ${digest.length}`);
    const last = this.#taken.length - 1;
    let place = digest.readUInt32LE() & last;
    while (this.#taken[place] === 1 && digest.compare(this.#digests, place * digestBytes, (place + 1) * digestBytes) !== 0) {
      place = (place + 1) & last;
    }
    return place;
  }

  #grow(): void {
    const digests = this.#digests;
    const taken = this.#taken;
    const places = Math.max(taken.length * 2, placesMin);
    this.#digests = Buffer.alloc(places * digestBytes);
    this.#taken = new Uint8Array(places);
    this.#size = 0;
    taken.forEach((isTaken, place) => {
      if (isTaken === 1) this.add(digests.subarray(place * digestBytes, (place + 1) * digestBytes));
    });
  }
}
