/** Gives the calling thread a lower priority than the others of the process. Linux counts priorities per thread. */
import { readlinkSync } from 'node:fs';
import { setPriority } from 'node:os';
import { basename } from 'node:path';

/** Best effort: without /proc the thread keeps its priority. */
export function lowerThreadPriority(nice: number): void {
  try {
    setPriority(Number(basename(readlinkSync('/proc/thread-self'))), nice);
  } catch {
    // Priority is a matter of speed only.
  }
}
