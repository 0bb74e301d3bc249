import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import type { Decoded } from '../../src/format/decoded.js';
import { decodeSvarint, decodeVarint, encodeSvarint, encodeVarint } from '../../src/format/varint.js';
import { resultOrCode } from '../support/damage.js';
import { seed } from '../support/random.js';

const hex = (text: string): Buffer => Buffer.from(text, 'hex');

describe('unsigned', () => {
  test.each([
    [0, '00'],
    [127, '7f'],
    [128, '8001'],
    [300, 'ac02'],
    [1700000001, '81e2cfaa06'],
    [2 ** 53 - 1, 'ffffffffffffff0f'],
  ])('%i', (value, bytes) => {
    expect(encodeVarint(value)).toEqual(hex(bytes));
    expect(decodeVarint(hex(bytes))).toEqual({ value, bytes: bytes.length / 2 });
  });

  it('beyond 2^53, longer than any, or cut off', () => {
    expect(resultOrCode('u64', () => decodeVarint(hex('ffffffffffffffffff01')))).toEqual({ code: 'LIMIT_EXCEEDED' });
    expect(resultOrCode('2^53', () => decodeVarint(hex('8080808080808010')))).toEqual({ code: 'LIMIT_EXCEEDED' });
    expect(resultOrCode('11 bytes', () => decodeVarint(Buffer.alloc(11, 0x80)))).toEqual({ code: 'BAD_STRUCTURE' });
    expect(decodeVarint(Buffer.alloc(0))).toEqual({ needBytes: 1 });
    expect(decodeVarint(hex('8080'))).toEqual({ needBytes: 3 });
    expect(resultOrCode('-1', () => encodeVarint(-1))).toEqual({ code: 'LIMIT_EXCEEDED' });
    expect(resultOrCode('0.5', () => encodeVarint(0.5))).toEqual({ code: 'LIMIT_EXCEEDED' });
  });

  it('ends where a zero byte does', () => {
    expect(decodeVarint(hex('8000'))).toEqual({ value: 0, bytes: 2 });
  });
});

describe('signed', () => {
  test.each([
    [0, '00'],
    [127, '7f'],
    [1700000001, '81e2cfaa06'],
    [-1, '8100'],
    [-127, 'ff00'],
    [-128, '808100'],
    [-300, 'ac8200'],
    [-1234567890, 'd285d8cc8400'],
    [-(2 ** 53) + 1, 'ffffffffffffff8f00'],
  ])('%i', (value, bytes) => {
    expect(encodeSvarint(value)).toEqual(hex(bytes));
    expect(decodeSvarint(hex(bytes))).toEqual({ value, bytes: bytes.length / 2 });
  });

  it('beyond 2^53 or longer than any', () => {
    expect(resultOrCode('2^63 - 1', () => decodeSvarint(hex('ffffffffffffffff7f')))).toEqual({ code: 'LIMIT_EXCEEDED' });
    expect(resultOrCode('-2^63', () => decodeSvarint(hex('8080808080808080808100')))).toEqual({ code: 'LIMIT_EXCEEDED' });
    expect(resultOrCode('12 bytes', () => decodeSvarint(Buffer.alloc(12, 0x80)))).toEqual({ code: 'BAD_STRUCTURE' });
  });
});

it('any number comes back, from no fewer bytes', () => {
  const check = (encoded: Buffer, decode: (window: Buffer, at: number) => Decoded<number>, value: number): void => {
    const shifted = Buffer.concat([Buffer.alloc(3, 0xff), encoded, Buffer.alloc(2)]);
    expect(decode(shifted, 3)).toEqual({ value, bytes: encoded.length });
    for (let length = 0; length < encoded.length; length++) {
      expect(decode(encoded.subarray(0, length), 0)).toEqual({ needBytes: length + 1 });
    }
  };
  fc.assert(
    fc.property(fc.oneof(fc.maxSafeInteger(), fc.integer()), (value) => {
      check(encodeVarint(Math.abs(value)), decodeVarint, Math.abs(value));
      check(encodeSvarint(value), decodeSvarint, value);
    }),
    { seed },
  );
});
