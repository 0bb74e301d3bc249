/** A mount for the life of a process: it tells when it is ready, and ends by unmount or by signal. Protocol: FUSE, section 2.13. */
import { codeOf, messageOf } from '../errors.js';
import { mountDatastore, type MountedDatastore } from './mount-datastore.js';
import type { MountRequest } from './mount-request.js';
import { notifyReady } from './service-manager.js';
import { busyText } from './unmount.js';

const signals = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const;
/** A signal that comes sooner is the first one once more: npm passes on what the terminal has sent to all. */
const repeatMs = 500;

export interface ServeHooks {
  readonly log: (line: string) => void;
  /** The tree can be used. */
  readonly ready: () => void;
}

/**
 * Mounts, and resolves when the mount is gone. The first signal unmounts: at once if nothing is open, else the mount point is
 * freed and open files are served until they are closed. The second ends the process, and what is still open with it.
 */
export async function serveMount(request: MountRequest, { log, ready }: ServeHooks): Promise<void> {
  process.chdir('/');
  endOnCrash(log);
  let mount: MountedDatastore | undefined;
  let signalledMs: number | undefined;
  const onSignal = (signal: string): void => {
    if (signalledMs !== undefined) {
      if (performance.now() - signalledMs > repeatMs) end(log, `${signal} again: ending now`);
      return;
    }
    signalledMs = performance.now();
    log(`${signal}: unmounting ${request.mountPoint}`);
    if (mount !== undefined) void unmountOrLinger(mount, request.mountPoint, log);
  };
  for (const signal of signals) process.on(signal, onSignal);
  try {
    mount = await mountDatastore(request, log);
    if (signalledMs !== undefined) void unmountOrLinger(mount, request.mountPoint, log);
    ready();
    await notifyReady(`${request.source} is mounted on ${request.mountPoint}`, log);
    await mount.done;
  } finally {
    for (const signal of signals) process.off(signal, onSignal);
  }
}

async function unmountOrLinger({ mounted }: MountedDatastore, mountPoint: string, log: (line: string) => void): Promise<void> {
  try {
    await mounted.unmount().catch(async (error: unknown) => {
      if (codeOf(error) !== 'BUSY') throw error;
      const busy = await busyText(mountPoint);
      await mounted.unmount({ lazy: true });
      log(`${busy}; it is unmounted, and what is open stays readable until it is closed (a second signal ends it)`);
    });
  } catch (error) {
    if (codeOf(error) !== 'NOT_MOUNTED') log(`unmounting ${mountPoint} failed: ${messageOf(error)}`);
  }
}

/** A crash must not leave a process behind that never answers: its death frees the mount (exit() would wait for blocked threads). */
function endOnCrash(log: (line: string) => void): void {
  const crash = (error: unknown): void => end(log, `internal error: ${error instanceof Error ? (error.stack ?? error.message) : messageOf(error)}`);
  process.on('uncaughtException', crash);
  process.on('unhandledRejection', crash);
}

function end(log: (line: string) => void, line: string): never {
  log(line);
  process.kill(process.pid, 'SIGKILL');
  throw new Error('unreachable');
}
