/** The access time, which tells garbage collection that a chunk is used. */
import { codeOf } from '../errors.js';
import { AT_FDCWD } from './directory-calls.js';
import { check, systemCalls, terminated } from './system-calls.js';

const AT_SYMLINK_NOFOLLOW = 0x100;
const UTIME_NOW = 0x3fff_ffff;
const UTIME_OMIT = 0x3fff_fffe;

const times = Buffer.alloc(32);
times.writeUInt32LE(UTIME_NOW, 8);
times.writeUInt32LE(UTIME_OMIT, 24);

/** Sets the access time to now and leaves the modification time. False if there is no such file. */
export function touchAccessTime(path: string): boolean {
  const name = Buffer.from(path);
  try {
    check(systemCalls().utimensat(AT_FDCWD, terminated(name), times, AT_SYMLINK_NOFOLLOW), 'utimensat', name);
    return true;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return false;
    throw error;
  }
}
