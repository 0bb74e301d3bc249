/**
 * Reads of 4 KiB at random offsets of a file, none of them twice, by threads that read one after another.
 * A program: `random-reader.js PATH THREADS READS` prints the seconds.
 */
import { closeSync, openSync, readSync, statSync } from 'node:fs';
import { Worker, isMainThread, workerData } from 'node:worker_threads';

/** @typedef {{ path: string, thread: number, threads: number, reads: number, gate: Int32Array }} Task */

const pageBytes = 4096;
/** A prime that is no divisor of any number of pages that occurs: steps of it meet every page once. */
const stepPages = 1_000_003;

if (isMainThread) await readByThreads(process.argv[2] ?? '', Number(process.argv[3]), Number(process.argv[4]));
else read(/** @type {Task} */ (workerData));

/** @param {string} path @param {number} threads @param {number} reads */
async function readByThreads(path, threads, reads) {
  const gate = new Int32Array(new SharedArrayBuffer(8));
  const ends = Array.from({ length: threads }, (_, thread) => {
    const worker = new Worker(new URL(import.meta.url), { workerData: { path, thread, threads, reads, gate } });
    return new Promise((resolve, reject) => worker.on('exit', resolve).on('error', reject));
  });
  while (Atomics.load(gate, 0) < threads) await new Promise((resolve) => setTimeout(resolve, 5));
  const start = performance.now();
  Atomics.store(gate, 1, 1);
  Atomics.notify(gate, 1);
  await Promise.all(ends);
  console.log((performance.now() - start) / 1000);
}

/** @param {Task} task */
function read({ path, thread, threads, reads, gate }) {
  const pages = Math.floor(statSync(path).size / pageBytes);
  const descriptor = openSync(path, 'r');
  const page = Buffer.allocUnsafe(pageBytes);
  Atomics.add(gate, 0, 1);
  Atomics.wait(gate, 1, 0);
  for (let i = thread; i < reads; i += threads) readSync(descriptor, page, 0, pageBytes, ((i * stepPages) % pages) * pageBytes);
  closeSync(descriptor);
}
