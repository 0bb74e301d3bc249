/** What a restore tells, in the words of the command line. */
import type { RestoreObserver } from '../restore/restore-options.js';
import type { ProgressReport } from './progress.js';

/** A moving line need not move more often. */
const everyMs = 100;

export function restoreObserver(report: ProgressReport, name: string): RestoreObserver {
  let last = 0;
  return {
    warn: (line) => report.warn(line),
    failed: (line) => {
      report.event('failed', { message: line });
      report.log(`failed: ${line}`);
    },
    progress: (figures) => {
      const now = performance.now();
      if (now - last < everyMs) return;
      last = now;
      report.progress(name, figures);
    },
  };
}
