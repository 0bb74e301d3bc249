/** A number for each of many chunk digests, in 36 bytes for each place of an open table: an image of 1 TiB has 262,144 of them. */
import { randomBytes } from 'node:crypto';
import { digestBytes } from '../format/chunk-index.js';

const placesMin = 1 << 10;
/** Of the places, before the table grows. */
const fillMax = 0.75;
const wordBytes = 4;

export class DigestMap {
  #digests = Buffer.alloc(0);
  /** 0 where a place is free. */
  #values = new Uint32Array(0);
  #size = 0;
  /** Who can choose digests must not be able to choose places: a table with all of them in a row takes minutes. */
  readonly #factors = Array.from(new Uint32Array(new Uint8Array(randomBytes(digestBytes)).buffer), (factor) => factor | 1);

  get size(): number {
    return this.#size;
  }

  /** Undefined if the digest is not there. */
  get(digest: Buffer): number | undefined {
    if (this.#values.length === 0) return undefined;
    const value = this.#values[this.#placeOf(digest)];
    return value === 0 ? undefined : value;
  }

  /** `value`: 1 to 2^32 - 1. False if the digest was there; it has the new value then. */
  set(digest: Buffer, value: number): boolean {
    if (this.#size >= this.#values.length * fillMax) this.#grow();
    const place = this.#placeOf(digest);
    const isNew = this.#values[place] === 0;
    this.#values[place] = value;
    if (!isNew) return false;
    digest.copy(this.#digests, place * digestBytes);
    this.#size++;
    return true;
  }

  /** Where the digest is, or the free place where it would be. */
  #placeOf(digest: Buffer): number {
    if (digest.length !== digestBytes) throw new RangeError(`a digest has ${digestBytes} bytes, not ${digest.length}`);
    const last = this.#values.length - 1;
    let place = this.#hash(digest) & last;
    while (this.#values[place] !== 0 && digest.compare(this.#digests, place * digestBytes, (place + 1) * digestBytes) !== 0) {
      place = (place + 1) & last;
    }
    return place;
  }

  #hash(digest: Buffer): number {
    let hash = 0;
    for (let i = 0; i < this.#factors.length; i++) {
      hash = Math.imul(hash ^ digest.readUInt32LE(i * wordBytes), this.#factors[i] ?? 1);
      hash ^= hash >>> 15;
    }
    return hash;
  }

  #grow(): void {
    const digests = this.#digests;
    const values = this.#values;
    const places = Math.max(values.length * 2, placesMin);
    this.#digests = Buffer.alloc(places * digestBytes);
    this.#values = new Uint32Array(places);
    this.#size = 0;
    values.forEach((value, place) => {
      if (value !== 0) this.set(digests.subarray(place * digestBytes, (place + 1) * digestBytes), value);
    });
  }
}
