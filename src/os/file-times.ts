/** Access and modification times of anything, by the descriptor of its directory and its name. Format: utimensat(2). */
import type { FileTime } from './file-stat.js';
import { AT_FDCWD } from './directory-calls.js';
import { check, systemCalls, terminated } from './system-calls.js';

/** What is absent stays. */
export interface FileTimes {
  readonly atime?: FileTime | 'now';
  readonly mtime?: FileTime | 'now';
}

const AT_SYMLINK_NOFOLLOW = 0x100;
const UTIME_NOW = 0x3fff_ffff;
const UTIME_OMIT = 0x3fff_fffe;
const nanosecondsMax = 999_999_999;

/** Two struct timespec. */
const times = Buffer.alloc(32);

function write(at: number, time: FileTime | 'now' | undefined): void {
  if (typeof time === 'object') {
    times.writeBigInt64LE(BigInt(time.sec), at);
    times.writeBigInt64LE(BigInt(Math.min(time.nsec, nanosecondsMax)), at + 8);
  } else {
    times.writeBigInt64LE(0n, at);
    times.writeBigInt64LE(BigInt(time === undefined ? UTIME_OMIT : UTIME_NOW), at + 8);
  }
}

/** Of a symbolic link itself. An empty name stands for what the descriptor is of, also one of O_PATH (needs /proc then). */
export function setFileTimes(directoryFd: number, name: Buffer, { atime, mtime }: FileTimes): void {
  write(0, atime);
  write(16, mtime);
  const status =
    name.length === 0
      ? systemCalls().utimensat(AT_FDCWD, terminated(Buffer.from(`/proc/self/fd/${directoryFd}`)), times, 0)
      : systemCalls().utimensat(directoryFd, terminated(name), times, AT_SYMLINK_NOFOLLOW);
  check(status, 'utimensat', name);
}
