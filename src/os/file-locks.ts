/** Locks that other programs see too. They last until the last copy of the descriptor is closed, and never wait. */
import { constants } from 'node:os';
import { check, systemCalls } from './system-calls.js';

export type LockKind = 'shared' | 'exclusive';

const { EAGAIN, EACCES, EWOULDBLOCK } = constants.errno;
const LOCK_NB = 4;
const lockOperations = { shared: 1, exclusive: 2 } as const;
const F_OFD_SETLK = 37;
const recordTypes = { shared: 0, exclusive: 1 } as const;

/** flock(2). False: others hold it. A lock that is held already is changed to `kind`. */
export function tryLock(fd: number, kind: LockKind): boolean {
  return taken(systemCalls().flock(fd, lockOperations[kind] | LOCK_NB), 'flock');
}

/** struct flock of all bytes: type, whence, start, length, process. */
const record = Buffer.alloc(32);

/**
 * Locks of fcntl(2) on the whole file, bound to the open file (F_OFD_SETLK), so that no other descriptor of this process that is closed
 * gives them up. They keep out and are kept out by those of F_SETLK. False: others hold it. 'exclusive' needs a descriptor to write.
 */
export function tryLockRecords(fd: number, kind: LockKind): boolean {
  record.fill(0);
  record.writeInt16LE(recordTypes[kind], 0);
  return taken(systemCalls().fcntl(fd, F_OFD_SETLK, record), 'fcntl');
}

function taken(result: number, syscall: string): boolean {
  if (result === 0) return true;
  const errno = systemCalls().errno();
  if (errno === EAGAIN || errno === EACCES || errno === EWOULDBLOCK) return false;
  check(result, syscall);
  return true;
}
