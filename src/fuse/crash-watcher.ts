/**
 * A process that unmounts when this one dies, by SIGKILL too. It waits for a line on a pipe: the line says that all is in order,
 * the end of the pipe without it that the daemon is gone.
 */
import { spawn } from 'node:child_process';
import type { Socket } from 'node:net';
import { lazyUnmountCommand } from './unmount.js';

const script = 'trap "" INT TERM HUP; read -r line || exec "$@"';

export interface CrashWatcher {
  /** After an orderly end: a newer mount on the same path is not touched. */
  dismiss(): void;
}

export function startCrashWatcher(mountPoint: string, log: (line: string) => void): CrashWatcher {
  const child = spawn('/bin/sh', ['-c', script, 'sh', ...lazyUnmountCommand(), mountPoint], {
    detached: true,
    cwd: '/',
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  const pipe = child.stdin as Socket;
  child.on('error', (error) =>
    log(`if this process is killed, ${mountPoint} will have to be unmounted by hand: ${error.message}`),
  );
  pipe.on('error', () => undefined);
  child.unref();
  pipe.unref();
  return { dismiss: () => pipe.end('\n') };
}
