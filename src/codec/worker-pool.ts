/**
 * A fixed number of worker threads, each with at most two jobs, so that none waits for the main thread and none
 * hoards work. Workers do not keep the process alive while they have nothing to do.
 *
 * No thread is ended by force: one that is within a native library, or is loading it, would abort the process.
 */
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { FileError, FormatError, StoreError } from '../errors.js';
import type { Job, JobFailure, JobResult, NumberedJob, OutcomeOf, WorkerAnswer, WorkerRequest, WorkerSetup } from './worker-messages.js';

const jobsPerWorkerMax = 2;
export const workersMax = 64;

type Done = (result: Error | OutcomeOf<Job>) => void;

interface Crew {
  readonly worker: Worker;
  readonly jobs: Map<number, Done>;
}

export class WorkerPool {
  readonly #setup: WorkerSetup;
  readonly #size: number;
  readonly #crew: Crew[] = [];
  #nextJob = 0;
  #closed = false;

  constructor(setup: WorkerSetup, size = Math.min(availableParallelism(), workersMax)) {
    this.#setup = setup;
    this.#size = size;
  }

  get size(): number {
    return this.#size;
  }

  /** Jobs that may be given now. */
  get capacity(): number {
    if (this.#closed) return 0;
    return this.#crew.reduce((sum, { jobs }) => sum - jobs.size, this.#size * jobsPerWorkerMax);
  }

  /** Starts the threads ahead of the first job. */
  start(): void {
    while (this.#crew.length < this.#size && !this.#closed) this.#hire();
  }

  /** Calls `done` once, with the outcome or an error. The caller minds `capacity`, and gives only jobs that the setup is for. */
  run<J extends Job>(job: J, done: (result: Error | OutcomeOf<J>) => void): void {
    this.start();
    const least = this.#crew.reduce((a, b) => (b.jobs.size < a.jobs.size ? b : a));
    const number = this.#nextJob++;
    if (least.jobs.size === 0) least.worker.ref();
    least.jobs.set(number, done as Done);
    const memory = memoryOf(job);
    const handedOver = memory?.buffer instanceof ArrayBuffer ? [memory.buffer] : [];
    least.worker.postMessage({ number, job: withoutNeighbours(job) } satisfies NumberedJob, handedOver);
  }

  /** Resolves when all jobs that were given and all threads have ended. */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all(this.#crew.map(({ worker }) => ended(worker)));
  }

  #hire(): void {
    // Options of the process may be such that no thread with a file to run takes them (--input-type).
    const worker = new Worker(new URL('./worker.js', import.meta.url), { workerData: this.#setup, execArgv: [] });
    const crew: Crew = { worker, jobs: new Map() };
    this.#crew.push(crew);
    worker.on('message', (answer: WorkerAnswer) => {
      if (answer !== 'ready') finish(crew, answer);
      if (crew.jobs.size === 0 && !this.#closed) worker.unref();
    });
    let reason: unknown;
    worker.on('error', (error) => {
      reason = error;
    });
    worker.on('exit', () => {
      this.#crew.splice(this.#crew.indexOf(crew), 1);
      const lost = new StoreError('CLOSED', 'a worker thread ended before its work was done', { cause: reason });
      for (const done of crew.jobs.values()) done(lost);
    });
  }
}

function finish({ jobs }: Crew, result: JobResult): void {
  const done = jobs.get(result.number);
  jobs.delete(result.number);
  done?.(result.failure === undefined ? result.outcome : failure(result.failure));
}

function memoryOf(job: Job): Uint8Array | undefined {
  if (job.kind === 'encode') return job.room;
  return job.kind === 'insert' || job.kind === 'decode' ? job.encoded : undefined;
}

/** A message with a view takes along all of the memory below it: a whole index, or a pool. */
function withoutNeighbours(job: Job): Job {
  return job.kind === 'decode' || job.kind === 'insert' ? { ...job, digest: new Uint8Array(job.digest) } : job;
}

function ended(worker: Worker): Promise<void> {
  return new Promise((resolve) => {
    worker.ref();
    worker.once('exit', () => {
      resolve();
    });
    worker.postMessage('end' satisfies WorkerRequest);
  });
}

function failure({ message, ...facts }: JobFailure): Error {
  const { code } = facts;
  if (code === 'CHUNK_MISSING' || code === 'CHUNK_CORRUPT') return new StoreError(code, message);
  if (code === 'BAD_MAGIC' || code === 'BAD_STRUCTURE' || code === 'BAD_CHECKSUM' || code === 'TRUNCATED') return new FormatError(code, message);
  if (code === 'NOT_SUPPORTED') return new FileError(code, message);
  return Object.assign(new Error(message), facts);
}
