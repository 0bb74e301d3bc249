/** Takes a mount out of the tree. None of these commands sends a request to the daemon. */
import { MountError } from '../errors.js';
import { runCommand } from './command.js';

const unmountTimeoutMs = 30_000;

export const isRoot = (): boolean => process.geteuid?.() === 0;

/** The command that unmounts lazily, as a list of words before the mount point. */
export function lazyUnmountCommand(): readonly string[] {
  return isRoot() ? ['umount', '-c', '-l', '--'] : ['fusermount3', '-u', '-z', '--'];
}

/** `mountPoint` is absolute and has no links in it. Throws BUSY, NOT_MOUNTED, NO_PRIVILEGE or MOUNT_FAILED. */
export async function unmountPath(mountPoint: string, { lazy }: { lazy: boolean }): Promise<void> {
  const words = lazy ? lazyUnmountCommand() : isRoot() ? ['umount', '-c', '--'] : ['fusermount3', '-u', '--'];
  const [program = '', ...args] = words;
  const result = await runCommand(program, [...args, mountPoint], { timeoutMs: unmountTimeoutMs });
  if (result.status === 0) return;
  if (result.missing) {
    throw new MountError('NO_PRIVILEGE', `${program} is not installed: it unmounts for ordinary users (apt install fuse3)`);
  }
  const why = result.timedOut ? `${program} did not end` : result.stderr;
  if (/busy/i.test(why)) throw new MountError('BUSY', `${mountPoint} is in use`);
  if (/not mounted|not found in|no mount point|no such file/i.test(why)) {
    throw new MountError('NOT_MOUNTED', `${mountPoint} is not mounted: ${why}`);
  }
  if (/not permitted|permission|superuser/i.test(why)) {
    throw new MountError('NO_PRIVILEGE', `${mountPoint} cannot be unmounted by this user: ${why}`);
  }
  throw new MountError('MOUNT_FAILED', `${mountPoint} cannot be unmounted: ${why}`);
}
