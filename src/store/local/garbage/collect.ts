/**
 * Garbage collection: removes chunks that no index names and that nobody has touched for a day. Other processes that write are
 * kept out from before the first look until the last removal; sessions of this one may go on, and begin. Format: datastore, section 7.
 */
import { Worker } from 'node:worker_threads';
import { join } from 'node:path';
import { stat } from 'node:fs/promises';
import { setTimeout } from 'node:timers/promises';
import type { JobFailure } from '../../../codec/worker-messages.js';
import { FileError, FormatError, StoreError, messageOf, type FormatErrorCode } from '../../../errors.js';
import { encodeGcStatus, parseGcStatus, type GcStatus } from '../../../format/gc-status.js';
import { sizeText } from '../../../format/size-text.js';
import { loadZstd } from '../../../os/zstd/zstd.js';
import type { GarbageOptions } from '../../administration.js';
import { touchedNow, writeZeroChunk } from '../access-times.js';
import { writeWhole } from '../atomic-file.js';
import { readWhole } from '../directory.js';
import { lockForCollecting } from '../process-lock.js';
import type { WritableStore } from '../writable-store.js';
import { checkNotNested } from './index-files.js';
import type { CollectMessage, CollectSetup } from './messages.js';
import type { SweepTimes } from './sweeping.js';

const statusName = '.gc-status';
const statusBytesMax = 64 * 1024;
/** 24 hours and 5 minutes: time stamps may be a day old where the kernel writes them lazily. */
const cutoffSecondsDefault = 86_700;
const accessTimeWaitMs = 1000;
/** Between this host's clock and that by which the file system sets access times. */
const clockSkewSecondsMax = 300;

type Counters = Extract<CollectMessage, { counters: unknown }>['counters'];

/** LOCKED while another process writes; NOT_SUPPORTED where access times are not kept, or datastores are nested; INTERRUPTED; FormatError for an index that cannot be read: then nothing is removed. */
export async function collectGarbage(store: WritableStore, options: GarbageOptions): Promise<GcStatus> {
  const lock = lockForCollecting(store.location, store.owner);
  if (lock === undefined) {
    const text = 'a backup, a sync, a writable mount or another garbage collection is running';
    throw new StoreError('LOCKED', `${store.location} is in use: ${text}; try again when it is done`);
  }
  try {
    checkNotNested(store.location);
    const began = await beginning(store);
    const counters = await collect(store, sweepTimes(began, store.gcCutoffSeconds ?? cutoffSecondsDefault, lock.oldestWriter), options);
    const status = statusOf(counters, options.upid);
    tellResult(counters, options.log);
    await writeStatus(store, status);
    return status;
  } finally {
    lock.release();
  }
}

/** What a session of this process has touched since it began stays. Format: datastore, section 7.1 (4). */
function sweepTimes(began: number, cutoffSeconds: number, oldestWriter: number | undefined): SweepTimes {
  const cutoff = began - cutoffSeconds;
  if (oldestWriter === undefined) return { cutoff, began };
  return { cutoff: Math.min(cutoff, oldestWriter - clockSkewSecondsMax), began: Math.min(began, oldestWriter) };
}

/** Of the last collection that ended well; undefined if there was none, or its status cannot be read. */
export async function lastCollection(location: string): Promise<GcStatus | undefined> {
  try {
    return parseGcStatus(await readWhole(join(location, statusName), statusBytesMax));
  } catch {
    return undefined;
  }
}

/**
 * By the clock of the host or that of the file system, whichever is behind: what is marked from now on looks younger by either. In whole seconds.
 * NOT_SUPPORTED without access times, as everything would look as if nobody used it, and where the clocks are far apart.
 */
async function beginning({ location, owner }: WritableStore): Promise<number> {
  const began = Date.now() / 1000;
  const { uid, gid } = await stat(join(location, '.chunks'));
  const path = await writeZeroChunk(join(location, '.chunks'), await loadZstd(), owner ?? { uid, gid });
  await setTimeout(accessTimeWaitMs);
  const accessed = await touchedNow(path);
  if (accessed === undefined) {
    throw new FileError('NOT_SUPPORTED', `the file system of ${location} does not keep access times, by which used chunks are told from garbage: nothing was removed`);
  }
  if (Math.abs(accessed - began) > clockSkewSecondsMax) {
    throw new FileError('NOT_SUPPORTED', `the clock of the file system of ${location} differs from that of this host by ${Math.round(accessed - began)} seconds: nothing was removed; set the clocks`);
  }
  return Math.floor(Math.min(began, accessed));
}

function collect(store: WritableStore, times: CollectSetup['times'], { log, signal }: GarbageOptions): Promise<Counters> {
  const stop = new SharedArrayBuffer(4);
  const onAbort = (): void => {
    Atomics.store(new Int32Array(stop), 0, 1);
  };
  const moves = store.locks === undefined ? undefined : join(store.locks, 'move-journal');
  const setup: CollectSetup = { location: store.location, times, moves, stop };
  const worker = new Worker(new URL('./thread.js', import.meta.url), { workerData: setup, execArgv: [] });
  if (signal?.aborted === true) onAbort();
  signal?.addEventListener('abort', onAbort);
  return new Promise<Counters>((resolve, reject) => {
    let result: Counters | Error = new StoreError('CLOSED', 'the thread that collects garbage ended before its work was done');
    worker.on('message', (message: CollectMessage) => {
      if ('line' in message) log(message.line);
      else result = 'counters' in message ? message.counters : failureOf(message.failure);
    });
    worker.on('error', (cause) => {
      result = new StoreError('CLOSED', `the thread that collects garbage failed: ${messageOf(cause)}`, { cause });
    });
    // Only when nothing can touch the datastore any more is the lock given up.
    worker.on('exit', () => {
      signal?.removeEventListener('abort', onAbort);
      if (result instanceof Error) reject(result);
      else resolve(result);
    });
  });
}

const formatCodes: ReadonlySet<string | undefined> = new Set<FormatErrorCode>(['BAD_MAGIC', 'BAD_CHECKSUM', 'BAD_STRUCTURE', 'TRUNCATED', 'LIMIT_EXCEEDED']);

function failureOf({ message, ...facts }: JobFailure): Error {
  const { code } = facts;
  if (code === 'INTERRUPTED') return new StoreError(code, message);
  if (formatCodes.has(code)) return new FormatError(code as FormatErrorCode, message);
  return Object.assign(new Error(message), facts);
}

function statusOf({ hits, misses, missing: _missing, ...counters }: Counters, upid: string | undefined): GcStatus {
  return { upid, ...counters, cacheStats: { hits, misses } };
}

function tellResult(counters: Counters, log: (line: string) => void): void {
  const { indexDataBytes, diskBytes, diskChunks, removedBytes, removedChunks, removedBad, pendingBytes, pendingChunks, stillBad, missing } = counters;
  log(`removed: ${sizeText(removedBytes)} in ${removedChunks} chunks${removedBad > 0 ? ` and ${removedBad} damaged ones` : ''}`);
  if (pendingChunks > 0) log(`not used, but too young to be removed: ${sizeText(pendingBytes)} in ${pendingChunks} chunks`);
  if (stillBad > 0) log(`damaged chunks that are left: ${stillBad}`);
  if (missing > 0) log(`missing chunks: ${missing}`);
  log(`data in ${counters.indexFileCount} indexes: ${sizeText(indexDataBytes)}`);
  log(`on disk: ${sizeText(diskBytes)} in ${diskChunks} chunks${diskBytes > 0 ? `, deduplicated ${(indexDataBytes / diskBytes).toFixed(2)} times` : ''}`);
}

async function writeStatus({ location, owner, warn }: WritableStore, status: GcStatus): Promise<void> {
  try {
    await writeWhole(location, statusName, encodeGcStatus(status), { owner, durable: false });
  } catch (error) {
    warn(`${join(location, statusName)} could not be written: ${messageOf(error)}`);
  }
}
