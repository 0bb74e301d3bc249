/** The first phase: the access time of every chunk that an index names becomes now. Format: datastore, section 7.1 (5). */
import { closeSync, constants, fstatSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { DigestSet } from '../../../codec/digest-set.js';
import { FormatError, codeOf, messageOf } from '../../../errors.js';
import { indexBytesMax, type ChunkIndex } from '../../../format/chunk-index.js';
import { chunkPath } from '../../../format/chunk-path.js';
import { parseDynamicIndex } from '../../../format/dynamic-index.js';
import { parseFixedIndex } from '../../../format/fixed-index.js';
import { touchAccessTime } from '../../../os/access-time.js';
import { indexFiles } from './index-files.js';
import type { Progress } from './progress.js';

/** Digests that are remembered, so that each is touched once; with more, some are touched again. */
const digestsMax = 2 << 20;
/** Listings of the datastore until one shows nothing new: snapshots may be moved to where a listing was already. */
const listingsMax = 16;
const movesBytesMax = 64 << 20;
const badNumbers = 10;
const missingToldMax = 100;

export interface MarkCounters {
  indexFileCount: number;
  indexDataBytes: number;
  hits: number;
  misses: number;
  /** Chunks that are named but not there. */
  missing: number;
}

export class Marking {
  readonly counters: MarkCounters = { indexFileCount: 0, indexDataBytes: 0, hits: 0, misses: 0, missing: 0 };
  readonly #location: string;
  readonly #progress: Progress;
  readonly #done = new Set<string>();
  #digests = new DigestSet();

  constructor(location: string, progress: Progress) {
    this.#location = location;
    this.#progress = progress;
  }

  /** `moves`: where a server of 4.2 writes down paths of indexes that it has moved. Any error means that nothing may be removed. */
  run(moves: string | undefined): void {
    for (let listing = 1; this.#markNew(indexFiles(this.#location)) > 0; listing++) {
      if (listing === listingsMax) throw new Error(`index files appear in ${this.#location} faster than they can be read: try again when nothing is moved in it`);
    }
    if (moves !== undefined) this.#markNew(movedFiles(moves));
  }

  #markNew(paths: Iterable<Buffer>): number {
    const fresh = [...paths].filter((path) => !this.#done.has(path.toString('latin1')));
    for (const [i, path] of fresh.entries()) {
      this.#progress.check();
      this.#markFile(path);
      this.#done.add(path.toString('latin1'));
      this.#progress.tell('marked', i + 1, fresh.length, 'index files');
    }
    return fresh.length;
  }

  #markFile(path: Buffer): void {
    const index = readIndex(path);
    if (index === undefined) return;
    this.counters.indexFileCount++;
    this.counters.indexDataBytes += index.size;
    for (let i = 0; i < index.count; i++) this.#mark(index.digestAt(i), path);
  }

  #mark(digest: Buffer, index: Buffer): void {
    if (this.#digests.size >= digestsMax) this.#digests = new DigestSet();
    if (!this.#digests.add(digest)) {
      this.counters.hits++;
      return;
    }
    this.counters.misses++;
    this.#progress.check();
    const path = join(this.#location, chunkPath(digest));
    if (touchAccessTime(path)) return;
    this.counters.missing++;
    if (this.counters.missing <= missingToldMax) this.#progress.log(`warning: chunk ${digest.toString('hex')} is missing, which ${index.toString()} names`);
    // What verification found damaged is kept as long as somebody might want it.
    for (let n = 0; n < badNumbers; n++) touchAccessTime(`${path}.${n}.bad`);
  }
}

/** Undefined for one that has vanished. */
function readIndex(path: Buffer): ChunkIndex | undefined {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR') return undefined;
    throw error;
  }
  try {
    const facts = fstatSync(fd);
    if (!facts.isFile()) throw new FormatError('BAD_STRUCTURE', 'it is not a file');
    if (facts.size > indexBytesMax) throw new FormatError('LIMIT_EXCEEDED', `it has ${facts.size} bytes, more than the ${indexBytesMax} of the largest index`);
    const bytes = readFileSync(fd);
    return path.toString('latin1').endsWith('.fidx') ? parseFixedIndex(bytes) : parseDynamicIndex(bytes);
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause;
    const hint = 'nothing is removed, as it might name any chunk; remove it if it is of no use';
    throw new FormatError(cause.code, `the index ${path.toString()} cannot be read (${messageOf(cause)}): ${hint}`, { cause });
  } finally {
    closeSync(fd);
  }
}

/** One absolute path a line. It is left as it is: the server empties it. */
function movedFiles(moves: string): Buffer[] {
  try {
    if (fstatOf(moves) > movesBytesMax) throw new FormatError('LIMIT_EXCEEDED', `${moves} is larger than ${movesBytesMax} bytes`);
    const lines = readFileSync(moves).toString('latin1').split('\n');
    return lines.filter((line) => /^\/.*\.[fd]idx$/.test(line)).map((line) => Buffer.from(line, 'latin1'));
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return [];
    throw error;
  }
}

function fstatOf(path: string): number {
  const fd = openSync(path, 'r');
  try {
    return fstatSync(fd).size;
  } finally {
    closeSync(fd);
  }
}
