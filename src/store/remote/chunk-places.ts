/**
 * Which index to ask for a chunk by, where only its digest is known: staged images have digests of chunks and nothing else. The indexes that
 * were loaded lately are remembered, within a bound.
 */
import { LRUCache } from 'lru-cache';
import { DigestSet } from '../../codec/digest-set.js';
import type { ChunkIndex } from '../../format/chunk-index.js';
import { snapshotPath } from '../../format/snapshot-name.js';
import type { IndexPlace } from './snapshot-reader.js';

const bytesMax = 64 << 20;
/** Of the index and of its table, which is a third to three quarters full. */
const bytesPerChunk = 128;
const bytesPerIndex = 4096;

interface Known {
  readonly place: IndexPlace;
  readonly index: ChunkIndex;
  /** Made when the first digest is looked for. */
  digests: DigestSet | undefined;
}

export class ChunkPlaces {
  readonly #known = new LRUCache<string, Known>({ maxSize: bytesMax, sizeCalculation: ({ index }) => bytesPerIndex + index.count * bytesPerChunk });

  add(place: IndexPlace, index: ChunkIndex): void {
    const key = `${snapshotPath(place.snapshot)}/${place.fileName}`;
    if (this.#known.get(key)?.place.csum.equals(place.csum) !== true) this.#known.set(key, { place, index, digests: undefined });
  }

  /** Most recently used first. */
  *placesOf(digest: Buffer): Generator<IndexPlace> {
    for (const known of [...this.#known.values()]) {
      known.digests ??= digestsOf(known.index);
      if (known.digests.has(digest)) yield known.place;
    }
  }

  remove({ snapshot, fileName }: IndexPlace): void {
    this.#known.delete(`${snapshotPath(snapshot)}/${fileName}`);
  }
}

function digestsOf(index: ChunkIndex): DigestSet {
  const digests = new DigestSet();
  for (let n = 0; n < index.count; n++) digests.add(index.digestAt(n));
  return digests;
}
