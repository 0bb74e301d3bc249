/** The thread that collects; all of it is synchronous. Nothing is swept unless all is marked. */
import { parentPort, workerData } from 'node:worker_threads';
import { codeOf, messageOf } from '../../../errors.js';
import { lowerThreadPriority } from '../../../os/priority.js';
import { Marking } from './marking.js';
import type { CollectMessage, CollectSetup } from './messages.js';
import { Progress } from './progress.js';
import { Sweeping } from './sweeping.js';

const threadNice = 10;

function tell(message: CollectMessage): void {
  parentPort?.postMessage(message);
}

function collect({ location, times, moves, stop }: CollectSetup): void {
  const progress = new Progress((line) => {
    tell({ line });
  }, new Int32Array(stop));
  progress.log('phase 1: marking the chunks that indexes name');
  const marking = new Marking(location, progress);
  marking.run(moves);
  progress.log('phase 2: removing chunks that nothing names');
  const sweeping = new Sweeping(times, progress);
  sweeping.run(location);
  tell({ counters: { ...marking.counters, ...sweeping.counters } });
}

lowerThreadPriority(threadNice);
try {
  collect(workerData as CollectSetup);
} catch (error) {
  const { errno, syscall, path } = error as NodeJS.ErrnoException;
  tell({ failure: { code: codeOf(error), errno, syscall, path, message: messageOf(error) } });
}
