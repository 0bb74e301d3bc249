/** Both loops that look for cuts, on their own and in the chunkers, against the rules as they are written. */
import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { newScanMemory } from '../../src/codec/scan-memory.js';
import { chunkerTable } from '../../src/format/chunker-table.js';
import { HashChunker } from '../../src/format/chunker.js';
import { PayloadChunker } from '../../src/format/payload-chunker.js';
import { javaScriptKernel, type ScanKernel } from '../../src/format/scan-kernel.js';
import { seed } from '../support/random.js';
import { cutSizes, endsDigest, streamX } from '../format/chunker-streams.js';

const memoryBytes = 32 << 20;
const kib = 1024;
const { buffer, kernel } = newScanMemory(memoryBytes);
const whole = Buffer.from(buffer, 0, memoryBytes);

/** Of 64 bytes, as the definition says: each rotated by its distance from the end. */
function hashOf(window: Uint8Array): number {
  return window.reduce((hash, byte, j) => {
    const bits = (63 - j) % 32;
    const word = BigInt.asUintN(32, BigInt(chunkerTable[byte] ?? 0)) << BigInt(bits);
    return hash ^ Number(BigInt.asIntN(32, word | (word >> 32n)));
  }, 0);
}

function firstCut(piece: Uint8Array, at: number, last: number, mask: number): number {
  for (let end = at + 1; end <= last; end++) {
    if ((hashOf(piece.subarray(end - 64, end)) & mask) >= mask - 2) return end;
  }
  return -1;
}

const bytes = fc.integer().chain((salt) =>
  fc.integer({ min: 65, max: 3000 }).map((length) => createHash('shake128', { outputLength: length }).update(String(salt)).digest()),
);

test('the memory is as large as asked for, shared, and zero', () => {
  expect(buffer).toBeInstanceOf(SharedArrayBuffer);
  expect(buffer.byteLength).toBe(memoryBytes + 65_536);
  expect(newScanMemory(65_536).buffer.byteLength).toBe(2 * 65_536);
  expect(whole.subarray(0, 1 << 20).every((byte) => byte === 0)).toBe(true);
});

describe.each([
  ['JavaScript', javaScriptKernel(), (content: Buffer) => content],
  ['WebAssembly', kernel, (content: Buffer, at: number) => { content.copy(whole, at); return whole.subarray(at, at + content.length); }],
  ['WebAssembly, for what is elsewhere', kernel, (content: Buffer) => content],
] as [string, ScanKernel, (content: Buffer, at: number) => Buffer][])('the loop in %s', (_, loop, placed) => {
  test(`finds what the rules say (seed ${seed})`, () => {
    // The smallest masks cut every few bytes: every way out of the loop is taken.
    const masks = fc.integer({ min: 3, max: 12 }).map((bits) => 2 ** bits - 1);
    fc.assert(fc.property(bytes, masks, fc.nat(), fc.nat(), fc.nat({ max: memoryBytes - 3000 }), (content, mask, a, b, place) => {
      const piece = placed(content, place);
      const at = 64 + (a % (piece.length - 63));
      const last = at + (b % (piece.length - at + 1));
      loop.hash = hashOf(piece.subarray(at - 64, at));
      const end = loop.roll(piece, at, last, mask);
      expect(end).toBe(firstCut(piece, at, last, mask));
      if (end === -1) expect(loop.hash | 0).toBe(hashOf(piece.subarray(last - 64, last)));
    }), { seed, numRuns: 400 });
  });

  test('knows the hashes of the format', () => {
    const stream = placed(streamX().subarray(0, 35_317), 1000);
    expect(hashOf(stream.subarray(0, 64)) >>> 0).toBe(0x10c31c5b);
    loop.hash = 0x10c31c5b | 0;
    expect(loop.roll(stream, 64, 67, 0xffffffff >>> 1)).toBe(-1);
    expect(loop.hash >>> 0).toBe(0xf18bd5e3);
  });

  test.each([[64, 'd6d15113c1378d7538dc5b2d828c0550f42bc5e6eb8b79bc0b297c16bc709ad2'], [4096, 'fd2d63857a9d69cc387f59d6bb7f82084eb143e00f2096802d98436b1745aafd']])(
    'cuts the test stream as known, average %d KiB',
    (average, digest) => {
      const stream = placed(streamX(), 12_345);
      for (const pieceBytes of [stream.length, 1 << 20, 65_537, 4099]) {
        expect(endsDigest(cutSizes(stream, average * kib, pieceBytes, loop))).toBe(digest);
      }
    },
  );

  test(`cuts the same as the other, from pieces of any size (seed ${seed})`, () => {
    fc.assert(fc.property(fc.integer(), fc.integer({ min: 1, max: 400_000 }), fc.array(fc.integer({ min: 1, max: 90_000 }), { minLength: 1 }), fc.nat({ max: 5000 }), (salt, length, sizes, place) => {
      const content = createHash('shake128', { outputLength: length }).update(String(salt)).digest();
      let next = 0;
      const pieceBytes = (): number => sizes[next++ % sizes.length] ?? 1;
      expect(cutSizes(placed(content, place), 64 * kib, pieceBytes, loop)).toEqual(cutSizes(content, 64 * kib));
    }), { seed, numRuns: 60 });
  });
});

test('two chunkers may share a loop', () => {
  const stream = streamX().subarray(0, 2 << 20);
  stream.copy(whole);
  const piece = whole.subarray(0, stream.length);
  const chunkers = [new HashChunker(64 * kib, kernel), new PayloadChunker(64 * kib, kernel)];
  const ends: number[][] = [[], []];
  for (let from = 0; from < piece.length; from += 5000) {
    for (const [i, chunker] of chunkers.entries()) {
      const part = piece.subarray(from, from + 5000);
      for (let found = chunker.scan(part); found !== undefined; ) {
        const end = typeof found === 'number' ? found : found.end;
        ends[i]?.push(from + end);
        found = chunker.scan(part, end);
      }
    }
  }
  expect(ends[0]).toEqual(ends[1]);
  expect(ends[0]?.length).toBeGreaterThan(20);
});

test('what is not in the piece is not read', () => {
  const piece = whole.subarray(0, 100);
  for (const [at, last] of [[63, 80], [64, 101], [90, 80]] as const) expect(() => kernel.roll(piece, at, last, 7)).toThrow(RangeError);
});
