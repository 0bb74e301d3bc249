/** Which chunks of an earlier payload hold a range of it. Format: pxar, section 7.3 */
import type { DynamicIndex } from '../format/dynamic-index.js';
import type { ReusedChunk } from '../store/backup-session.js';

export interface ByteRange {
  readonly start: number;
  /** More than `start`, not beyond the end of the stream. */
  readonly end: number;
}

/** Chunks [first, last] of the index, and what of them is not of the range. */
export interface Cover {
  readonly first: number;
  readonly last: number;
  /** Bytes of the first chunk before the range. */
  readonly padStart: number;
  /** Bytes of the last chunk after it. */
  readonly padEnd: number;
}

/** A chunk that begins where the range ends is not taken, though the official client takes it: it would be nothing but padding. */
export function coverOf(index: DynamicIndex, { start, end }: ByteRange): Cover {
  const first = index.chunkAt(start);
  const last = index.chunkAt(end - 1);
  return { first, last, padStart: start - index.startOf(first), padEnd: index.endOf(last) - end };
}

/** Chunks [from, to) of the index, in groups of at most `groupMax`. */
export function* chunkGroups(index: DynamicIndex, from: number, to: number, groupMax: number): Generator<ReusedChunk[]> {
  for (let at = from; at < to; at += groupMax) {
    const group: ReusedChunk[] = [];
    for (let n = at; n < Math.min(to, at + groupMax); n += 1) {
      group.push({ digest: index.digestAt(n), length: index.endOf(n) - index.startOf(n) });
    }
    yield group;
  }
}
