/**
 * Integers of the catalog: 7 bits a byte, low group first, bit 7 says that more follows. A signed one that is negative is
 * its magnitude with bit 7 in every group, and a zero byte. Numbers are limited to 2^53 - 1. Format: pxar, section 5.2
 */
import { FormatError } from '../errors.js';
import type { Decoded } from './decoded.js';

export const varintBytesMax = 10;
export const svarintBytesMax = 11;

const moreFollows = 0x80;
const groupRange = 0x80;

export function decodeVarint(window: Buffer, at = 0): Decoded<number> {
  return decodeGroups(window, at, varintBytesMax, false);
}

export function decodeSvarint(window: Buffer, at = 0): Decoded<number> {
  return decodeGroups(window, at, svarintBytesMax, true);
}

export function encodeVarint(value: number): Buffer {
  if (!Number.isSafeInteger(value) || value < 0)
    throw new FormatError('LIMIT_EXCEEDED', `${value} is no integer from 0 to 2^53 - 1`);
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= groupRange; rest = Math.floor(rest / groupRange)) bytes.push((rest % groupRange) | moreFollows);
  bytes.push(rest);
  return Buffer.from(bytes);
}

export function encodeSvarint(value: number): Buffer {
  if (value >= 0) return encodeVarint(value);
  const magnitude = encodeVarint(-value);
  return Buffer.from([...magnitude.map((byte) => byte | moreFollows), 0]);
}

function decodeGroups(window: Buffer, at: number, bytesMax: number, signed: boolean): Decoded<number> {
  let value = 0;
  let scale = 1;
  for (let bytes = 1; bytes <= bytesMax; bytes += 1) {
    const byte = window[at + bytes - 1];
    if (byte === undefined) return { needBytes: at + bytes };
    const negative = signed && byte === 0 && bytes > 1;
    value += (byte % groupRange) * scale;
    if (byte < moreFollows) return { value: checkSafe(negative ? -value : value), bytes };
    scale *= groupRange;
  }
  throw new FormatError('BAD_STRUCTURE', `an integer of the catalog has more than ${bytesMax} bytes`);
}

function checkSafe(value: number): number {
  if (Number.isSafeInteger(value)) return value;
  throw new FormatError('LIMIT_EXCEEDED', 'an integer of the catalog is beyond 2^53 - 1');
}
