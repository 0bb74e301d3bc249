/** A verified chunk file goes into a disk cache, and what has to make room goes. Synchronous: it runs in worker threads. */
import * as fs from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { codeOf, messageOf } from '../errors.js';
import { replacementTempName } from '../format/temp-name.js';
import { writeAll } from './chunk-files.js';
import type { KeepOrder, KeepOutcome } from './worker-messages.js';

const fileMode = 0o600;
const directoryMode = 0o700;

/** A cache that can't be written fails nobody who reads. */
export function keepFile(order: KeepOrder, parts: readonly Buffer[]): KeepOutcome {
  try {
    makeRoom(order);
    write(order, parts);
    return { bytes: parts.reduce((sum, { length }) => sum + length, 0) };
  } catch (error) {
    return { failure: { code: codeOf(error), message: messageOf(error) } };
  }
}

/** Also for a chunk that turned out to be none: what is not in the index of the cache any more must not stay. */
export function makeRoom({ evict }: KeepOrder): void {
  for (const path of evict) fs.rmSync(path, { force: true });
}

/**
 * Nothing is made durable: after a power cut a file may be cut off or full of zeros, but whoever reads it compares the digest, and what is wrong is
 * fetched again.
 */
function write({ path, temporaryDirectory }: KeepOrder, parts: readonly Buffer[]): void {
  const temporary = join(temporaryDirectory, replacementTempName(basename(path)));
  const descriptor = fs.openSync(temporary, fs.constants.O_WRONLY | fs.constants.O_CREAT | fs.constants.O_EXCL, fileMode);
  try {
    try {
      writeAll(descriptor, parts);
    } finally {
      fs.closeSync(descriptor);
    }
    rename(temporary, path);
  } catch (error) {
    fs.rmSync(temporary, { force: true });
    throw error;
  }
}

function rename(temporary: string, path: string): void {
  try {
    fs.renameSync(temporary, path);
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error;
    fs.mkdirSync(dirname(path), { recursive: true, mode: directoryMode });
    fs.renameSync(temporary, path);
  }
}
