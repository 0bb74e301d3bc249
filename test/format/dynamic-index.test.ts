import { createHash } from 'node:crypto';
import { sha256 } from '@noble/hashes/sha2.js';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { ChunkIndex } from '../../src/format/chunk-index.js';
import { encodeDynamicIndex, parseDynamicIndex } from '../../src/format/dynamic-index.js';
import { damages, resultOrCode } from '../support/damage.js';
import { Random, seed } from '../support/random.js';
import { finishedSnapshots, fixtureStores, readStored } from '../support/stored-files.js';

const mebibyte = 1024 * 1024;
const uuid = Buffer.from('00112233445566778899aabbccddeeff', 'hex');

/** Section 13.4. */
const vector = {
  uuid,
  ctime: 1700000000,
  ends: [4194304, 4718592],
  digests: Buffer.from(
    'bb9f8df61474d25e71fa00722318cd387396ca1736605e1248821cc0de3d3af8' +
      '0d57ce7e6f299b77f1aa75b8b0198aaaa910b6fd2ea09bfc4a5fcc4d2023f5d2',
    'hex',
  ),
};

function endsOf(index: ChunkIndex): number[] {
  return Array.from({ length: index.count }, (_, i) => index.endOf(i));
}

function digestsOf(index: ChunkIndex): Buffer {
  return Buffer.concat(Array.from({ length: index.count }, (_, i) => index.digestAt(i)));
}

test('the vector is encoded to the very bytes and read', () => {
  const bytes = encodeDynamicIndex(vector);
  expect(bytes.length).toBe(4176);
  expect(bytes.toString('hex', 0x20, 0x40)).toBe('de6510de73f551b9c9ff7ba818ba9403bbf38b622445bed98f7cd3ce434e9519');
  expect(bytes.toString('hex', 0x1028, 0x1030)).toBe('0000480000000000');
  const digest = createHash('sha256').update(bytes).digest('hex');
  expect(digest).toBe('d4b78b57d93e10f4fbb34580010a597f0fef2ec1242cd03c41571f74f07c31b0');
  const index = parseDynamicIndex(bytes);
  expect(index).toMatchObject({ kind: 'dynamic', uuid, ctime: 1700000000, size: 4718592, count: 2 });
  expect(endsOf(index)).toEqual(vector.ends);
  expect(digestsOf(index)).toEqual(vector.digests);
  expect(index.startOf(1)).toBe(4194304);
  expect(index.chunksOf(vector.digests.subarray(32))).toEqual([1]);
  expect(index.computeCsum()).toEqual(index.csum);
});

describe.each(fixtureStores)('files of %s', (store) => {
  const archives = finishedSnapshots(store).flatMap(({ path, files }) =>
    files.filter(({ kind }) => kind === 'dynamic').map((file) => ({ path, ...file })),
  );

  test.each(archives)('$path/$filename', (expected) => {
    const bytes = readStored(store, expected.path, expected.filename);
    const index = parseDynamicIndex(bytes);
    expect(index.uuid.toString('hex')).toBe(expected.uuid);
    expect(index.ctime).toBe(expected.ctime);
    expect(index.size).toBe(expected.size);
    expect(index.count).toBe(expected.chunks);
    expect(index.computeCsum().toString('hex')).toBe(expected.csum);
    expect(Buffer.from(sha256(bytes.subarray(4096))).toString('hex')).toBe(expected.csum);
    expect(index.csum).toEqual(index.computeCsum());
    const lengths = endsOf(index).map((end, i) => end - index.startOf(i));
    expect(Math.min(...lengths)).toBe(expected.chunk_size_min);
    expect(Math.max(...lengths)).toBe(expected.chunk_size_max);
    const digests = digestsOf(index);
    const distinct = new Set(Array.from({ length: index.count }, (_, i) => digests.toString('hex', i * 32, i * 32 + 32)));
    expect(distinct.size).toBe(expected.distinct_chunks);
    expect(encodeDynamicIndex({ uuid: index.uuid, ctime: index.ctime, ends: endsOf(index), digests })).toEqual(bytes);
  });
});

test('any stream comes back, and every offset is found in its chunk', () => {
  const lengths = fc.array(fc.integer({ min: 1, max: 16 * mebibyte }), { minLength: 1, maxLength: 300 });
  fc.assert(
    fc.property(lengths, fc.array(fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })), (sizes, places) => {
      let end = 0;
      const ends = sizes.map((length) => (end += length));
      const digests = Buffer.from(Uint8Array.from({ length: sizes.length * 32 }, (_, i) => i * 11));
      const index = parseDynamicIndex(encodeDynamicIndex({ uuid, ctime: 1, ends, digests }));
      expect(index.size).toBe(end);
      expect(endsOf(index)).toEqual(ends);
      expect(digestsOf(index)).toEqual(digests);
      const offsets = [0, end - 1, ...ends.slice(0, -1), ...ends.map((e) => e - 1), ...places.map((p) => Math.floor(p * end))];
      for (const offset of offsets) expect(index.chunkAt(offset)).toBe(ends.findIndex((e) => e > offset));
    }),
  );
});

test('a stream of 262144 chunks of 16 MiB keeps nothing but the bytes of its file', () => {
  const ends = Array.from({ length: 262144 }, (_, i) => (i + 1) * 16 * mebibyte);
  const bytes = encodeDynamicIndex({ uuid, ctime: 1, ends, digests: Buffer.alloc(262144 * 32, 7) });
  const index = parseDynamicIndex(bytes);
  expect(index.size).toBe(4 * 2 ** 40);
  expect(index.digestAt(262143).buffer).toBe(bytes.buffer);
  expect(index.chunkAt(index.size - 1)).toBe(262143);
});

test('chunks and offsets outside are refused', () => {
  const index = parseDynamicIndex(encodeDynamicIndex(vector));
  for (const i of [-1, 2, NaN]) {
    expect(() => index.digestAt(i)).toThrow(RangeError);
    expect(() => index.startOf(i)).toThrow(RangeError);
    expect(() => index.endOf(i)).toThrow(RangeError);
  }
  for (const offset of [-1, 4718592, NaN]) expect(() => index.chunkAt(offset)).toThrow(RangeError);
});

describe('damage', () => {
  const valid = encodeDynamicIndex(vector);
  const withEnd = (i: number, end: bigint): Buffer => {
    const bytes = Buffer.from(valid);
    bytes.writeBigUInt64LE(end, 4096 + 40 * i);
    return bytes;
  };

  test.each<[string, Buffer, string]>([
    ['nothing', Buffer.alloc(0), 'TRUNCATED'],
    ['a header alone', valid.subarray(0, 4096), 'TRUNCATED'],
    ['half an entry', valid.subarray(0, 4156), 'BAD_STRUCTURE'],
    ['the magic of a fixed index', Buffer.concat([Buffer.from('2f7f41ed91fd0fcd', 'hex'), valid.subarray(8)]), 'BAD_MAGIC'],
    ['an empty chunk', withEnd(0, 0n), 'BAD_STRUCTURE'],
    ['an end twice', withEnd(1, 4194304n), 'BAD_STRUCTURE'],
    ['an end below the one before', withEnd(1, 4194303n), 'BAD_STRUCTURE'],
    ['a chunk of 16 MiB and a byte', withEnd(0, 16777217n), 'BAD_STRUCTURE'],
    ['an end of 2^53', withEnd(1, 2n ** 53n), 'BAD_STRUCTURE'],
    ['an end of 2^64-1', withEnd(1, 2n ** 64n - 1n), 'BAD_STRUCTURE'],
  ])('%s', (what, bytes, code) => {
    expect(resultOrCode(what, () => parseDynamicIndex(bytes))).toEqual({ code });
  });

  test(`of real files gives an index with ends in order or our error, seed ${seed}`, () => {
    const random = new Random(seed);
    for (const { path, files } of finishedSnapshots('sample')) {
      for (const { filename } of files.filter(({ kind }) => kind === 'dynamic')) {
        for (const { what, bytes } of damages(readStored('sample', path, filename), 60, random)) {
          const result = resultOrCode(`${path}/${filename}, ${what}`, () => parseDynamicIndex(bytes));
          if ('code' in result) continue;
          const ends = endsOf(result.value);
          expect(bytes.length).toBe(4096 + 40 * ends.length);
          expect(ends).toEqual(ends.toSorted((a, b) => a - b));
        }
      }
    }
  });

  test('what could not be read again is not encoded', () => {
    const code = (value: string) => expect.objectContaining({ code: value }) as Error;
    expect(() => encodeDynamicIndex({ ...vector, ends: [4718592, 4194304] })).toThrow(code('BAD_STRUCTURE'));
    expect(() => encodeDynamicIndex({ ...vector, ends: [1, 2, 3] })).toThrow(code('BAD_STRUCTURE'));
    expect(() => encodeDynamicIndex({ ...vector, ends: [0.5, 1] })).toThrow(code('LIMIT_EXCEEDED'));
    expect(() => encodeDynamicIndex({ ...vector, ends: [], digests: Buffer.alloc(0) })).toThrow(code('LIMIT_EXCEEDED'));
  });
});
