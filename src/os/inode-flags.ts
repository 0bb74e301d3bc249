/**
 * Attributes that chattr(1), quota projects and FAT know, by ioctl on a file that is open for reading. Where a file system does not know
 * them: ENOTTY, EOPNOTSUPP, EINVAL or ENOSYS. Format: linux/fs.h, linux/msdos_fs.h.
 */
import { check, systemCalls } from './system-calls.js';

const FS_IOC_GETFLAGS = 0x8008_6601;
const FS_IOC_SETFLAGS = 0x4008_6602;
const FS_IOC_FSGETXATTR = 0x801c_581f;
const FS_IOC_FSSETXATTR = 0x401c_5820;
const FAT_IOCTL_GET_ATTRIBUTES = 0x8004_7210;
const FAT_IOCTL_SET_ATTRIBUTES = 0x4004_7211;
/** Of struct fsxattr. */
const projectIdAt = 12;

const word = Buffer.alloc(8);
const extended = Buffer.alloc(28);

/** FS_*_FL bits. */
export function getInodeFlags(fd: number): number {
  return read(fd, FS_IOC_GETFLAGS);
}

/** Sets and clears: `flags` are all that the file has afterwards. */
export function setInodeFlags(fd: number, flags: number): void {
  write(fd, FS_IOC_SETFLAGS, flags);
}

/** ATTR_* bits of FAT. */
export function getFatAttributes(fd: number): number {
  return read(fd, FAT_IOCTL_GET_ATTRIBUTES);
}

export function setFatAttributes(fd: number, attributes: number): void {
  write(fd, FAT_IOCTL_SET_ATTRIBUTES, attributes);
}

/** 0: none. */
export function getProjectId(fd: number): number {
  check(systemCalls().ioctl(fd, FS_IOC_FSGETXATTR, extended), 'ioctl');
  return extended.readUInt32LE(projectIdAt);
}

export function setProjectId(fd: number, id: number): void {
  check(systemCalls().ioctl(fd, FS_IOC_FSGETXATTR, extended), 'ioctl');
  extended.writeUInt32LE(id, projectIdAt);
  check(systemCalls().ioctl(fd, FS_IOC_FSSETXATTR, extended), 'ioctl');
}

function read(fd: number, request: number): number {
  word.fill(0);
  check(systemCalls().ioctl(fd, request, word), 'ioctl');
  return word.readUInt32LE(0);
}

function write(fd: number, request: number, value: number): void {
  word.fill(0);
  word.writeUInt32LE(value >>> 0, 0);
  check(systemCalls().ioctl(fd, request, word), 'ioctl');
}
