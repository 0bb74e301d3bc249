/** The datastores that are mounted now, and what their daemons say of themselves. */
import { execFile } from 'node:child_process';
import { MountError } from '../errors.js';
import { fileSystemType } from '../fuse/file-system-type.js';
import { readMountTable } from '../os/mount-table.js';

export interface DatastoreMount {
  readonly mountPoint: string;
  readonly source: string;
  readonly options: readonly string[];
}

const answerTimeoutMs = 3000;
const statusBytesMax = 1024 * 1024;

export function listMounts(): DatastoreMount[] {
  const mounts = readMountTable().filter(({ type }) => type === fileSystemType);
  return mounts.map(({ mountPoint, source, options }) => ({ mountPoint, source, options: [...new Set(options)] }));
}

/**
 * What `.pbsfs/status.json` says. Another process asks, because a daemon that hangs would keep a thread of this one for ever.
 * MOUNT_FAILED if there is no answer.
 */
export async function readStatus(mountPoint: string): Promise<unknown> {
  const text = await new Promise<string>((resolve, reject) => {
    const limits = { timeout: answerTimeoutMs, killSignal: 'SIGKILL', maxBuffer: statusBytesMax, cwd: '/' } as const;
    execFile('cat', ['--', `${mountPoint}/.pbsfs/status.json`], limits, (error, stdout, stderr) => {
      if (error === null) return resolve(stdout);
      const why = error.killed ? `no answer in ${answerTimeoutMs / 1000} seconds` : stderr.trim().replace(/^cat: [^:]*: /, '');
      reject(new MountError('MOUNT_FAILED', `the daemon of ${mountPoint} does not tell its status: ${why}`));
    });
  });
  return JSON.parse(text);
}
