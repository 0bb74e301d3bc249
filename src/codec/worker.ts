/** The worker thread: decodes one chunk after another into shared memory, stores them from it, or stores what clients have encoded. */
import { parentPort, workerData } from 'node:worker_threads';
import { codeOf, messageOf } from '../errors.js';
import { lowerThreadPriority } from '../os/priority.js';
import type { Job, NumberedJob, JobResult, OutcomeOf, WorkerAnswer, WorkerRequest, WorkerSetup } from './worker-messages.js';

/** The main thread gets the core at once when a request or a result comes (docs/performance.md). */
const workerNice = 10;

lowerThreadPriority(workerNice);
const setup = workerData as WorkerSetup;
const perform = await programOf(setup);

/** Only what the thread is for is loaded: starting takes each thread some ten milliseconds. */
async function programOf(work: WorkerSetup): Promise<(job: Job) => OutcomeOf<Job>> {
  if (work.kind === 'store') return await (await import('./store-program.js')).storeProgram(work);
  if (work.kind === 'insert') return await (await import('./insert-program.js')).insertProgram();
  if (work.kind === 'encode') return await (await import('./encode-program.js')).encodeProgram(work);
  return await (await import('./decode-program.js')).decodeProgram(work);
}

function run({ number, job }: NumberedJob): JobResult {
  try {
    return { number, outcome: perform(job) };
  } catch (error) {
    const { errno, syscall, path } = error as NodeJS.ErrnoException;
    return { number, failure: { code: codeOf(error), errno, syscall, path, message: messageOf(error) } };
  }
}

/** What goes over to the main thread, which then nobody copies. */
function handedOver(result: JobResult): ArrayBuffer[] {
  const { outcome } = 'outcome' in result ? result : { outcome: undefined };
  const memory = typeof outcome === 'object' && 'encoded' in outcome ? outcome.encoded.buffer : undefined;
  return memory instanceof ArrayBuffer ? [memory] : [];
}

function answer(result: JobResult): void {
  parentPort?.postMessage(result satisfies WorkerAnswer, handedOver(result));
}

parentPort?.on('message', (request: WorkerRequest) => {
  if (request === 'end') parentPort?.close();
  else answer(run(request));
});
parentPort?.postMessage('ready' satisfies WorkerAnswer);
