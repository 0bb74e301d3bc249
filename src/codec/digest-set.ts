/** A set of chunk digests. */
import { DigestMap } from './digest-map.js';

export class DigestSet {
  readonly #map = new DigestMap();

  get size(): number {
    return this.#map.size;
  }

  has(digest: Buffer): boolean {
    return this.#map.get(digest) !== undefined;
  }

  /** False if it was in the set. */
  add(digest: Buffer): boolean {
    return this.#map.set(digest, 1);
  }
}
