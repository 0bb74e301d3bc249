/** Format: datastore, section 0: 64-bit little-endian integers as numbers, without bigint. */
import { FormatError } from '../errors.js';

const two32 = 0x1_0000_0000;
const highMax = 0x1f_ffff;

/** The u64 at `offset`; LIMIT_EXCEEDED above 2^53-1, where a number is no longer exact. */
export function readUint64(bytes: Buffer, offset: number, what: string): number {
  const high = bytes.readUInt32LE(offset + 4);
  if (high > highMax) {
    throw new FormatError('LIMIT_EXCEEDED', `${what} at offset ${offset} is larger than 2^53-1`);
  }
  return high * two32 + bytes.readUInt32LE(offset);
}

/** The i64 at `offset`, rounded where it is beyond 2^53: for times that nothing computes with. */
export function readInt64(bytes: Buffer, offset: number): number {
  return bytes.readInt32LE(offset + 4) * two32 + bytes.readUInt32LE(offset);
}

/** `value` is an integer of at most 2^53-1; negative ones are written in two's complement. */
export function writeInt64(bytes: Buffer, value: number, offset: number): void {
  if (!Number.isSafeInteger(value)) throw new FormatError('LIMIT_EXCEEDED', `${value} is no integer within 2^53-1`);
  const high = Math.floor(value / two32);
  bytes.writeInt32LE(high, offset + 4);
  bytes.writeUInt32LE(value - high * two32, offset);
}
