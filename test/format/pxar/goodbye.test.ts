import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import { slotsInOrder } from '../../../src/format/pxar/binary-tree.js';
import { compareHashes, decodeGoodbyeTable, decodeGoodbyeTail } from '../../../src/format/pxar/goodbye.js';
import { encodeGoodbye, type GoodbyeChild } from '../../../src/format/pxar/goodbye-encoder.js';
import { resultOrCode } from '../../support/damage.js';
import { seed } from '../../support/random.js';

const frame = { goodbyePosition: 1_000_000, entryPosition: 1000 };

function codeOf(run: () => unknown): string | undefined {
  const result = resultOrCode('decoding', run);
  return 'code' in result ? result.code : undefined;
}

/** Children whose hash is their number. */
function children(count: number): GoodbyeChild[] {
  return Array.from({ length: count }, (_, index) => ({ hash: { hi: 0, lo: index }, position: 2000 + 100 * index, size: 100 }));
}

describe('the order of slots', () => {
  test.each<[string]>([
    ['0'],
    ['1 0'],
    ['1 0 2'],
    ['2 1 3 0'],
    ['3 1 4 0 2'],
    ['3 1 5 0 2 4'],
    ['3 1 5 0 2 4 6'],
    ['4 2 6 1 3 5 7 0'],
    ['5 3 7 1 4 6 8 0 2'],
    ['6 3 8 1 5 7 9 0 2 4'],
    ['7 3 9 1 5 8 10 0 2 4 6'],
    ['7 3 10 1 5 9 11 0 2 4 6 8'],
    ['7 3 11 1 5 9 12 0 2 4 6 8 10'],
    ['7 3 11 1 5 9 13 0 2 4 6 8 10 12'],
    ['7 3 11 1 5 9 13 0 2 4 6 8 10 12 14'],
    ['8 4 12 2 6 10 14 1 3 5 7 9 11 13 15 0'],
    ['9 5 13 3 7 11 15 1 4 6 8 10 12 14 16 0 2'],
  ])('is %s', (order) => {
    const expected = order.split(' ').map(Number);
    const table = decodeGoodbyeTable(encodeGoodbye(children(expected.length), frame));
    expect(expected.map((_, slot) => table.hash(slot).lo)).toEqual(expected);
  });

  it('uses every slot once, for all sizes up to 3000', () => {
    for (let count = 0; count <= 3000; count += count < 70 ? 1 : 37) {
      const slots = [...slotsInOrder(count)];
      expect(slots.toSorted((a, b) => a - b)).toEqual([...Array(count).keys()]);
    }
  });
});

describe('a table', () => {
  it('of nothing is only a tail', () => {
    const bytes = encodeGoodbye([], frame);
    expect(bytes).toHaveLength(40);
    expect(decodeGoodbyeTail(bytes.subarray(-24))).toEqual({ entryDistance: 999_000, tableBytes: 40 });
    const table = decodeGoodbyeTable(bytes);
    expect(table.count).toBe(0);
    expect(table.find({ hi: 0, lo: 0 })).toEqual([]);
    expect([...table.byArchiveOrder()]).toEqual([]);
  });

  it('finds every child, also those that share a hash', () => {
    const hash = fc.record({
      hi: fc.integer({ min: 0, max: 2 }),
      lo: fc.constantFrom(0, 1, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff),
    });
    fc.assert(
      fc.property(fc.array(hash, { maxLength: 300 }), (hashes) => {
        const given = hashes.map((value, index) => ({ hash: value, position: 2000 + 7 * index, size: 7 }));
        const table = decodeGoodbyeTable(encodeGoodbye(given, frame));
        expect(table.count).toBe(given.length);
        for (const value of hashes) {
          const positions = table.find(value).map((slot) => frame.goodbyePosition - table.distance(slot));
          const expected = given.filter((child) => compareHashes(child.hash, value) === 0).map(({ position }) => position);
          expect(positions.toSorted((a, b) => a - b)).toEqual(expected);
        }
        const ordered = [...table.byArchiveOrder()].map((slot) => table.range(slot, frame.goodbyePosition));
        expect(ordered).toEqual(given.map(({ position, size }) => ({ start: position, end: position + size })));
        expect(table.find({ hi: 9, lo: 9 })).toEqual([]);
      }),
      { seed },
    );
  });

  it('never gives a child more room than there is before the next one', () => {
    const size = 2 ** 53 - 1;
    const given = [2000, 2100].map((position, index) => ({ hash: { hi: 1, lo: index }, position, size }));
    const table = decodeGoodbyeTable(encodeGoodbye(given, frame));
    const ranges = [...table.byArchiveOrder()].map((slot) => table.range(slot, frame.goodbyePosition));
    expect(ranges).toEqual([
      { start: 2000, end: 2100 },
      { start: 2100, end: frame.goodbyePosition },
    ]);
  });

  it('of 100,000 children is read and searched at once', () => {
    const bytes = encodeGoodbye(
      children(100_000).map((child) => ({ ...child, position: 2000 + child.hash.lo })),
      { ...frame, goodbyePosition: 2 ** 50 },
    );
    const table = decodeGoodbyeTable(bytes);
    expect([...table.byArchiveOrder()].map((slot) => table.hash(slot).lo)).toEqual([...Array(100_000).keys()]);
  });

  const bytes = encodeGoodbye(children(5), frame);
  const changed = (change: (copy: Buffer) => unknown): Buffer => {
    const copy = Buffer.from(bytes);
    change(copy);
    return copy;
  };

  test.each<[string, Buffer, string]>([
    ['too short', bytes.subarray(0, 39), 'TRUNCATED'],
    ['without its first bytes', bytes.subarray(24), 'BAD_STRUCTURE'],
    ['cut off', bytes.subarray(0, -24), 'BAD_MAGIC'],
    ['with a header of another size', changed((copy) => copy.writeUInt32LE(16 + 24 * 5, 8)), 'BAD_STRUCTURE'],
    ['with a tail of another size', changed((copy) => copy.writeUInt32LE(16 + 24 * 5, copy.length - 8)), 'BAD_STRUCTURE'],
    ['with a child at its own position', changed((copy) => copy.writeBigUInt64LE(0n, 24)), 'BAD_STRUCTURE'],
    ['with a child that is its directory', changed((copy) => copy.writeBigUInt64LE(999_000n, 24)), 'BAD_STRUCTURE'],
    ['with a child beyond 2^53', changed((copy) => copy.writeBigUInt64LE(1n << 60n, 24)), 'LIMIT_EXCEEDED'],
    ['with a size beyond 2^53', changed((copy) => copy.writeBigUInt64LE(1n << 53n, 32)), 'LIMIT_EXCEEDED'],
    ['with one child twice', changed((copy) => copy.writeBigUInt64LE(copy.readBigUInt64LE(48), 24)), 'BAD_STRUCTURE'],
    ['out of order', changed((copy) => copy.writeUInt32LE(0xffff_ffff, 16)), 'BAD_STRUCTURE'],
  ])('is refused %s', (_what, table, code) => {
    expect(codeOf(() => decodeGoodbyeTable(table))).toBe(code);
  });

  test.each<[string, Buffer, string]>([
    ['of 23 bytes', bytes.subarray(-23), 'TRUNCATED'],
    ['without marker', Buffer.alloc(24), 'BAD_MAGIC'],
    ['that makes the table 0 bytes', changed((copy) => copy.writeUInt32LE(0, copy.length - 8)).subarray(-24), 'BAD_STRUCTURE'],
    ['that makes the table 16 bytes', changed((copy) => copy.writeUInt32LE(16, copy.length - 8)).subarray(-24), 'BAD_STRUCTURE'],
    ['that makes the table too great', changed((copy) => copy.writeUInt32LE(1, copy.length - 4)).subarray(-24), 'LIMIT_EXCEEDED'],
    [
      'that makes the table greater than numbers',
      changed((copy) => copy.fill(0xff, copy.length - 8)).subarray(-24),
      'LIMIT_EXCEEDED',
    ],
  ])('has no tail %s', (_what, tail, code) => {
    expect(codeOf(() => decodeGoodbyeTail(tail))).toBe(code);
  });
});
