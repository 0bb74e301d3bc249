/** Starts a daemon and waits until its mount can be used, so that the exit status of the command tells it. Protocol: FUSE, section 2.13. */
import { spawn, type ChildProcess } from 'node:child_process';
import { relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { MountError, PbsfsError, type ErrorCode } from '../errors.js';
import { secretVariables } from '../os/credentials.js';
import { readMountTable } from '../os/mount-table.js';
import { openLog } from './log-file.js';
import type { MountRequest } from './mount-request.js';
import { passwordVariable } from './password.js';
import { serverPasswordVariable } from './server-access.js';

const program = fileURLToPath(new URL('./daemon.js', import.meta.url));

/** The daemon has its secrets by another way, and shows its environment to all that may look at it. */
const hiddenVariables = [passwordVariable, serverPasswordVariable].flatMap(secretVariables);

/** What the daemon says, once. */
export type DaemonMessage = { readonly ready: true } | { readonly error: { readonly code: ErrorCode | undefined; readonly message: string } };

/**
 * Resolves to the daemon's process id when the tree can be used; throws what the daemon threw. The request goes to it over a
 * channel that nobody else can read.
 */
export async function mountInBackground(request: MountRequest, logPath: string): Promise<number> {
  if (!relative(request.mountPoint, resolve(logPath)).startsWith('..')) {
    throw new MountError('MOUNT_FAILED', `the log ${logPath} lies below the mount point; choose another with --log FILE`);
  }
  const log = await openLog(logPath);
  const environment = { ...process.env };
  for (const name of hiddenVariables) delete environment[name];
  try {
    const child = spawn(process.execPath, [program, request.source, request.mountPoint], {
      detached: !isAutomounted(request.mountPoint),
      cwd: '/',
      env: environment,
      stdio: ['ignore', log.fd, log.fd, 'ipc'],
      serialization: 'advanced',
    });
    await firstWord(child, request, logPath);
    child.disconnect();
    child.unref();
    return child.pid ?? 0;
  } finally {
    await log.close();
  }
}

/**
 * Whether an automounter waits for this mount. The kernel lets only its process group look at the mount point until then; a daemon
 * with a group of its own would wait for itself.
 */
function isAutomounted(mountPoint: string): boolean {
  const around = readMountTable().filter((entry) => !relative(entry.mountPoint, mountPoint).startsWith('..'));
  const innermost = Math.max(...around.map((entry) => entry.mountPoint.length));
  return around.findLast((entry) => entry.mountPoint.length === innermost)?.type === 'autofs';
}

function firstWord(child: ChildProcess, request: MountRequest, logPath: string): Promise<void> {
  return new Promise((done, fail) => {
    child.once('message', (message: DaemonMessage) => {
      if ('ready' in message) return done();
      const { code, message: text } = message.error;
      fail(code === undefined ? new MountError('MOUNT_FAILED', `${text}; see ${logPath}`) : new PbsfsError(code, text));
    });
    child.once('error', (cause) => fail(new MountError('MOUNT_FAILED', `the daemon could not be started: ${cause.message}`, { cause })));
    child.once('exit', (status, signal) => {
      fail(new MountError('MOUNT_FAILED', `the daemon ended with ${signal ?? `status ${status}`} before the mount was ready; see ${logPath}`));
    });
    child.send(request);
  });
}
