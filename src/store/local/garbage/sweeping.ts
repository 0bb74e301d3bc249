/** The second phase: chunks that were not touched for long are removed. Format: datastore, section 7.1 (6). */
import { lstatSync, readdirSync, renameSync, unlinkSync, type BigIntStats } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { codeOf } from '../../../errors.js';
import { replacementTempName } from '../../../format/temp-name.js';
import { renameNew } from '../atomic-file.js';
import type { Progress } from './progress.js';

const directoryName = /^[0-9a-f]{4}$/;
/** Chunks, and those that verification found damaged. Temporary and other files stay. */
const chunkName = /^[0-9a-fA-F]{64}(\.[0-9]\.bad)?$/;

export interface SweepCounters {
  diskBytes: number;
  diskChunks: number;
  removedBytes: number;
  removedChunks: number;
  pendingBytes: number;
  pendingChunks: number;
  removedBad: number;
  stillBad: number;
}

/** Seconds since 1970. */
export interface SweepTimes {
  /** What was last touched before is removed. */
  readonly cutoff: number;
  /** What was last touched before, when the collection began, is named by nothing. */
  readonly began: number;
}

export class Sweeping {
  readonly counters: SweepCounters = {
    diskBytes: 0,
    diskChunks: 0,
    removedBytes: 0,
    removedChunks: 0,
    pendingBytes: 0,
    pendingChunks: 0,
    removedBad: 0,
    stillBad: 0,
  };
  readonly #times: SweepTimes;
  readonly #progress: Progress;

  constructor(times: SweepTimes, progress: Progress) {
    this.#times = times;
    this.#progress = progress;
  }

  run(location: string): void {
    const chunks = join(location, '.chunks');
    const directories = readdirSync(chunks).filter((name) => directoryName.test(name)).sort();
    for (const [n, directory] of directories.entries()) {
      for (const name of namesIn(join(chunks, directory))) {
        this.#progress.check();
        if (chunkName.test(name)) this.#sweep(join(chunks, directory, name), name.endsWith('.bad'));
      }
      this.#progress.tell('swept', n + 1, directories.length, 'directories');
    }
  }

  #sweep(path: string, isBad: boolean): void {
    const facts = statIfAny(path);
    if (facts?.isFile() !== true) return;
    const bytes = Number(facts.size);
    const accessed = accessSeconds(facts);
    if (accessed < this.#times.cutoff) {
      if (!this.#remove(path)) return;
      this.counters[isBad ? 'removedBad' : 'removedChunks']++;
      this.counters.removedBytes += bytes;
    } else if (accessed < this.#times.began) {
      this.counters[isBad ? 'stillBad' : 'pendingChunks']++;
      if (!isBad) this.counters.pendingBytes += bytes;
    } else {
      if (!isBad) this.counters.diskChunks++;
      this.counters.diskBytes += bytes;
    }
  }

  /**
   * A session of this process may find the chunk and touch it, or write it anew, since it was looked at: who comes after it is out of the way finds none
   * and writes it, what came before shows in its access time. False: it stays, or is gone already.
   */
  #remove(path: string): boolean {
    const aside = join(dirname(path), replacementTempName(basename(path)));
    try {
      renameSync(path, aside);
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return false;
      throw error;
    }
    const isGarbage = accessSeconds(lstatSync(aside, { bigint: true })) < this.#times.cutoff;
    if (isGarbage || !putBack(aside, path)) unlinkSync(aside);
    return isGarbage;
  }
}

/** Whole seconds, downwards. */
function accessSeconds({ atimeNs }: BigIntStats): bigint {
  return atimeNs / 1_000_000_000n - (atimeNs < 0n ? 1n : 0n);
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory, 'latin1');
  } catch (error) {
    if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR') return [];
    throw error;
  }
}

function statIfAny(path: string): BigIntStats | undefined {
  return lstatSync(path, { bigint: true, throwIfNoEntry: false });
}

/** False: it was written anew meanwhile. */
function putBack(aside: string, path: string): boolean {
  try {
    renameNew(aside, path);
    return true;
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false;
    throw error;
  }
}
