/** What the thread that collects and the main thread tell each other. */
import type { JobFailure } from '../../../codec/worker-messages.js';
import type { MarkCounters } from './marking.js';
import type { SweepCounters, SweepTimes } from './sweeping.js';

export interface CollectSetup {
  readonly location: string;
  readonly times: SweepTimes;
  /** Where a server of 4.2 writes down which indexes it moves. */
  readonly moves: string | undefined;
  /** One 32-bit integer; other than 0: to stop. */
  readonly stop: SharedArrayBuffer;
}

export type CollectMessage =
  | { readonly line: string }
  | { readonly counters: MarkCounters & SweepCounters }
  | { readonly failure: JobFailure };
