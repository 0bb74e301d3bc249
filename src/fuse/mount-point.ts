/** Checks the directory to mount on. */
import { opendir, realpath } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { MountError, codeOf, messageOf } from '../errors.js';
import { findMount } from '../os/mount-table.js';
import { runCommand } from './command.js';
import { fileSystemType } from './file-system-type.js';
import { unmountPath } from './unmount.js';

const answerTimeoutMs = 3000;
/** Dead mounts may lie one above the other. */
const deadMountsMax = 100;

/** Whether the daemon behind the mount is gone. Asked by another process, as the answer may never come. */
async function isDead(mountPoint: string): Promise<boolean> {
  const { stderr } = await runCommand('stat', ['-f', '--', mountPoint], { timeoutMs: answerTimeoutMs });
  return /endpoint is not connected/i.test(stderr);
}

async function clearDeadMounts(mountPoint: string, log: (line: string) => void): Promise<void> {
  for (let i = 0; i < deadMountsMax; i += 1) {
    const mounted = findMount(mountPoint);
    if (mounted?.type !== fileSystemType) return;
    if (!(await isDead(mountPoint))) {
      throw new MountError('MOUNT_POINT', `${mountPoint}: ${mounted.source} is mounted here already; unmount it first`);
    }
    log(`${mountPoint}: unmounting what a daemon that is gone has left here`);
    await unmountPath(mountPoint, { lazy: true });
  }
}

async function checkDirectory(path: string, nonempty: boolean): Promise<void> {
  const directory = await opendir(path);
  const first = await directory.read().finally(() => directory.close());
  if (first === null || nonempty) return;
  throw new MountError('MOUNT_POINT', `${path} is not empty; choose an empty directory or mount with -o nonempty`);
}

function explain(path: string, error: unknown): unknown {
  if (error instanceof MountError) return error;
  const text: Record<string, string> = {
    ENOENT: 'does not exist; create it with mkdir first',
    ENOTDIR: 'is not a directory',
    EACCES: 'is not accessible for this user',
  };
  return new MountError('MOUNT_POINT', `mount point ${path} ${text[codeOf(error) ?? ''] ?? messageOf(error)}`, { cause: error });
}

/** The path without links in it, as the mount table will show it. Throws MOUNT_POINT. */
export async function prepareMountPoint(
  path: string,
  options: { nonempty: boolean; log: (line: string) => void },
): Promise<string> {
  try {
    // The last name is not looked at before the mount table was: what is mounted there may not answer.
    const unseen = join(await realpath(dirname(path)), basename(path));
    await clearDeadMounts(unseen, options.log);
    const mountPoint = await realpath(unseen);
    if (mountPoint !== unseen) await clearDeadMounts(mountPoint, options.log);
    await checkDirectory(mountPoint, options.nonempty);
    return mountPoint;
  } catch (error) {
    throw explain(path, error);
  }
}
