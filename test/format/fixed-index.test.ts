import { createHash } from 'node:crypto';
import { sha256 } from '@noble/hashes/sha2.js';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { encodeFixedIndex, parseFixedIndex } from '../../src/format/fixed-index.js';
import { damages, resultOrCode } from '../support/damage.js';
import { Random, seed } from '../support/random.js';
import { finishedSnapshots, fixtureStores, readStored } from '../support/stored-files.js';

const mebibyte = 1024 * 1024;
const zeroChunk = 'bb9f8df61474d25e71fa00722318cd387396ca1736605e1248821cc0de3d3af8';
const tailChunk = '0d57ce7e6f299b77f1aa75b8b0198aaaa910b6fd2ea09bfc4a5fcc4d2023f5d2';
const uuid = Buffer.from('00112233445566778899aabbccddeeff', 'hex');

/** Section 13.3. */
const vector = {
  uuid,
  ctime: 1700000000,
  size: 4718592,
  chunkSize: 4 * mebibyte,
  digests: Buffer.from(zeroChunk + tailChunk, 'hex'),
};

function hexSha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

describe('vector', () => {
  test('is encoded to the very bytes', () => {
    const bytes = encodeFixedIndex(vector);
    expect(bytes.length).toBe(4160);
    expect(bytes.toString('hex', 0, 0x50)).toBe(
      '2f7f41ed91fd0fcd00112233445566778899aabbccddeeff00f1536500000000' +
        '7e9fde1c9f772c3b441f906f6218c46920e7cec6e7eb3f6c7fb4903bb8b273e800004800000000000000400000000000',
    );
    expect(hexSha256(bytes)).toBe('79791b30095dde92d876944cb87f9ebd69fd03e2df8cb1ebf30f3d2ab423208c');
  });

  test('is read', () => {
    const index = parseFixedIndex(encodeFixedIndex(vector));
    expect(index).toMatchObject({ kind: 'fixed', uuid, ctime: 1700000000, size: 4718592, chunkSize: 4194304, count: 2 });
    expect(index.digestAt(0).toString('hex')).toBe(zeroChunk);
    expect(index.digestAt(1).toString('hex')).toBe(tailChunk);
    expect([index.startOf(0), index.endOf(0), index.startOf(1), index.endOf(1)]).toEqual([0, 4194304, 4194304, 4718592]);
    expect([0, 4194303, 4194304, 4718591].map((offset) => index.chunkAt(offset))).toEqual([0, 0, 1, 1]);
    expect(index.chunksOf(Buffer.from(tailChunk, 'hex'))).toEqual([1]);
    expect(index.csum.toString('hex')).toBe('7e9fde1c9f772c3b441f906f6218c46920e7cec6e7eb3f6c7fb4903bb8b273e8');
    expect(index.computeCsum()).toEqual(index.csum);
  });

  test('has another checksum with keyed digests', () => {
    const keyed =
      '348571e12bbbedb529def1f1394316e338a01945d871df9ef792617ceb13d636' +
      'be8619edfe7e6b97e18adf2e2dc183163029a6c357b3c31cbb271785a62b5fee';
    const index = parseFixedIndex(encodeFixedIndex({ ...vector, digests: Buffer.from(keyed, 'hex') }));
    expect(index.csum.toString('hex')).toBe('009f36a75b65b7925b456a75832478c35bb25e6a45c560974c46a6db94dd3fac');
  });
});

describe.each(fixtureStores)('files of %s', (store) => {
  const images = finishedSnapshots(store).flatMap(({ path, files }) =>
    files.filter(({ kind }) => kind === 'fixed').map((file) => ({ path, ...file })),
  );

  test.each(images)('$path/$filename', (expected) => {
    const bytes = readStored(store, expected.path, expected.filename);
    const index = parseFixedIndex(bytes);
    expect(index.uuid.toString('hex')).toBe(expected.uuid);
    expect(index.ctime).toBe(expected.ctime);
    expect(index.size).toBe(expected.size);
    expect(index.chunkSize).toBe(expected.chunk_size);
    expect(index.count).toBe(expected.chunks);
    expect(index.computeCsum().toString('hex')).toBe(expected.csum);
    expect(Buffer.from(sha256(bytes.subarray(4096))).toString('hex')).toBe(expected.csum);
    expect(index.csum).toEqual(index.computeCsum());
    const digests = Array.from({ length: index.count }, (_, i) => index.digestAt(i));
    expect(new Set(digests.map((digest) => digest.toString('hex'))).size).toBe(expected.distinct_chunks);
    const { size, chunkSize, ctime } = index;
    expect(encodeFixedIndex({ uuid: index.uuid, ctime, size, chunkSize, digests: Buffer.concat(digests) })).toEqual(bytes);
  });
});

test('any image comes back from what it was encoded to', () => {
  fc.assert(
    fc.property(fc.integer({ min: 16, max: 24 }), fc.nat(2 ** 40), fc.nat(2 ** 33), (bits, anySize, ctime) => {
      const chunkSize = 2 ** bits;
      const size = 1 + (anySize % (chunkSize * 50));
      const count = Math.ceil(size / chunkSize);
      const digests = Buffer.from(Uint8Array.from({ length: count * 32 }, (_, i) => i * 7));
      const index = parseFixedIndex(encodeFixedIndex({ uuid, ctime, size, chunkSize, digests }));
      expect(index).toMatchObject({ size, chunkSize, ctime, count });
      for (let i = 0; i < count; i++) {
        expect(index.digestAt(i)).toEqual(digests.subarray(i * 32, i * 32 + 32));
        expect(index.chunkAt(index.startOf(i))).toBe(i);
        expect(index.chunkAt(index.endOf(i) - 1)).toBe(i);
        expect(index.startOf(i)).toBe(i === 0 ? 0 : index.endOf(i - 1));
      }
      expect(index.endOf(count - 1)).toBe(size);
    }),
  );
});

test('a time before 1970 comes back', () => {
  expect(parseFixedIndex(encodeFixedIndex({ ...vector, ctime: -5_000_000_000 })).ctime).toBe(-5_000_000_000);
});

test('an image of 1 TiB keeps nothing but the bytes of its file', () => {
  const size = 2 ** 40;
  const bytes = encodeFixedIndex({ uuid, ctime: 1, size, chunkSize: 4 * mebibyte, digests: Buffer.alloc(262144 * 32, 7) });
  const index = parseFixedIndex(bytes);
  expect(index.count).toBe(262144);
  expect(index.digestAt(262143).buffer).toBe(bytes.buffer);
  expect(index.chunkAt(size - 1)).toBe(262143);
});

test('chunks and offsets outside are refused', () => {
  const index = parseFixedIndex(encodeFixedIndex(vector));
  for (const i of [-1, 2, NaN]) {
    expect(() => index.digestAt(i)).toThrow(RangeError);
    expect(() => index.startOf(i)).toThrow(RangeError);
    expect(() => index.endOf(i)).toThrow(RangeError);
  }
  for (const offset of [-1, 4718592, NaN]) expect(() => index.chunkAt(offset)).toThrow(RangeError);
});

describe('damage', () => {
  const valid = encodeFixedIndex(vector);
  const withField = (offset: number, value: bigint): Buffer => {
    const bytes = Buffer.from(valid);
    bytes.writeBigUInt64LE(value, offset);
    return bytes;
  };

  test.each<[string, Buffer, string]>([
    ['nothing', Buffer.alloc(0), 'TRUNCATED'],
    ['half a magic', valid.subarray(0, 4), 'TRUNCATED'],
    ['a header alone', valid.subarray(0, 4096), 'TRUNCATED'],
    ['half an entry', valid.subarray(0, 4144), 'BAD_STRUCTURE'],
    ['an entry too few', valid.subarray(0, 4128), 'BAD_STRUCTURE'],
    ['an entry too many', Buffer.concat([valid, Buffer.alloc(32)]), 'BAD_STRUCTURE'],
    ['the magic of a dynamic index', Buffer.concat([Buffer.from('1c914ea519bab3cd', 'hex'), valid.subarray(8)]), 'BAD_MAGIC'],
    ['a chunk size of 0', withField(0x48, 0n), 'BAD_STRUCTURE'],
    ['a chunk size of 32 KiB', withField(0x48, 32768n), 'BAD_STRUCTURE'],
    ['a chunk size of 32 MiB', withField(0x48, 33554432n), 'BAD_STRUCTURE'],
    ['a chunk size of 3 MiB', withField(0x48, 3145728n), 'BAD_STRUCTURE'],
    ['a chunk size of 2^32', withField(0x48, 2n ** 32n), 'BAD_STRUCTURE'],
    ['a chunk size of 2^64-1', withField(0x48, 2n ** 64n - 1n), 'LIMIT_EXCEEDED'],
    ['a size of 0', withField(0x40, 0n), 'BAD_STRUCTURE'],
    ['a size of 2^52', withField(0x40, 2n ** 52n), 'BAD_STRUCTURE'],
    ['a size of 2^53', withField(0x40, 2n ** 53n), 'LIMIT_EXCEEDED'],
    ['a size of 2^63', withField(0x40, 2n ** 63n), 'LIMIT_EXCEEDED'],
  ])('%s', (what, bytes, code) => {
    expect(resultOrCode(what, () => parseFixedIndex(bytes))).toEqual({ code });
  });

  test(`of real files gives an index of the right length or our error, seed ${seed}`, () => {
    const random = new Random(seed);
    for (const { path, files } of finishedSnapshots('sample')) {
      for (const { filename } of files.filter(({ kind }) => kind === 'fixed')) {
        const original = readStored('sample', path, filename);
        for (const { what, bytes } of [...damages(original, 40, random), ...damages(original, 40, random, 80)]) {
          const result = resultOrCode(`${path}/${filename}, ${what}`, () => parseFixedIndex(bytes));
          if ('value' in result) expect(bytes.length).toBe(4096 + 32 * result.value.count);
        }
      }
    }
  });

  test('what could not be read again is not encoded', () => {
    const code = (value: string) => expect.objectContaining({ code: value }) as Error;
    expect(() => encodeFixedIndex({ ...vector, chunkSize: 1000 })).toThrow(code('BAD_STRUCTURE'));
    expect(() => encodeFixedIndex({ ...vector, size: 1 })).toThrow(code('BAD_STRUCTURE'));
    expect(() => encodeFixedIndex({ ...vector, uuid: Buffer.alloc(15) })).toThrow(code('BAD_STRUCTURE'));
    expect(() => encodeFixedIndex({ ...vector, size: 0, digests: Buffer.alloc(0) })).toThrow(code('LIMIT_EXCEEDED'));
  });
});
