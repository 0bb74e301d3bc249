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

/** As lseek(2) says it: ENXIO at or behind the end, and where no data follows. */
export function seekTo(what: 'data' | 'hole', fd: number, offset: number): number {
  return check(systemCalls().lseek(fd, offset, what === 'data' ? SEEK_DATA : SEEK_HOLE), 'lseek');
}

export type AllocationKind = 'reserve' | 'zero' | 'punch';

const allocationModes: Record<AllocationKind, number> = {
  reserve: 0,
  zero: FALLOC_FL_ZERO_RANGE,
  punch: FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
};

/** fallocate(2): space for the range, also as zeros, or (`punch`) a hole. EOPNOTSUPP where the file system cannot. */
export function allocateRange(fd: number, kind: AllocationKind, { offset, length, keepSize }: FileRange & { readonly keepSize: boolean }): void {
  check(systemCalls().fallocate(fd, allocationModes[kind] | (keepSize ? FALLOC_FL_KEEP_SIZE : 0), offset, length), 'fallocate');
}

export interface FileRange {
  /** Bytes. */
  readonly offset: number;
  readonly length: number;
}

const offsets = { from: Buffer.alloc(8), to: Buffer.alloc(8) } as const;

/** copy_file_range(2), in the kernel or as shared blocks: how many bytes were copied, 0 at the end of the source. */
export function copyRange(from: number, { offset, length }: FileRange, to: number, toOffset: number): number {
  offsets.from.writeBigInt64LE(BigInt(offset));
  offsets.to.writeBigInt64LE(BigInt(toOffset));
  return check(systemCalls().copy_file_range(from, offsets.from, to, offsets.to, length, 0), 'copy_file_range');
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
