/** Making a whole file system durable. */
import { constants } from 'node:os';
import { check, systemCalls, systemError } from './system-calls.js';

/** Writes everything of the file system that the descriptor is on; errors since the descriptor was opened are thrown. */
export function syncFileSystem(fd: number): void {
  check(systemCalls().syncfs(fd), 'syncfs');
}

type Callback = (error: Error | null, result: number) => void;

/** The same on another thread, which takes as long as the disk does. Whatever the failure was, it is EIO. */
export function syncFileSystemAside(fd: number): Promise<void> {
  const { async: call } = systemCalls().syncfs as unknown as { async: (fd: number, done: Callback) => void };
  return new Promise((resolve, reject) => {
    call(fd, (error, result) => {
      if (error === null && result === 0) resolve();
      else reject(error ?? systemError(constants.errno.EIO, 'syncfs'));
    });
  });
}
