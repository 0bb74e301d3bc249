/** Ctrl-C on a command that writes: the first stops it cleanly, the second ends it at once. */
import { constants } from 'node:os';

const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** Runs `work` with a signal that the first SIGINT, SIGTERM or SIGHUP gives. */
export async function interruptible<T>(work: (signal: AbortSignal) => Promise<T>, told: (line: string) => void): Promise<T> {
  const controller = new AbortController();
  const onSignal = (name: NodeJS.Signals): void => {
    if (controller.signal.aborted) process.exit(128 + constants.signals[name]);
    told(`${name}: stopping; once more ends at once`);
    controller.abort();
  };
  for (const name of signals) process.on(name, onSignal);
  try {
    return await work(controller.signal);
  } finally {
    for (const name of signals) process.removeListener(name, onSignal);
  }
}
