/** The content of one file of an archive, piece by piece, without a turn of the event loop for what is at hand. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { ChunkStream } from '../archive/chunk-stream.js';
import type { PxarContentRange } from '../archive/pxar-tree.js';
import { codeOf } from '../errors.js';
import type { MaybePromise } from '../vfs/file-system.js';

/** The first byte from `offset` on that is not in a chunk of zeros; `end` if there is none before it. */
export function dataFrom(stream: ChunkStream, offset: number, end: number): number {
  try {
    return stream.seek(offset, 'data', end);
  } catch (error) {
    if (codeOf(error) !== 'NO_SUCH_ADDRESS') throw error;
    return end;
  }
}

/**
 * Gives each piece that is not in chunks of zeros to `use`, with its position in the file; a piece is a view that is valid in that turn
 * only. Rejects, or throws, with the error of the first chunk that can't be had.
 */
export function eachPiece(range: PxarContentRange, use: (piece: Buffer, position: number) => void): MaybePromise<void> {
  const { stream, offset, size } = range;
  const end = offset + size;
  const at = dataFrom(stream, offset, end);
  if (at >= end) return undefined;
  const window = stream.window(at, 1);
  if (window instanceof Promise || at + window.length < end) return piecesFrom(range, at, window, use);
  use(window.subarray(0, end - at), at - offset);
  return undefined;
}

/** Others, such as those who decode what comes next, get a turn after each piece. */
async function piecesFrom(
  { stream, offset, size }: PxarContentRange,
  start: number,
  first: MaybePromise<Buffer>,
  use: (piece: Buffer, position: number) => void,
): Promise<void> {
  const end = offset + size;
  let window = first;
  for (let at = start; ; ) {
    const bytes: Buffer = window instanceof Promise ? await window : window;
    const piece = bytes.subarray(0, end - at);
    use(piece, at - offset);
    const after = at + piece.length;
    at = after < end ? dataFrom(stream, after, end) : end;
    if (at >= end) return;
    await nextTurn();
    window = stream.window(at, 1);
  }
}
