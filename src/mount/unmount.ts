/** Unmounts a datastore from outside of its daemon, and says who keeps one busy. */
import { realpath } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { MountError, codeOf } from '../errors.js';
import { fileSystemType } from '../fuse/file-system-type.js';
import { unmountPath } from '../fuse/unmount.js';
import { findMount } from '../os/mount-table.js';
import { pathHolders } from '../os/path-holders.js';

const holdersShownMax = 10;

/**
 * `lazy` frees the mount point at once and leaves what is open readable. Throws NOT_MOUNTED, NO_PRIVILEGE, MOUNT_FAILED, and
 * BUSY with the processes that are in the way.
 */
export async function unmountDatastore(path: string, { lazy }: { lazy: boolean }): Promise<void> {
  const mountPoint = await mountPointOf(path);
  const mounted = findMount(mountPoint);
  if (mounted === undefined) throw new MountError('NOT_MOUNTED', `nothing is mounted on ${path}; pbsfs status lists what is`);
  if (mounted.type !== fileSystemType) {
    throw new MountError('NOT_MOUNTED', `what is mounted on ${path} is ${mounted.type}, not a datastore; use umount`);
  }
  try {
    await unmountPath(mountPoint, { lazy });
  } catch (error) {
    if (codeOf(error) !== 'BUSY') throw error;
    throw new MountError('BUSY', `${await busyText(mountPoint)}; end them, or free the mount point now with --lazy`, { cause: error });
  }
}

/** `/mnt/pbs is in use by 4711 (bash: cwd /mnt/pbs/vm)`. */
export async function busyText(mountPoint: string): Promise<string> {
  const holders = await pathHolders(mountPoint);
  const shown = holders.slice(0, holdersShownMax).map(({ pid, command, what }) => (pid === undefined ? `${command} (${what})` : `${pid} (${command}: ${what})`));
  const more = holders.length > shown.length ? ` and ${holders.length - shown.length} more` : '';
  return `${mountPoint} is in use by ${shown.length === 0 ? 'a process that this user can not see' : `${shown.join(', ')}${more}`}`;
}

/** The path as the mount table has it. What is mounted is not touched: its daemon may not answer. */
async function mountPointOf(path: string): Promise<string> {
  const typed = resolve(path);
  if (findMount(typed) !== undefined) return typed;
  try {
    const unseen = join(await realpath(dirname(typed)), basename(typed));
    return findMount(unseen) === undefined ? await realpath(unseen) : unseen;
  } catch {
    return typed;
  }
}
