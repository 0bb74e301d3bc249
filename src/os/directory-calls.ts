/**
 * Files by the descriptor of their directory and a name in it, so that no link on the way leads elsewhere. Names are bytes; nothing here
 * follows a symbolic link unless `openAt` is called without O_NOFOLLOW. System errors are thrown as Node throws them.
 */
import { chmodSync, closeSync, fchmodSync } from 'node:fs';
import { constants } from 'node:os';
import { codeOf } from '../errors.js';
import type { FileTime } from './file-stat.js';
import { openFlags } from './open-flags.js';
import { check, pathBytesMax, systemCalls, systemError, terminated } from './system-calls.js';

/** In place of a directory: names are paths, from the working directory where they are relative. */
export const AT_FDCWD = -100;

const AT_SYMLINK_NOFOLLOW = 0x100;
const AT_REMOVEDIR = 0x200;
const AT_EMPTY_PATH = 0x1000;
const AT_SYMLINK_FOLLOW = 0x400;
const RENAME_NOREPLACE = 1;
const RENAME_EXCHANGE = 2;
const UTIME_OMIT = 0x3fff_fffe;
const deviceMajorMax = 0xfff;
const deviceMinorMax = 0xf_ffff;

/** O_CLOEXEC is added. `mode` is that of a file that is created, less the umask. */
export function openAt(directoryFd: number, name: Buffer, flags: number, mode = 0): number {
  return check(systemCalls().openat(directoryFd, terminated(name), flags | openFlags.O_CLOEXEC, mode), 'openat', name);
}

const target = Buffer.alloc(pathBytesMax + 1);

/** An empty name asks for the link that the descriptor (O_PATH) is of. */
export function readLinkAt(directoryFd: number, name: Buffer): Buffer {
  const length = check(systemCalls().readlinkat(directoryFd, terminated(name), target, target.length), 'readlinkat', name);
  return Buffer.from(target.subarray(0, length));
}

export function makeDirectoryAt(directoryFd: number, name: Buffer, mode: number): void {
  check(systemCalls().mkdirat(directoryFd, terminated(name), mode), 'mkdirat', name);
}

/** `mode` has the type in it: a fifo, socket, device or regular file. */
export function makeNodeAt(directoryFd: number, name: Buffer, mode: number, major = 0, minor = 0): void {
  if (major > deviceMajorMax || minor > deviceMinorMax) throw systemError(constants.errno.EINVAL, 'mknodat', name);
  const device = (minor & 0xff) + major * 0x100 + (minor >>> 8) * 0x10_0000;
  check(systemCalls().mknodat(directoryFd, terminated(name), mode, device), 'mknodat', name);
}

/** A second name for a file; an empty `fromName` stands for the descriptor itself (which needs CAP_DAC_READ_SEARCH). */
export function linkAt(fromFd: number, fromName: Buffer, toFd: number, toName: Buffer): void {
  const flags = fromName.length === 0 ? AT_EMPTY_PATH : 0;
  check(systemCalls().linkat(fromFd, terminated(fromName), toFd, terminated(toName, 'second'), flags), 'linkat', toName);
}

/** A name for what a descriptor is of, also one that never had a name (O_TMPFILE). Needs /proc. */
export function linkDescriptorAt(fd: number, toFd: number, toName: Buffer): void {
  const path = Buffer.from(`/proc/self/fd/${fd}`);
  check(systemCalls().linkat(AT_FDCWD, terminated(path), toFd, terminated(toName, 'second'), AT_SYMLINK_FOLLOW), 'linkat', toName);
}

export function symlinkAt(linkTarget: Buffer, directoryFd: number, name: Buffer): void {
  check(systemCalls().symlinkat(terminated(linkTarget), directoryFd, terminated(name, 'second')), 'symlinkat', name);
}

export function unlinkAt(directoryFd: number, name: Buffer): void {
  check(systemCalls().unlinkat(directoryFd, terminated(name), 0), 'unlinkat', name);
}

export function removeDirectoryAt(directoryFd: number, name: Buffer): void {
  check(systemCalls().unlinkat(directoryFd, terminated(name), AT_REMOVEDIR), 'unlinkat', name);
}

/** `noReplace`: EEXIST where the new name is taken. `exchange`: both names must be there, and change places. */
export function renameAt(
  fromFd: number,
  fromName: Buffer,
  toFd: number,
  toName: Buffer,
  { noReplace = false, exchange = false }: { readonly noReplace?: boolean; readonly exchange?: boolean } = {},
): void {
  const flags = (noReplace ? RENAME_NOREPLACE : 0) | (exchange ? RENAME_EXCHANGE : 0);
  check(systemCalls().renameat2(fromFd, terminated(fromName), toFd, terminated(toName, 'second'), flags), 'renameat2', toName);
}

/** An empty name stands for the descriptor itself. */
export function changeOwnerAt(directoryFd: number, name: Buffer, uid: number, gid: number): void {
  const flags = AT_SYMLINK_NOFOLLOW | (name.length === 0 ? AT_EMPTY_PATH : 0);
  check(systemCalls().fchownat(directoryFd, terminated(name), uid, gid, flags), 'fchownat', name);
}

/** Permissions of anything but a symbolic link (ENOTSUP). An empty name stands for the descriptor itself, also of O_PATH. */
export function changeModeAt(directoryFd: number, name: Buffer, permissions: number): void {
  if (name.length === 0) return changeModeOf(directoryFd, permissions);
  const fd = openAt(directoryFd, name, openFlags.O_PATH | openFlags.O_NOFOLLOW);
  try {
    chmodSync(`/proc/self/fd/${fd}`, permissions);
  } finally {
    closeSync(fd);
  }
}

function changeModeOf(fd: number, permissions: number): void {
  try {
    fchmodSync(fd, permissions);
  } catch (error) {
    if (codeOf(error) !== 'EBADF') throw error;
    chmodSync(`/proc/self/fd/${fd}`, permissions);
  }
}

const times = Buffer.alloc(32);
times.writeUInt32LE(UTIME_OMIT, 8);

/** Leaves the access time as it is. An empty name stands for the descriptor itself, which is not of O_PATH then. */
export function setTimesAt(directoryFd: number, name: Buffer, mtime: FileTime): void {
  times.writeInt32LE(Math.floor(mtime.sec / 0x1_0000_0000), 20);
  times.writeUInt32LE(((mtime.sec % 0x1_0000_0000) + 0x1_0000_0000) % 0x1_0000_0000, 16);
  times.writeUInt32LE(mtime.nsec, 24);
  const calls = systemCalls();
  const status =
    name.length === 0 ? calls.futimens(directoryFd, times) : calls.utimensat(directoryFd, terminated(name), times, AT_SYMLINK_NOFOLLOW);
  check(status, 'utimensat', name);
}

const entriesBytes = 0x1_0000;
const entries = Buffer.alloc(entriesBytes);
const entryTypeAt = 18;
const entryNameAt = 19;
/** A d_type is the type bits of st_mode, moved to the right. */
const entryTypeShift = 12;
const dot = 0x2e;

export interface DirectoryEntry {
  readonly name: Buffer;
  /** The type bits of st_mode, as the directory has them; 0: it does not say. */
  readonly type: number;
}

/** All names but `.` and `..`, in the order of the file system. The descriptor is opened for reading, and only that: not with O_PATH. */
export function namesIn(directoryFd: number): Buffer[] {
  return entriesIn(directoryFd).map(({ name }) => name);
}

/** As namesIn(), with what the names stood for when the directory was read. */
export function entriesIn(directoryFd: number): DirectoryEntry[] {
  const calls = systemCalls();
  check(calls.lseek(directoryFd, 0, 0), 'lseek');
  const found: DirectoryEntry[] = [];
  for (;;) {
    const length = check(calls.getdents64(directoryFd, entries, entriesBytes), 'getdents64');
    if (length === 0) return found;
    for (let at = 0; at < length; at += entries.readUInt16LE(at + 16)) {
      const name = entries.subarray(at + entryNameAt, entries.indexOf(0, at + entryNameAt));
      if (!isDot(name)) found.push({ name: Buffer.from(name), type: (entries[at + entryTypeAt] ?? 0) << entryTypeShift });
    }
  }
}

function isDot(name: Buffer): boolean {
  return name[0] === dot && (name.length === 1 || (name.length === 2 && name[1] === dot));
}
