/** Opens /dev/fuse. */
import { closeSync, openSync } from 'node:fs';
import { MountError, codeOf, messageOf } from '../errors.js';

const path = '/dev/fuse';

/** Throws NO_FUSE or NO_PRIVILEGE. */
export function openFuseDevice(): number {
  try {
    return openSync(path, 'r+');
  } catch (error) {
    const code = codeOf(error);
    if (code === 'EACCES' || code === 'EPERM') {
      throw new MountError('NO_PRIVILEGE', `no permission on ${path}: as root, run chmod 666 ${path}, or mount as root`, {
        cause: error,
      });
    }
    const hint = 'load the kernel module (modprobe fuse), or let the container have the device';
    throw new MountError('NO_FUSE', `${path} cannot be opened (${messageOf(error)}): ${hint}`, { cause: error });
  }
}

/** Throws what opening it throws. */
export function checkFuseDevice(): void {
  closeSync(openFuseDevice());
}
