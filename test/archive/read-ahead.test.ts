/** Which chunks are decoded ahead of readers, by what they have read. */
import { describe, expect, test } from 'vitest';
import { ReadAhead } from '../../src/archive/read-ahead.js';
import { parseFixedIndex } from '../../src/format/fixed-index.js';
import { text } from '../support/random.js';
import { bytesOf, fixedIndexOf, newShelf, streamOver } from '../support/streams.js';

const mebibyte = 1 << 20;

interface Setup {
  readonly count?: number;
  readonly chunkBytes?: number;
  readonly windowBytesMax?: number;
  /** Chunks that are refused because too much is queued. */
  readonly refused?: (chunk: number) => boolean;
}

function setUp({ count = 1000, chunkBytes = 4 * mebibyte, windowBytesMax = 32 * mebibyte, refused = () => false }: Setup = {}): {
  readAhead: ReadAhead;
  asked: number[];
} {
  const asked: number[] = [];
  const prefetch = (chunk: number): boolean => {
    if (chunk >= count) throw new Error(`there is no chunk ${chunk}`);
    if (refused(chunk)) return false;
    asked.push(chunk);
    return true;
  };
  return { readAhead: new ReadAhead({ count, bytesOf: () => chunkBytes, prefetch }, () => windowBytesMax), asked };
}

test('a first read asks for nothing, the second in a row for the next 8 MiB, then up to the window', () => {
  const { readAhead, asked } = setUp();
  readAhead.note(10);
  expect(asked).toEqual([]);
  readAhead.note(11);
  expect(asked).toEqual([12, 13]);
  for (let chunk = 12; chunk < 100; chunk++) readAhead.note(chunk);
  // Each once, in order, and never more than 32 MiB ahead.
  expect(asked).toEqual(Array.from({ length: asked.length }, (_, i) => 12 + i));
  expect(asked.at(-1)).toBe(99 + 8);
});

test('many reads of one chunk count once', () => {
  const { readAhead, asked } = setUp();
  for (let i = 0; i < 50; i++) readAhead.note(5);
  expect(asked).toEqual([]);
  for (let i = 0; i < 50; i++) readAhead.note(6);
  expect(asked).toEqual([7, 8]);
});

test('the window counts bytes, not chunks', () => {
  const { readAhead, asked } = setUp({ chunkBytes: 64 * 1024, windowBytesMax: mebibyte });
  readAhead.note(0);
  readAhead.note(1);
  expect(asked).toHaveLength(16);
});

test('requests that come out of order by one, or skip one, continue the reader', () => {
  const { readAhead, asked } = setUp();
  for (const chunk of [0, 2, 1, 3, 5, 4, 6]) readAhead.note(chunk);
  expect(asked[0]).toBe(3);
  expect(new Set(asked).size).toBe(asked.length);
  expect(asked.at(-1)).toBe(14);
});

test('interleaved readers are told apart', () => {
  const { readAhead, asked } = setUp();
  const starts = [0, 300, 600, 900];
  for (let step = 0; step < 4; step++) for (const start of starts) readAhead.note(start + step);
  for (const start of starts) {
    const own = asked.filter((chunk) => chunk >= start && chunk < start + 300);
    expect(own[0]).toBe(start + 2);
    expect(own).toEqual(Array.from({ length: own.length }, (_, i) => start + 2 + i));
    expect(own.length).toBeGreaterThanOrEqual(8);
  }
});

test('reading backwards and at random asks for nothing', () => {
  const { readAhead, asked } = setUp();
  for (let chunk = 500; chunk > 400; chunk--) readAhead.note(chunk);
  for (let i = 0; i < 100; i++) readAhead.note((i * 397) % 1000);
  expect(asked).toEqual([]);
});

test('at the end there is nothing more to ask for', () => {
  const { readAhead, asked } = setUp({ count: 5 });
  for (let chunk = 0; chunk < 5; chunk++) readAhead.note(chunk);
  expect(asked).toEqual([2, 3, 4]);
});

test('what is refused is asked for again at the next chunk', () => {
  let full = true;
  const { readAhead, asked } = setUp({ refused: (chunk) => full && chunk > 2 });
  readAhead.note(0);
  readAhead.note(1);
  expect(asked).toEqual([2]);
  full = false;
  readAhead.note(2);
  expect(asked.slice(0, 3)).toEqual([2, 3, 4]);
});

test('a reader that is forgotten among many others begins anew', () => {
  const { readAhead, asked } = setUp({ count: 100_000 });
  readAhead.note(0);
  for (let i = 1; i <= 40; i++) readAhead.note(i * 1000);
  readAhead.note(1);
  expect(asked).toEqual([]);
  readAhead.note(2);
  expect(asked).toEqual([3, 4]);
});

describe('of a stream', () => {
  const shelf = newShelf();
  const bytes = Buffer.concat(Array.from({ length: 24 }, (_, i) => (i % 3 === 1 ? Buffer.alloc(1 << 20) : text(`block ${i}`, 1 << 20))));
  const index = parseFixedIndex(fixedIndexOf(shelf.directory, bytes, { chunkSize: 1 << 20 }));

  test('decodes every chunk once and none of zeros', async () => {
    const stream = streamOver(shelf, index);
    for (let offset = 0; offset < bytes.length; offset += 100_000) {
      expect((await bytesOf(stream, offset, 100_000)).equals(bytes.subarray(offset, offset + 100_000))).toBe(true);
    }
    const { bytesDecoded, prefetched, misses } = shelf.cache.statistics();
    expect(bytesDecoded).toBe(16 << 20);
    expect(prefetched).toBeGreaterThanOrEqual(14);
    expect(misses).toBeLessThanOrEqual(16);
  });

  test('stays right with a cache of which it may take a quarter', async () => {
    const small = newShelf({ directory: shelf.directory, cacheBytesMax: 16 << 20 });
    const stream = streamOver(small, index);
    for (let offset = 0; offset < bytes.length; offset += 77_777) {
      expect((await bytesOf(stream, offset, 77_777)).equals(bytes.subarray(offset, offset + 77_777))).toBe(true);
    }
    expect(small.cache.statistics().bytesDecoded).toBe(16 << 20);
  });
});
