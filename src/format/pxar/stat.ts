/** ENTRY (56 bytes) and its forerunner ENTRY_V1 (nanoseconds in one number), which is read only. Format: pxar, section 1.3 */
import { FormatError } from '../../errors.js';
import type { PxarTime } from './entry.js';
import { writeInt64 } from '../uint64.js';
import { itemHeaderBytes, itemKinds, writeItemHeader } from './item.js';
import { readSafeI64, readU32OfU64, writeU64, type U64 } from './u64.js';

export interface PxarStat {
  readonly mode: number;
  readonly flags: U64;
  readonly uid: number;
  readonly gid: number;
  readonly mtime: PxarTime;
}

const contentBytes = itemKinds.ENTRY.contentBytesMin;
/** Of an ENTRY item. */
export const statItemBytes = itemHeaderBytes + contentBytes;

const modeMax = 0o177777;
const nsecPerSec = 1_000_000_000;
const noFlags: U64 = Object.freeze({ hi: 0, lo: 0 });

/** The content at offset `at`, whose size is already known to be right for the type. */
export function decodeStat(type: 'ENTRY' | 'ENTRY_V1', window: Buffer, at: number): PxarStat {
  const mode = readU32OfU64(window, at, 'a mode');
  if (mode > modeMax) throw new FormatError('BAD_STRUCTURE', `0o${mode.toString(8)} is no file mode`);
  const lo = window.readUInt32LE(at + 8);
  const hi = window.readUInt32LE(at + 12);
  return {
    mode,
    flags: lo === 0 && hi === 0 ? noFlags : { hi, lo },
    uid: window.readUInt32LE(at + 16),
    gid: window.readUInt32LE(at + 20),
    mtime: type === 'ENTRY' ? decodeTime(window, at + 24) : decodeNanoseconds(window, at + 24),
  };
}

/** An ENTRY item to offset `at`; gives where it ends. */
export function writeStat(target: Buffer, at: number, { mode, flags, uid, gid, mtime }: PxarStat): number {
  checkNsec(mtime.nsec);
  const content = writeItemHeader(target, at, 'ENTRY', contentBytes);
  writeInt64(target, mode, content);
  writeU64(target, flags, content + 8);
  target.writeUInt32LE(uid, content + 16);
  target.writeUInt32LE(gid, content + 20);
  writeInt64(target, mtime.sec, content + 24);
  target.writeUInt32LE(mtime.nsec, content + 32);
  target.writeUInt32LE(0, content + 36);
  return content + contentBytes;
}

function decodeTime(window: Buffer, at: number): PxarTime {
  const nsec = window.readUInt32LE(at + 8);
  checkNsec(nsec);
  return { sec: readSafeI64(window, at, 'a time'), nsec };
}

function decodeNanoseconds(window: Buffer, at: number): PxarTime {
  const total = window.readBigUInt64LE(at);
  return { sec: Number(total / BigInt(nsecPerSec)), nsec: Number(total % BigInt(nsecPerSec)) };
}

function checkNsec(nsec: number): void {
  if (nsec >= nsecPerSec) throw new FormatError('BAD_STRUCTURE', `a time has ${nsec} nanoseconds, more than a second`);
}
