import fc from 'fast-check';
import { expect, test } from 'vitest';
import { readInt64, readUint64, writeInt64 } from '../../src/format/uint64.js';

test('is what bigint says, up to 2^53-1', () => {
  const limit = BigInt(Number.MAX_SAFE_INTEGER);
  fc.assert(
    fc.property(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), (value) => {
      const bytes = Buffer.alloc(9);
      bytes.writeBigUInt64LE(value, 1);
      if (value <= limit) expect(readUint64(bytes, 1, 'a size')).toBe(Number(value));
      else expect(() => readUint64(bytes, 1, 'a size')).toThrow(expect.objectContaining({ code: 'LIMIT_EXCEEDED' }));
    }),
    { examples: [[0n], [limit], [limit + 1n], [2n ** 32n - 1n], [2n ** 32n], [2n ** 64n - 1n]] },
  );
});

test('signed numbers come back', () => {
  fc.assert(
    fc.property(fc.maxSafeInteger(), (value) => {
      const bytes = Buffer.alloc(8);
      writeInt64(bytes, value, 0);
      expect(bytes.readBigInt64LE()).toBe(BigInt(value));
      expect(readInt64(bytes, 0)).toBe(value);
    }),
    { examples: [[0], [-1], [Number.MAX_SAFE_INTEGER], [Number.MIN_SAFE_INTEGER], [-(2 ** 32)]] },
  );
  expect(() => { writeInt64(Buffer.alloc(8), 0.5, 0); }).toThrow(expect.objectContaining({ code: 'LIMIT_EXCEEDED' }));
});
