/** What main thread and workers tell each other. Data never travels: it lies in the slab. */

export interface WorkerSetup {
  readonly memory: SharedArrayBuffer;
  /** Raw 32-byte encryption keys; jobs name them by their number here. */
  readonly keys: readonly Uint8Array[];
}

export interface DecodeJob {
  readonly job: number;
  readonly path: string;
  readonly digest: Uint8Array;
  /** -1: the chunk is not encrypted. */
  readonly keyNumber: number;
  readonly offset: number;
  readonly length: number;
}

/** `end`: no further job will come. */
export type WorkerRequest = DecodeJob | 'end';

export interface JobResult {
  readonly job: number;
  /** Absent: the chunk is whole and verified in the slab. */
  readonly failure?: { readonly code: string | undefined; readonly errno: number | undefined; readonly message: string };
}

/** `ready`: the thread has started and loaded what it needs. */
export type WorkerAnswer = JobResult | 'ready';
