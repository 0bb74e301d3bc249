/** Where a file has data and where holes; and making holes. The file's own position is moved: read and write at positions. */
import { constants } from 'node:os';
import { check, systemCalls } from './system-calls.js';

const { EINVAL, ENODEV, ENOSYS, ENXIO, EOPNOTSUPP } = constants.errno;
const SEEK_END = 2;
const SEEK_DATA = 3;
const SEEK_HOLE = 4;
const FALLOC_FL_KEEP_SIZE = 1;
const FALLOC_FL_PUNCH_HOLE = 2;
const FALLOC_FL_ZERO_RANGE = 0x10;

/** The first byte from `offset` on that is data; undefined if only a hole or the end follows. Where holes are not known all is data. */
export function nextData(fd: number, offset: number): number | undefined {
  const calls = systemCalls();
  const found = calls.lseek(fd, offset, SEEK_DATA);
  if (found >= 0) return Number(found);
  const errno = calls.errno();
  if (errno === ENXIO) return undefined;
  if (errno !== EINVAL) check(found, 'lseek');
  return offset < endOf(fd) ? offset : undefined;
}

/** The first byte from `offset` on that is in a hole; the end of the file counts as one. `offset` must not be behind the end. */
export function nextHole(fd: number, offset: number): number {
  const calls = systemCalls();
  const found = calls.lseek(fd, offset, SEEK_HOLE);
  if (found >= 0) return Number(found);
  const errno = calls.errno();
  if (errno !== EINVAL && errno !== ENXIO) check(found, 'lseek');
  return endOf(fd);
}

function endOf(fd: number): number {
  return check(systemCalls().lseek(fd, 0, SEEK_END), 'lseek');
}

/**
 * Makes the range read as zeros without writing them, in a file (whose size stays) or on a block device. False: this file system, device
 * or alignment does not allow it, nothing was changed.
 */
export function discardRange(fd: number, offset: number, length: number): boolean {
  const calls = systemCalls();
  for (const mode of [FALLOC_FL_PUNCH_HOLE, FALLOC_FL_ZERO_RANGE]) {
    const status = calls.fallocate(fd, mode | FALLOC_FL_KEEP_SIZE, offset, length);
    if (status === 0) return true;
    const errno = calls.errno();
    if (![EOPNOTSUPP, EINVAL, ENODEV, ENOSYS].includes(errno)) check(status, 'fallocate');
  }
  return false;
}
