/** The datastores that are mounted now, and what their daemons say of themselves. */
import { execFile } from 'node:child_process';
import { setTimeout } from 'node:timers/promises';
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
const statusTriesMax = 3;
const sizeBelievedMs = 1100;

export function listMounts(): DatastoreMount[] {
  const mounts = readMountTable().filter(({ type }) => type === fileSystemType);
  return mounts.map(({ mountPoint, source, options }) => ({ mountPoint, source, options: [...new Set(options)] }));
}

/**
 * What `.pbsfs/status.json` says. MOUNT_FAILED if there is no answer. The driver fuse-native believes a size for a second, and so
 * cuts a text that has grown in it: then the next second's is asked for.
 */
export async function readStatus(mountPoint: string): Promise<unknown> {
  for (let triesLeft = statusTriesMax; ; triesLeft--) {
    try {
      return JSON.parse(await readStatusText(mountPoint));
    } catch (error) {
      if (!(error instanceof SyntaxError) || triesLeft === 1) throw error;
      await setTimeout(sizeBelievedMs);
    }
  }
}

/** Another process reads, because a daemon that hangs would keep a thread of this one for ever. */
function readStatusText(mountPoint: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const limits = { timeout: answerTimeoutMs, killSignal: 'SIGKILL', maxBuffer: statusBytesMax, cwd: '/' } as const;
    execFile('cat', ['--', `${mountPoint}/.pbsfs/status.json`], limits, (error, stdout, stderr) => {
      if (error === null) return resolve(stdout);
      const why = error.killed ? `no answer in ${answerTimeoutMs / 1000} seconds` : stderr.trim().replace(/^cat: [^:]*: /, '');
      reject(new MountError('MOUNT_FAILED', `the daemon of ${mountPoint} does not tell its status: ${why}`));
    });
  });
}
