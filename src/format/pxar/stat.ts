/** ENTRY (56 bytes) and its forerunner ENTRY_V1 (nanoseconds in one number), which is read only. Format: pxar, section 1.3 */
import { FormatError } from '../../errors.js';
import type { PxarTime } from './entry.js';
import { writeInt64 } from '../uint64.js';
import { encodeItem } from './item.js';
import { readSafeI64, readU32OfU64, writeU64, type U64 } from './u64.js';

export interface PxarStat {
  readonly mode: number;
  readonly flags: U64;
  readonly uid: number;
  readonly gid: number;
  readonly mtime: PxarTime;
}

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

export function encodeStat({ mode, flags, uid, gid, mtime }: PxarStat): Buffer {
  checkNsec(mtime.nsec);
  const content = Buffer.alloc(40);
  writeInt64(content, mode, 0);
  writeU64(content, flags, 8);
  content.writeUInt32LE(uid, 16);
  content.writeUInt32LE(gid, 20);
  writeInt64(content, mtime.sec, 24);
  content.writeUInt32LE(mtime.nsec, 32);
  return encodeItem('ENTRY', content);
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
