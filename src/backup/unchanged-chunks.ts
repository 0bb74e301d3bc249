/** The chunks of an image that no changed block touches, taken from the previous index. Format: datastore, section 10.3. */
import type { FixedIndex } from '../format/fixed-index.js';
import type { IndexTarget, ReusedChunk } from '../store/backup-session.js';
import { clipRanges, type ByteRange, type ChangedBlocks } from './changed-list.js';
import type { ImageChunks } from './image-chunks.js';

const batchChunks = 1024;

export interface ChangedImage {
  readonly blocks: ChangedBlocks;
  /** Of the image as it was before they changed: as large, in chunks of 4 MiB. */
  readonly previousIndex: FixedIndex;
}

/** Gives the ranges of whole chunks that have to be read, in order: the changed ones, and those that are not in the store any more. */
export async function reuseUnchanged(
  chunks: ImageChunks,
  target: IndexTarget,
  { blocks, previousIndex: index }: ChangedImage,
  warn: (line: string) => void,
): Promise<ByteRange[]> {
  const read = new RangeList(index);
  let missing = 0;
  let next = 0;
  for (const range of clipRanges(blocks.ranges, index.size)) {
    const first = index.chunkAt(range.start);
    const end = index.chunkAt(range.end - 1) + 1;
    missing += await reuseRange(chunks, target, index, read, next, first);
    read.add(first, end);
    next = end;
  }
  missing += await reuseRange(chunks, target, index, read, next, index.count);
  if (missing > 0) warn(`${missing} chunks of the previous backup are missing or damaged and are read again; verify its snapshots`);
  return read.ranges;
}

/** Chunks [first, end); those that are missing are added to `read`, their number is given. */
async function reuseRange(chunks: ImageChunks, target: IndexTarget, index: FixedIndex, read: RangeList, first: number, end: number): Promise<number> {
  let missing = 0;
  for (let at = first; at < end; at += batchChunks) {
    chunks.check();
    missing += await reuseBatch(chunks, target, index, read, at, Math.min(at + batchChunks, end));
  }
  return missing;
}

async function reuseBatch(chunks: ImageChunks, target: IndexTarget, index: FixedIndex, read: RangeList, first: number, end: number): Promise<number> {
  const reused: ReusedChunk[] = [];
  /** Position in `reused` of each chunk: what follows itself, as zeros do, is asked for once. */
  const positions: number[] = [];
  for (let chunk = first; chunk < end; chunk++) {
    const digest = index.digestAt(chunk);
    const length = index.endOf(chunk) - index.startOf(chunk);
    const last = reused.at(-1);
    if (last?.length !== length || !last.digest.equals(digest)) reused.push({ digest, length });
    positions.push(reused.length - 1);
  }
  const lost = new Set(await target.reuseChunks(reused));
  let missing = 0;
  positions.forEach((position, i) => {
    const chunk = first + i;
    const { digest, length } = reused[position] as ReusedChunk;
    if (lost.has(position)) {
      read.add(chunk, chunk + 1);
      missing++;
    } else {
      chunks.reuse(chunk, digest, length);
    }
  });
  return missing;
}

/** Ranges of chunks, added in order, as ranges of bytes; neighbours become one. */
class RangeList {
  readonly ranges: { start: number; end: number }[] = [];
  readonly #index: FixedIndex;

  constructor(index: FixedIndex) {
    this.#index = index;
  }

  add(first: number, end: number): void {
    if (end <= first) return;
    const start = this.#index.startOf(first);
    const last = this.ranges.at(-1);
    if (last?.end === start) last.end = this.#index.endOf(end - 1);
    else this.ranges.push({ start, end: this.#index.endOf(end - 1) });
  }
}
