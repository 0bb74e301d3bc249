import { execFileSync, spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { readChangedBlocks } from '../../src/backup/changed-blocks.js';
import { changedBytes, clipRanges, parseChangedBitmap, parseChangedJson, type ByteRange } from '../../src/backup/changed-list.js';
import { seed } from '../support/random.js';
import { scratchDirectory } from '../support/scratch.js';

const mib = 1 << 20;
const chunk = 4 * mib;

function json(text: string | object): readonly ByteRange[] {
  return parseChangedJson(Buffer.from(typeof text === 'string' ? text : JSON.stringify(text)), 'list').ranges;
}

describe('ranges as JSON', () => {
  test('an object a line, blank lines and spaces between', () => {
    expect(json('{"start":0,"length":1}\n\n  {"start": 8388608, "length": 4194304}\r\n')).toEqual([
      { start: 0, end: chunk },
      { start: 2 * chunk, end: 3 * chunk },
    ]);
  });

  test('an array', () => {
    expect(json(' [ {"start":4194303,"length":2} ]')).toEqual([{ start: 0, end: 2 * chunk }]);
  });

  test('nothing changed', () => {
    for (const text of ['', '\n', '[]', '[{"start":5,"length":0}]']) expect(json(text)).toEqual([]);
  });

  test('unsorted, overlapping and touching ranges become one', () => {
    const list = [
      { start: 5 * chunk, length: 10 },
      { start: chunk, length: chunk },
      { start: 0, length: chunk },
      { start: chunk + 5, length: 10 },
      { start: 5 * chunk - 1, length: 2 },
    ];
    expect(json(list)).toEqual([
      { start: 0, end: 2 * chunk },
      { start: 4 * chunk, end: 6 * chunk },
    ]);
  });

  test('what is marked as clean, in each way', () => {
    const clean = [
      { start: 0, length: chunk, dirty: false },
      { offset: 0, length: chunk, type: 0, description: 'clean' },
      { offset: 0, length: chunk, type: 0 },
    ];
    for (const entry of clean) expect(json([entry])).toEqual([]);
    const dirty = [
      { start: 0, length: chunk, dirty: true },
      { offset: 0, length: chunk, type: 1, description: 'dirty' },
      { offset: 0, length: chunk, type: 1 },
      // As maps of one layer are printed: `offset` is a place in the file.
      { start: 0, length: chunk, depth: 0, present: true, zero: false, data: true, offset: 327680 },
      { start: 0, length: chunk, depth: 1, present: false, zero: true, data: false },
    ];
    for (const entry of dirty) expect(json([entry])).toEqual([{ start: 0, end: chunk }]);
  });

  test.each([
    ['null', /list, line 1: is not an object/],
    ['[[]]', /list, entry 1: is not an object/],
    ['{"start":0,"length":1}\n{"start":-1,"length":1}', /line 2: has no "start" and "length"/],
    ['{"start":0.5,"length":1}', /whole numbers/],
    ['{"start":"0","length":1}', /whole numbers/],
    ['{"start":0}', /whole numbers/],
    ['{"start":9007199254740991,"length":1}', /ends beyond any image/],
    ['{"start":1e300,"length":1}', /whole numbers/],
    ['{"start":0,"length":1,"dirty":1}', /"dirty" is neither true nor false/],
    ['{"offset":0,"length":1,"type":3,"description":"hole,zero"}', /a map of what is allocated/],
    ['{"offset":0,"length":1,"type":0,"description":"data"}', /a map of what is allocated/],
    ['start 0', /line 1, is not JSON/],
    ['[{"start":0,"length":1}', /list is not JSON/],
  ])('%s', (text, message) => {
    expect(() => json(text)).toThrow(expect.objectContaining({ code: 'BAD_STRUCTURE', message: expect.stringMatching(message) }) as Error);
  });

  test('more ranges than are read', () => {
    const line = '{"start":0,"length":1}\n';
    const text = Buffer.alloc(line.length * ((1 << 20) + 1), line);
    expect(() => parseChangedJson(text, 'list')).toThrow(expect.objectContaining({ code: 'LIMIT_EXCEEDED' }) as Error);
    expect(() => parseChangedJson(text.subarray(line.length), 'list')).not.toThrow();
    expect(() => parseChangedJson(Buffer.alloc((64 << 20) + 1, ' '), 'list')).toThrow(expect.objectContaining({ code: 'LIMIT_EXCEEDED' }) as Error);
  });

  test('what qemu-img prints for an image', () => {
    const path = join(scratchDirectory(), 'disk.raw');
    execFileSync('truncate', ['-s', '32M', path]);
    execFileSync('dd', ['if=/dev/urandom', `of=${path}`, 'bs=64K', 'count=1', 'seek=200', 'conv=notrunc', 'status=none']);
    const text = execFileSync('qemu-img', ['map', '--output=json', path]);
    // A map of what is allocated names the whole image, and none of it is called clean.
    expect(parseChangedJson(text, 'map')).toMatchObject({ ranges: [{ start: 0, end: 32 * mib }], imageBytesMin: 32 * mib - 65536 });
  });
});

describe('bitmaps', () => {
  test('the least significant bit is the first', () => {
    expect(parseChangedBitmap(Buffer.from([0b0000_0001, 0b1000_0000]), chunk, 'map')).toEqual({
      ranges: [
        { start: 0, end: chunk },
        { start: 15 * chunk, end: 16 * chunk },
      ],
      imageBytesMin: 15 * chunk + 1,
      imageBytesMax: 16 * chunk,
    });
  });

  test.each([0, 1, 511, 65537, 2 ** 32])('a granularity of %i', (granularity) => {
    expect(() => parseChangedBitmap(Buffer.alloc(1), granularity, 'map')).toThrow(expect.objectContaining({ code: 'BAD_STRUCTURE' }) as Error);
  });

  test('no bits at all', () => {
    expect(() => parseChangedBitmap(Buffer.alloc(0), 65536, 'map')).toThrow(expect.objectContaining({ code: 'BAD_STRUCTURE' }) as Error);
  });

  test(`every set bit is in a range, and a list of ranges says the same (seed ${seed})`, () => {
    const bitmap = fc.record({ bytes: fc.uint8Array({ minLength: 1, maxLength: 40 }), granularity: fc.integer({ min: 9, max: 24 }).map((bits) => 2 ** bits) });
    fc.assert(
      fc.property(bitmap, ({ bytes, granularity }) => {
        const { ranges } = parseChangedBitmap(Buffer.from(bytes), granularity, 'map');
        const bits = Array.from({ length: bytes.length * 8 }, (_, bit) => bit).filter((bit) => ((bytes[bit >> 3] ?? 0) >> (bit & 7)) & 1);
        expect(json(bits.map((bit) => ({ start: bit * granularity, length: granularity })))).toEqual(ranges);
        const dirty = new Set(bits.flatMap((bit) => chunksOf({ start: bit * granularity, end: (bit + 1) * granularity })));
        expect(new Set(ranges.flatMap(chunksOf))).toEqual(dirty);
        for (const [i, { start }] of ranges.entries()) expect(start).toBeGreaterThan(ranges[i - 1]?.end ?? -1);
      }),
      { seed },
    );
  });
});

function chunksOf({ start, end }: ByteRange): number[] {
  const first = Math.floor(start / chunk);
  return Array.from({ length: Math.ceil(end / chunk) - first }, (_, i) => first + i);
}

test('bytes of an image that changed end where it does', () => {
  const blocks = parseChangedBitmap(Buffer.from([0b101, 0]), chunk, 'map');
  expect(changedBytes(blocks, 16 * chunk)).toBe(2 * chunk);
  expect(changedBytes(blocks, 2 * chunk + 5)).toBe(chunk + 5);
  expect(clipRanges(blocks.ranges, chunk)).toEqual([{ start: 0, end: chunk }]);
});

describe('--changed and --changed-since', () => {
  const directory = scratchDirectory();
  const path = (name: string, content: string | Buffer): string => {
    const file = join(directory, name);
    writeFileSync(file, content);
    return file;
  };
  const list = path('list.json', '{"start":0,"length":1}');
  const bitmap = path('bitmap', Buffer.from([0b10]));
  const odd = path('a=b,granularity=c', '{"start":0,"length":1}');
  const csum = 'Ab'.repeat(32);
  const options = (changed: string[], since: string[], images: string[]) => readChangedBlocks({ changed, since, images });

  test('nothing', async () => {
    expect(await options([], [], ['a.img'])).toEqual(new Map());
  });

  test('the only image need not be named', async () => {
    for (const changed of [list, `a.img=${list}`, odd, `a.img=${odd}`]) {
      const blocks = await options([changed], [csum], ['a.img']);
      expect(blocks.get('a.img')).toMatchObject({ ranges: [{ start: 0, end: chunk }], since: csum.toLowerCase() });
    }
  });

  test('of several images each is named', async () => {
    const blocks = await options([`b.img=${bitmap},granularity=4M`, `a.img=${list}`], [`b.img=${csum}`], ['a.img', 'b.img']);
    expect([...blocks.keys()].sort()).toEqual(['a.img', 'b.img']);
    expect(blocks.get('a.img')).toMatchObject({ since: undefined });
    expect(blocks.get('b.img')).toMatchObject({ ranges: [{ start: chunk, end: 2 * chunk }], since: csum.toLowerCase() });
  });

  test.each(['65536', '64K', '64KiB'])('a granularity of %s', async (granularity) => {
    const blocks = await options([`${bitmap},granularity=${granularity}`], [], ['a.img']);
    expect(blocks.get('a.img')).toMatchObject({ imageBytesMin: 65537, imageBytesMax: 8 * 65536 });
  });

  test('a pipe', async () => {
    const pipe = join(directory, 'pipe');
    execFileSync('mkfifo', [pipe]);
    const reading = options([pipe], [], ['a.img']);
    spawn('sh', ['-c', 'echo "[{\\"start\\":9437184,\\"length\\":1}]" > "$0"', pipe]);
    expect((await reading).get('a.img')).toMatchObject({ ranges: [{ start: 2 * chunk, end: 3 * chunk }] });
  });

  test.each([
    ['an image that is not backed up', [list], [], ['a.img', 'b.img'], 'USAGE', /does not begin with the name of an image/],
    ['no image at all', [list], [], [], 'USAGE', /does not begin/],
    ['twice', [`a.img=${list}`, list], [], ['a.img'], 'USAGE', /twice for a\.img/],
    ['a checksum without a list', [], [csum], ['a.img'], 'USAGE', /without --changed/],
    ['no checksum', [list], ['abc'], ['a.img'], 'USAGE', /64 hex digits/],
    ['no file', [join(directory, 'none')], [], ['a.img'], 'NOT_FOUND', /none does not exist/],
    ['a directory', [directory], [], ['a.img'], 'IS_A_DIRECTORY', /is a directory/],
    ['a bitmap without granularity', [bitmap], [], ['a.img'], 'BAD_STRUCTURE', /bitmap, line 1, is not/],
    ['what never ends', ['/dev/zero'], [], ['a.img'], 'LIMIT_EXCEEDED', /larger than/],
  ] as const)('%s', async (_what, changed, since, images, code, message) => {
    await expect(options([...changed], [...since], [...images])).rejects.toMatchObject({ code, message: expect.stringMatching(message) });
  });
});
