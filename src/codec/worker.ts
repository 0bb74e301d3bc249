/** The worker thread: decodes one chunk after another into the slab. */
import { parentPort, workerData } from 'node:worker_threads';
import { EncryptionKey } from '../crypto/encryption-key.js';
import { codeOf, messageOf } from '../errors.js';
import { lowerThreadPriority } from '../os/priority.js';
import { loadZstd } from '../os/zstd/zstd.js';
import { ChunkDecoder } from './chunk-decoder.js';
import type { DecodeJob, JobResult, WorkerAnswer, WorkerRequest, WorkerSetup } from './worker-messages.js';

/** The main thread gets the core at once when a request or a result comes (docs/performance.md). */
const workerNice = 10;

lowerThreadPriority(workerNice);
const setup = workerData as WorkerSetup;
const keys = setup.keys.map((key) => new EncryptionKey(Buffer.from(key)));
const decoder = new ChunkDecoder(await loadZstd());

function run(job: DecodeJob): JobResult {
  try {
    const key = job.keyNumber < 0 ? undefined : keys[job.keyNumber];
    decoder.decode({ path: job.path, digest: job.digest, key }, Buffer.from(setup.memory, job.offset, job.length));
    return { job: job.job };
  } catch (error) {
    const { errno } = error as { errno?: number };
    return { job: job.job, failure: { code: codeOf(error), errno, message: messageOf(error) } };
  }
}

parentPort?.on('message', (request: WorkerRequest) => {
  if (request === 'end') parentPort?.close();
  else parentPort?.postMessage(run(request) satisfies WorkerAnswer);
});
parentPort?.postMessage('ready' satisfies WorkerAnswer);
