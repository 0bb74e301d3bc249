/** Walks the metadata of a pxar stream from front to back. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { PxarScanner, ScanEvent } from '../format/pxar/scanner.js';
import type { MaybePromise } from '../vfs/file-system.js';
import { longerWindow, type ChunkStream } from './chunk-stream.js';

/** Others get their turn after so many events. */
const eventsPerTurn = 500;

/**
 * Gives every event to `use` until the scan is finished, and waits for what it promises; throws the scanner's error at the first damage.
 */
export async function scanStream(stream: ChunkStream, scanner: PxarScanner, use: (event: ScanEvent) => MaybePromise<void>): Promise<void> {
  let bytesMin = 1;
  for (;;) {
    const start = scanner.position;
    const window = await stream.window(start, bytesMin);
    const atStreamEnd = start + window.length >= stream.size;
    bytesMin = 1;
    for (let events = 0; events < eventsPerTurn; events++) {
      const offset = scanner.position - start;
      if (offset > window.length) break;
      const event = scanner.next(window.subarray(offset), { atStreamEnd });
      if ('needBytes' in event) {
        bytesMin = longerWindow(event.needBytes, window.length - offset);
        break;
      }
      const used = use(event);
      if (used instanceof Promise) await used;
      if (event.type === 'directoryEnd' && event.depth === 0) return;
      // The window's memory may be used for something else by now.
      if (used instanceof Promise) break;
    }
    await nextTurn();
  }
}
