/** What statx(2) says about a file. */
import { constants } from 'node:os';
import { FileError } from '../errors.js';
import { check, systemCalls, terminated } from './system-calls.js';

export interface FileTime {
  /** May be negative. */
  readonly sec: number;
  /** 0..999999999, counted forward from `sec`. */
  readonly nsec: number;
}

export interface FileStat {
  /** Type and permissions. */
  readonly mode: number;
  readonly nlink: number;
  readonly uid: number;
  readonly gid: number;
  readonly rdevMajor: number;
  readonly rdevMinor: number;
  /** Bytes. */
  readonly size: number;
  /** Of 512 bytes. */
  readonly blocks: number;
  readonly ino: bigint;
  /** `major:minor` of the file system. */
  readonly dev: string;
  /** 0 before Linux 5.8. */
  readonly mountId: bigint;
  readonly mtime: FileTime;
  readonly atime: FileTime;
  readonly ctime: FileTime;
}

const AT_SYMLINK_NOFOLLOW = 0x100;
const AT_NO_AUTOMOUNT = 0x800;
const AT_EMPTY_PATH = 0x1000;
const STATX_BASIC_STATS = 0x7ff;
const STATX_MNT_ID = 0x1000;
const statxBytes = 256;

const result = Buffer.alloc(statxBytes);
/** Almost every file has the device of the one before. */
let lastDevice = { major: -1, minor: -1, text: '' };

/** Of the file itself where it is a symbolic link. An empty name asks for what the descriptor is of, also if it is opened with O_PATH. */
export function statAt(directoryFd: number, name: Buffer): FileStat {
  check(readStat(directoryFd, name), 'statx', name);
  return statOfResult(name);
}

/** The same, or undefined if nothing is called so. */
export function statIfThere(directoryFd: number, name: Buffer): FileStat | undefined {
  const status = readStat(directoryFd, name);
  // Without an error that is thrown and caught: a name that is not there is what is asked for most often.
  if (status < 0 && systemCalls().errno() === constants.errno.ENOENT) return undefined;
  check(status, 'statx', name);
  return statOfResult(name);
}

function readStat(directoryFd: number, name: Buffer): number {
  const flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | (name.length === 0 ? AT_EMPTY_PATH : 0);
  return systemCalls().statx(directoryFd, terminated(name), flags, STATX_BASIC_STATS | STATX_MNT_ID, result);
}

function statOfResult(name: Buffer): FileStat {
  return {
    mode: result.readUInt16LE(28),
    nlink: result.readUInt32LE(16),
    uid: result.readUInt32LE(20),
    gid: result.readUInt32LE(24),
    rdevMajor: result.readUInt32LE(128),
    rdevMinor: result.readUInt32LE(132),
    size: safe(unsigned(40), name),
    blocks: safe(unsigned(48), name),
    ino: result.readBigUInt64LE(32),
    dev: deviceText(result.readUInt32LE(136), result.readUInt32LE(140)),
    mountId: result.readBigUInt64LE(144),
    mtime: time(112),
    atime: time(64),
    ctime: time(96),
  };
}

function unsigned(at: number): number {
  return result.readUInt32LE(at + 4) * 0x1_0000_0000 + result.readUInt32LE(at);
}

function time(at: number): FileTime {
  return { sec: result.readInt32LE(at + 4) * 0x1_0000_0000 + result.readUInt32LE(at), nsec: result.readUInt32LE(at + 8) };
}

function safe(value: number, name: Buffer): number {
  if (!Number.isSafeInteger(value)) throw new FileError('INVALID_ARGUMENT', `${name.toString()}: its size is beyond 2^53 bytes`);
  return value;
}

function deviceText(major: number, minor: number): string {
  if (major !== lastDevice.major || minor !== lastDevice.minor) lastDevice = { major, minor, text: `${major}:${minor}` };
  return lastDevice.text;
}
