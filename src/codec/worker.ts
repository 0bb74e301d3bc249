/** The worker thread: decodes one chunk after another into shared memory, or stores them from it. */
import { parentPort, workerData } from 'node:worker_threads';
import { codeOf, messageOf } from '../errors.js';
import { lowerThreadPriority } from '../os/priority.js';
import { decodeProgram } from './decode-program.js';
import { storeProgram } from './store-program.js';
import type { NumberedJob, JobResult, WorkerAnswer, WorkerRequest, WorkerSetup } from './worker-messages.js';

/** The main thread gets the core at once when a request or a result comes (docs/performance.md). */
const workerNice = 10;

lowerThreadPriority(workerNice);
const setup = workerData as WorkerSetup;
const perform = setup.kind === 'decode' ? await decodeProgram(setup) : await storeProgram(setup);

function run({ number, job }: NumberedJob): JobResult {
  try {
    return { number, outcome: perform(job) };
  } catch (error) {
    const { errno, syscall, path } = error as NodeJS.ErrnoException;
    return { number, failure: { code: codeOf(error), errno, syscall, path, message: messageOf(error) } };
  }
}

parentPort?.on('message', (request: WorkerRequest) => {
  if (request === 'end') parentPort?.close();
  else parentPort?.postMessage(run(request) satisfies WorkerAnswer);
});
parentPort?.postMessage('ready' satisfies WorkerAnswer);
