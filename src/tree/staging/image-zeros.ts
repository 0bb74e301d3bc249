/** Making ranges of a staged image zeros, without writing more than the ends of them. */
import { zeros } from '../../archive/zero-chunk.js';
import type { ImageParts } from './image-parts.js';
import { imageChunkBytes } from './image-record.js';

type Parts = Pick<ImageParts, 'map' | 'chunks' | 'origin'>;

/** Bytes [start, end), whole chunks become holes; the size stays. `end` is not behind it. */
export async function zeroRange(parts: Parts, start: number, end: number): Promise<void> {
  const { map, chunks } = parts;
  const { size } = map;
  for (let at = start; at < end; ) {
    const chunk = Math.floor(at / imageChunkBytes);
    const chunkStart = chunk * imageChunkBytes;
    const stop = Math.min(end, chunkStart + imageChunkBytes);
    if (!holds(parts, chunk)) {
      at = Math.max(stop, Math.min(nextHeld(parts, chunk + 1) * imageChunkBytes, end));
      continue;
    }
    if (at === chunkStart && stop === Math.min(chunkStart + imageChunkBytes, size)) await makeHole(parts, chunk);
    else await chunks.write({ chunk, start: at - chunkStart, bytes: zeros.subarray(0, stop - at), keepSize: true });
    at = stop;
  }
}

/** A process that ended while it made the image smaller may have left more of the last chunk than there should be. */
export async function zeroTail({ map, chunks }: Pick<Parts, 'map' | 'chunks'>): Promise<void> {
  const start = map.size % imageChunkBytes;
  if (start === 0) return;
  const chunk = map.count - 1;
  const record = map.recordOf(chunk);
  const isLonger = record.kind === 'stored' && record.length > start;
  const isWritten = chunks.unfinished.get(chunk)?.spooled.list.some(({ end }) => end > start) === true;
  if (isLonger || isWritten) await chunks.write({ chunk, start, bytes: zeros.subarray(0, imageChunkBytes - start), keepSize: true });
}

async function makeHole({ map, chunks, origin }: Parts, chunk: number): Promise<void> {
  await chunks.drop(chunk);
  map.setHole(chunk);
  origin.clear(chunk);
}

function holds({ map, chunks }: Parts, chunk: number): boolean {
  return map.recordOf(chunk).kind !== 'hole' || chunks.unfinished.has(chunk);
}

function nextHeld({ map, chunks }: Parts, from: number): number {
  const found = map.nextUsed(from, map.count);
  return [...chunks.unfinished.keys()].reduce((first, chunk) => (chunk >= from && chunk < first ? chunk : first), found);
}
