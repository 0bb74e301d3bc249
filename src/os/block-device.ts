/** Block devices. Format: linux/fs.h. */
import { FileError } from '../errors.js';
import { check, systemCalls } from './system-calls.js';

const BLKGETSIZE64 = 0x8008_1272;
const size = Buffer.alloc(8);

/** ENOTTY if it is none. */
export function blockDeviceBytes(fd: number): number {
  check(systemCalls().ioctl(fd, BLKGETSIZE64, size), 'ioctl');
  const bytes = Number(size.readBigUInt64LE());
  if (!Number.isSafeInteger(bytes)) throw new FileError('INVALID_ARGUMENT', 'a block device of more than 2^53 bytes');
  return bytes;
}
