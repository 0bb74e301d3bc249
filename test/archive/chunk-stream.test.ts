/** Bytes, holes and losses of a stream, beside the bytes that it was made of. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { ChunkStream } from '../../src/archive/chunk-stream.js';
import { zeroDigest } from '../../src/archive/zero-chunk.js';
import { chunkDigest } from '../../src/crypto/chunk-digest.js';
import { codeOf } from '../../src/errors.js';
import { chunkPath } from '../../src/format/chunk-path.js';
import { parseDynamicIndex } from '../../src/format/dynamic-index.js';
import { parseFixedIndex } from '../../src/format/fixed-index.js';
import { fixtureKeys } from '../support/chunks.js';
import { noise, Random, seed, text } from '../support/random.js';
import { bytesOf, dynamicIndexOf, fixedIndexOf, newShelf, streamOf, streamOver } from '../support/streams.js';

const [key] = fixtureKeys();
if (key === undefined) throw new Error('the fixtures have keys');
const keyed = { key, number: 0 };

/** Parts of data and zeros, in units of `unit` bytes, and a tail. */
function image(unit: number, parts: string, tail: Buffer): Buffer {
  const blocks = [...parts].map((letter, i) => (letter === '.' ? Buffer.alloc(unit) : text(`${letter} ${i}`, unit)));
  return Buffer.concat([...blocks, tail]);
}

const chunkSize = 1 << 16;
const dataAndHoles = image(chunkSize, 'ab..c.dd....e.', text('tail', 777));
const zeroTail = image(chunkSize, '.a..', Buffer.alloc(12_345));
const allZero = image(chunkSize, '...', Buffer.alloc(0));
const short = text('short', 1234);

const sources: [name: string, bytes: Buffer][] = [
  ['data, holes and a short tail', dataAndHoles],
  ['a short tail of zeros', zeroTail],
  ['nothing but zeros', allZero],
  ['one short chunk', short],
  ['one short chunk of zeros', Buffer.alloc(999)],
  ['one byte', Buffer.from('x')],
];

/** Which bytes belong to chunks of zeros. */
function holesOf(bytes: Buffer): boolean[] {
  const chunks = Array.from({ length: Math.ceil(bytes.length / chunkSize) }, (_, i) => bytes.subarray(i * chunkSize, (i + 1) * chunkSize));
  return chunks.map((chunk) => chunk.every((byte) => byte === 0));
}

function expectedSeek(bytes: Buffer, from: number, what: 'data' | 'hole', end: number): number | undefined {
  if (from >= end) return undefined;
  const holes = holesOf(bytes);
  for (let at = from; at < end; at = (Math.floor(at / chunkSize) + 1) * chunkSize) {
    if (holes[Math.floor(at / chunkSize)] === (what === 'hole')) return at;
  }
  return what === 'hole' ? end : undefined;
}

function seek(stream: ChunkStream, from: number, what: 'data' | 'hole', end: number): number | undefined {
  try {
    return stream.seek(from, what, end);
  } catch (error) {
    expect(codeOf(error)).toBe('NO_SUCH_ADDRESS');
    return undefined;
  }
}

describe.each(sources)('an image of %s', (_, bytes) => {
  describe.each([undefined, keyed])('key %#', (using) => {
    const shelf = newShelf({ keys: [key], cacheBytesMax: 16 << 20 });
    const stream = streamOver(shelf, parseFixedIndex(fixedIndexOf(shelf.directory, bytes, { chunkSize, key: using?.key })), { key: using });

    test(`any range has the source's bytes (seed ${seed})`, async () => {
      const numbers = new Random(seed);
      expect(stream.size).toBe(bytes.length);
      for (let round = 0; round < 100; round++) {
        const offset = numbers.below(bytes.length + 10);
        const length = numbers.below(2) === 0 ? numbers.below(9000) : numbers.below(bytes.length * 2);
        expect((await bytesOf(stream, offset, length)).equals(bytes.subarray(offset, offset + length)), `${offset}+${length}`).toBe(true);
        const window = Buffer.from(await stream.window(offset, length));
        expect(window.equals(bytes.subarray(offset, offset + window.length)), `window ${offset}+${length}`).toBe(true);
        expect(window.length).toBeGreaterThanOrEqual(Math.min(length, Math.max(bytes.length - offset, 0)));
      }
      expect((await bytesOf(stream)).equals(bytes)).toBe(true);
    });

    test(`seek and allocated bytes agree with the chunks of zeros (seed ${seed})`, () => {
      const numbers = new Random(seed);
      const holes = holesOf(bytes);
      for (let round = 0; round < 200; round++) {
        const from = numbers.below(bytes.length + 2);
        const end = numbers.below(2) === 0 ? bytes.length : from + numbers.below(bytes.length - from + 1);
        for (const what of ['data', 'hole'] as const) {
          expect(seek(stream, from, what, Math.min(end, bytes.length)), `${what} from ${from} to ${end}`).toBe(expectedSeek(bytes, from, what, Math.min(end, bytes.length)));
        }
        let allocated = 0;
        for (let at = from; at < Math.min(end, bytes.length); ) {
          const next = Math.min((Math.floor(at / chunkSize) + 1) * chunkSize, end, bytes.length);
          if (holes[Math.floor(at / chunkSize)] === false) allocated += next - at;
          at = next;
        }
        expect(stream.allocatedBytes(from, Math.min(end, bytes.length))).toBe(allocated);
      }
      expect(seek(stream, -1, 'data', bytes.length)).toBeUndefined();
    });

    test('walking from data to hole to data gives every byte that is not zero', () => {
      const rebuilt = Buffer.alloc(bytes.length);
      for (let at = seek(stream, 0, 'data', stream.size); at !== undefined; ) {
        const hole = stream.seek(at, 'hole');
        bytes.copy(rebuilt, at, at, hole);
        at = seek(stream, hole, 'data', stream.size);
      }
      expect(rebuilt.equals(bytes)).toBe(true);
    });
  });
});

test('zero chunks are not even looked for in the store', async () => {
  const shelf = newShelf();
  const index = parseFixedIndex(fixedIndexOf(shelf.directory, zeroTail, { chunkSize }));
  for (const digest of [zeroDigest(chunkSize, undefined), zeroDigest(12_345, undefined)]) rmSync(join(shelf.directory, chunkPath(digest)));
  const stream = streamOver(shelf, index);
  expect((await bytesOf(stream)).equals(zeroTail)).toBe(true);
  expect(shelf.cache.statistics()).toMatchObject({ misses: 1, bytesDecoded: chunkSize });
});

test('the digests of zeros are right, keyed and not', () => {
  for (const length of [1, 12_345, 1 << 22, 1 << 24]) {
    expect(zeroDigest(length, undefined).equals(chunkDigest(Buffer.alloc(length)))).toBe(true);
    expect(zeroDigest(length, key).equals(chunkDigest(Buffer.alloc(length), key.idKey))).toBe(true);
  }
});

test('a stream of data in chunks of any size, with chunks of 16 MiB of zeros', async () => {
  const shelf = newShelf({ cacheBytesMax: 32 << 20 });
  const bytes = Buffer.concat([text('head', 100_000), Buffer.alloc(16 << 20), noise('middle', 3_000_000), Buffer.alloc(16 << 20), text('end', 5)]);
  const stream = streamOf(shelf, bytes, { cuts: [100_000, 16 << 20, 1_000_000, 1, 1_999_999, 16 << 20] });
  expect((await bytesOf(stream)).equals(bytes)).toBe(true);
  expect(stream.seek(0, 'hole')).toBe(100_000);
  expect(stream.seek(100_000, 'data')).toBe(100_000 + (16 << 20));
  expect(stream.allocatedBytes(0, bytes.length)).toBe(3_100_005);
});

test(`many readers at once over a cache that holds four chunks (seed ${seed})`, async () => {
  const shelf = newShelf({ cacheBytesMax: 16 << 20 });
  const bytes = Buffer.concat(Array.from({ length: 10 }, (_, i) => text(`block ${i}`, 4_000_000 + i * 100_000)));
  const stream = streamOver(shelf, parseFixedIndex(fixedIndexOf(shelf.directory, bytes)));
  const wrong = Array.from({ length: 32 }, async (_, i) => {
    const numbers = new Random(seed + i);
    for (let round = 0; round < 20; round++) {
      const offset = numbers.below(bytes.length);
      const length = numbers.below(6 << 20);
      const pieces = await stream.pieces(offset, length);
      // Concatenated in the turn in which they came.
      if (!Buffer.concat(pieces).equals(bytes.subarray(offset, offset + length))) return `${offset}+${length}`;
    }
    return undefined;
  });
  expect((await Promise.all(wrong)).filter((each) => each !== undefined)).toEqual([]);
});

describe('a chunk that is lost', () => {
  const shelf = newShelf();
  const bytes = Buffer.concat(Array.from({ length: 6 }, (_, i) => noise(`part ${i % 4}`, 10_000)));
  const index = parseDynamicIndex(dynamicIndexOf(shelf.directory, bytes, { cuts: [10_000] }));
  // Parts 1 and 5 are the same chunk.
  rmSync(join(shelf.directory, chunkPath(index.digestAt(1))));
  const stream = streamOver(shelf, index, { path: 'ct/1/image' });
  const sibling = streamOver(shelf, index, { path: 'ct/2/image' });

  test('fails exactly the reads that need it', async () => {
    for (let offset = 0; offset < bytes.length; offset += 3333) {
      for (const length of [1, 6666, 10_000, 30_000]) {
        const first = Math.floor(offset / 10_000);
        const last = Math.floor((Math.min(offset + length, bytes.length) - 1) / 10_000);
        const needed = [1, 5].some((n) => n >= first && n <= last);
        const read = bytesOf(stream, offset, length);
        if (needed) await expect(read).rejects.toMatchObject({ code: 'CHUNK_MISSING' });
        else expect((await read).equals(bytes.subarray(offset, offset + length))).toBe(true);
      }
    }
  });

  test('is told once, with all archives and ranges', async () => {
    await expect(bytesOf(sibling, 50_000, 1)).rejects.toMatchObject({ code: 'CHUNK_MISSING' });
    expect(shelf.log).toHaveLength(1);
    expect(shelf.log[0]).toMatch(/is missing; it affects ct\/1\/image \(bytes 10000-19999, 50000-59999\), ct\/2\/image \(bytes 10000-19999, 50000-59999\)$/);
    expect([...shelf.damage.chunks]).toMatchObject([
      {
        digest: index.digestAt(1).toString('hex'),
        affects: ['ct/1/image', 'ct/2/image'].map((path) => ({ path, ranges: [{ start: 10_000, end: 20_000 }, { start: 50_000, end: 60_000 }] })),
      },
    ]);
  });

  test('is remembered as ranges of the stream, of those read', async () => {
    expect(stream.lostRanges(0, bytes.length)).toEqual([{ start: 10_000, end: 20_000 }, { start: 50_000, end: 60_000 }]);
    expect(stream.lostRanges(15_000, 50_001)).toEqual([{ start: 15_000, end: 20_000 }, { start: 50_000, end: 50_001 }]);
    expect(stream.lostRanges(20_000, 50_000)).toEqual([]);
    await expect(sibling.window(9_999, 2)).rejects.toMatchObject({ code: 'CHUNK_MISSING' });
  });

  test('is zeros when salvaging', async () => {
    const salvaging = streamOver(shelf, index, { path: 'ct/3/image', salvage: true });
    const expected = Buffer.from(bytes).fill(0, 10_000, 20_000).fill(0, 50_000, 60_000);
    expect((await bytesOf(salvaging)).equals(expected)).toBe(true);
    expect(salvaging.lostRanges(0, bytes.length)).toHaveLength(2);
  });

  test('that comes back is read again', async () => {
    dynamicIndexOf(shelf.directory, bytes, { cuts: [10_000] });
    expect((await bytesOf(stream)).equals(bytes)).toBe(true);
    expect(stream.lostRanges(0, bytes.length)).toEqual([]);
  });
});
