/** The program that a mount in the background runs as: background.ts sends it what to mount. Standard error is its log. */
import { PbsfsError, messageOf } from '../errors.js';
import type { DaemonMessage } from './background.js';
import { stderrLog } from './log.js';
import type { MountRequest } from './mount-request.js';
import { serveMount } from './serve.js';

const log = stderrLog(() => `${new Date().toISOString()} [${process.pid}] `);

async function run(request: MountRequest): Promise<void> {
  let isReady = false;
  // Whoever started this was interrupted before it was ready.
  process.once('disconnect', () => {
    if (!isReady) process.kill(process.pid, 'SIGTERM');
  });
  try {
    const ready = (): void => {
      log(`${request.source} is mounted on ${request.mountPoint}`);
      isReady = true;
      void tell({ ready: true });
    };
    await serveMount(request, { log, ready });
    log(`${request.mountPoint} is unmounted`);
    process.exit(0);
  } catch (error) {
    log(messageOf(error));
    await tell({ error: { code: error instanceof PbsfsError ? error.code : undefined, message: messageOf(error) } });
    process.exit(1);
  }
}

/** Resolves when the message is on its way, or when nobody listens any more. */
function tell(message: DaemonMessage): Promise<void> {
  return new Promise((resolve) => {
    if (process.send === undefined || !process.connected) return resolve();
    process.send(message, undefined, {}, () => {
      resolve();
    });
  });
}

process.once('message', (request: MountRequest) => void run(request));
