/** 64-bit integers of pxar beyond those of ../uint64.ts: as two unsigned halves, and fields whose values are limited. */
import { FormatError } from '../../errors.js';
import { readInt64 } from '../uint64.js';

export interface U64 {
  readonly hi: number;
  readonly lo: number;
}

export function writeU64(bytes: Buffer, value: U64, offset: number): void {
  bytes.writeUInt32LE(value.lo, offset);
  bytes.writeUInt32LE(value.hi, offset + 4);
}

/** A u64 that holds at most 2^32 - 1. */
export function readU32OfU64(bytes: Buffer, offset: number, what: string): number {
  if (bytes.readUInt32LE(offset + 4) !== 0) throw new FormatError('LIMIT_EXCEEDED', `${what} is larger than 2^32 - 1`);
  return bytes.readUInt32LE(offset);
}

export function readSafeI64(bytes: Buffer, offset: number, what: string): number {
  const value = readInt64(bytes, offset);
  if (!Number.isSafeInteger(value)) throw new FormatError('LIMIT_EXCEEDED', `${what} is beyond 2^53 - 1`);
  return value;
}
