/** Back-pressure of streams that are written piece by piece. */
import type { Writable } from 'node:stream';

/** Resolves when `stream` takes more, or takes nothing any more. Leaves no listeners behind. */
export function drained(stream: Writable): Promise<void> {
  if (stream.destroyed) return Promise.resolve();
  return new Promise((resolve) => {
    const end = (): void => {
      stream.off('drain', end).off('close', end);
      resolve();
    };
    stream.on('drain', end).on('close', end);
  });
}
