import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import { HashChunker } from '../../src/format/chunker.js';
import { chunkerTable } from '../../src/format/chunker-table.js';
import { resultOrCode } from '../support/damage.js';
import { Random, seed } from '../support/random.js';
import { cutSizes, endsDigest, streamX } from './chunker-streams.js';
import { loadStream, streamSources } from './pxar/streams.js';

const kib = 1024;

describe('the table', () => {
  const bytes = Buffer.from(chunkerTable.buffer);

  it('is the one of the format', () => {
    expect(sha256(bytes)).toBe('5b52080d38287da9d2e278466e3e0db7ec98e5e8b226f50612a56fa012b1f660');
  });

  it('has every bit in half of its words, so that a run of one byte gives no cut', () => {
    expect(chunkerTable.reduce((all, word) => all ^ word, 0)).toBe(0);
    expect(chunkerTable.reduce((sum, word) => sum + (word >>> 0), 0)).toBe(549_755_813_760);
  });
});

describe('the test stream', () => {
  const stream = streamX();

  it('is the one of the vectors', () => {
    expect(sha256(stream)).toBe('39805f3ea20e41340836f91ad7d8e5dc0fe8063a1b28984dcf4419f83d95a9dd');
  });

  it.each([
    { average: 64 * kib, digest: 'd6d15113c1378d7538dc5b2d828c0550f42bc5e6eb8b79bc0b297c16bc709ad2', sizes: sizes64k() },
    { average: 512 * kib, digest: 'ea5563d46f4ef93f9089420118c2f38d51d3e3af497603f8fe3708a0e4c85d39', sizes: sizes512k() },
    { average: 1024 * kib, digest: 'e7826fb7e8cee019830434d3b84ff837949d803f0e93d170de83463b8f43471d', sizes: sizes1m() },
    {
      average: 4096 * kib,
      digest: 'fd2d63857a9d69cc387f59d6bb7f82084eb143e00f2096802d98436b1745aafd',
      sizes: [5394105, 2289883, 5203241, 1311845, 2578142],
    },
  ])('is cut as known, average $average', ({ average, digest, sizes }) => {
    const cut = cutSizes(stream, average);
    expect(cut).toEqual(sizes);
    expect(endsDigest(cut)).toBe(digest);
  });

  it('has a first chunk as known', () => {
    expect(sha256(stream.subarray(0, 35317))).toBe('8af25b1e5dbbd1a3f7ea89b46ef038056528556faa3f43e39df51559978bce9a');
  });

  it.each([1, 7, 63, 64, 65, 4096, 16_383, 16_384, 16_385, 100_000])('is cut the same from pieces of %i bytes', (pieceBytes) => {
    const part = stream.subarray(0, pieceBytes < 1000 ? 600_000 : 4_000_000);
    expect(cutSizes(part, 64 * kib, pieceBytes)).toEqual(cutSizes(part, 64 * kib));
  });

  it(`is cut the same from pieces of any size (seed ${seed})`, () => {
    const random = new Random(seed);
    const whole = cutSizes(stream, 64 * kib);
    for (let round = 0; round < 5; round++) {
      expect(
        cutSizes(stream, 64 * kib, () => random.pick([0, 1, 63, 64, 65, random.below(100_000), random.below(1_000_000)])),
      ).toEqual(whole);
    }
  });

  it('is cut at once', () => {
    const chunker = new HashChunker(4096 * kib);
    for (let at = 0; at < stream.length; at = chunker.scan(stream, at) ?? stream.length);
    expect(chunker.chunkBytes).toBe(2578142);
  });
});

describe('other streams', () => {
  test('a counter', () => {
    expect(cutSizes(counter(262_144), 64 * kib)).toEqual([143377, 262144, 262144, 262144, 118767]);
  });

  test('zeros are cut at the greatest size', () => {
    expect(cutSizes(Buffer.alloc(3 * kib * kib), 64 * kib)).toEqual(Array(12).fill(262_144));
  });

  test('nothing has no chunk, little has one', () => {
    expect(cutSizes(Buffer.alloc(0), 64 * kib)).toEqual([]);
    expect(cutSizes(Buffer.alloc(1), 64 * kib)).toEqual([1]);
  });

  test('any bytes in any pieces', () => {
    fc.assert(
      fc.property(
        fc.integer(),
        fc.integer({ min: 1, max: 300_000 }),
        fc.integer({ min: 1, max: 80_000 }),
        (salt, bytes, pieceBytes) => {
          const stream = createHash('shake128', { outputLength: bytes }).update(String(salt)).digest();
          const sizes = cutSizes(stream, 64 * kib, pieceBytes);
          expect(sizes).toEqual(reference(stream, 64 * kib));
          for (const size of sizes.slice(0, -1)) {
            expect(size).toBeGreaterThanOrEqual(16 * kib);
            expect(size).toBeLessThanOrEqual(256 * kib);
          }
        },
      ),
      { seed, numRuns: 60 },
    );
  });
});

test.each([0, 1, 65_535, 65_537, 32_768, 8 * kib * kib, 3 * kib * kib, NaN, Infinity])('%d is no average size', (average) => {
  expect(resultOrCode('average', () => new HashChunker(average))).toEqual({ code: 'BAD_STRUCTURE' });
});

describe('indexes of the real client', () => {
  const archives = [...streamSources('.pxar.didx'), ...streamSources('.mpxar.didx')];
  const catalogs = streamSources('.pcat1.didx');
  test.each([
    ...archives.map((source) => ({ source, average: 4096 * kib })),
    ...catalogs.map((source) => ({ source, average: 512 * kib })),
  ])('$source.store $source.snapshot.path $source.filename', async ({ source, average }) => {
    const { bytes, chunkEnds } = await loadStream(source);
    let end = 0;
    expect(cutSizes(bytes, average).map((size) => (end += size))).toEqual(chunkEnds);
  });
});

/** The rules as they are written, byte by byte. */
function reference(data: Buffer, average: number): number[] {
  const sizes: number[] = [];
  for (let start = 0; start < data.length;) {
    let at = start + average / 4;
    if (at > data.length) return [...sizes, data.length - start];
    let hash = 0;
    for (let q = at - 64; q < at; q++) hash = rotate(hash) ^ (chunkerTable[data[q] ?? 0] ?? 0);
    while (at - start < 4 * average && (hash & (2 * average - 1)) < 2 * average - 3 && at < data.length) {
      hash = rotate(hash) ^ (chunkerTable[data[at - 64] ?? 0] ?? 0) ^ (chunkerTable[data[at] ?? 0] ?? 0);
      at++;
    }
    sizes.push(at - start);
    start = at;
  }
  return sizes;
}

function rotate(hash: number): number {
  return (hash << 1) | (hash >>> 31);
}

function counter(count: number): Buffer {
  return Buffer.from(Uint32Array.from({ length: count }, (_, index) => index).buffer);
}

function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

function sizes64k(): number[] {
  // prettier-ignore
  return [
    35317, 66791, 180495, 58931, 158480, 56883, 124370, 95795, 56506, 30264, 34118, 88234, 24724, 27492, 34233, 133328, 42957,
    17806, 115365, 123872, 22722, 262144, 31113, 20885, 60296, 69787, 89605, 72977, 123000, 58608, 22166, 37213, 18388, 31141,
    34560, 129215, 87813, 40246, 18361, 28772, 46473, 137385, 20741, 94061, 77237, 72545, 142909, 26968, 35085, 30905, 47360,
    31467, 36622, 117743, 20828, 27944, 31869, 62379, 105209, 77364, 18152, 64955, 30142, 56819, 43664, 120180, 16455, 19159,
    70077, 22114, 28982, 18005, 107215, 139838, 22783, 55338, 25007, 28279, 22559, 67440, 35105, 27899, 166618, 23960, 32104,
    48215, 22755, 49372, 72877, 193785, 18923, 91092, 16688, 32233, 20443, 115676, 21317, 57990, 108710, 57564, 86798, 28355,
    30539, 25015, 119972, 19814, 18590, 110336, 21939, 74751, 19957, 49314, 59992, 117084, 47468, 48803, 194274, 46798, 63306,
    140031, 23106, 84035, 55155, 39946, 64984, 73663, 17935, 37615, 33504, 42280, 150199, 92868, 44273, 23129, 98011, 86286,
    22598, 253312, 54152, 87183, 21431, 37842, 23081, 49470, 26412, 58321, 30131, 28802, 19321, 25022, 30566, 59074, 68973,
    28295, 26993, 75940, 47817, 28274, 32580, 68496, 56790, 89557, 53620, 40092, 69908, 78463, 190807, 41076, 32441, 22921,
    76978, 114322, 66671, 109386, 58308, 52713, 90538, 34766, 35944, 36190, 72154, 28815, 103876, 72424, 61785, 68599, 94912,
    78814, 94101, 18706, 83534, 31222, 47170, 53984, 21860, 18825, 75858, 18062, 87830, 53808, 22425, 45116, 34367, 19103,
    25407, 25153, 51790, 26065, 71883, 30800, 138121, 25070, 141332, 73544, 231529, 17664, 28718, 45793, 64012, 47193, 45934,
    154253, 20482, 61355, 62982, 56975, 51520, 22898, 19265, 17613, 52129, 24270, 24766, 23288, 45292, 31569, 45300, 43501,
    44143, 30057, 70039, 64085, 18978, 46182, 24346, 66860, 38461, 42909, 39907, 59767, 96366, 46296, 23706, 48462, 128566,
    28104, 26531, 173130, 30206, 44443, 20387, 18858, 68737, 41319, 124397, 28826, 16891, 182779, 64125, 124921, 91584, 74904,
    29907, 27287, 25919, 23496, 57492, 60276, 25895, 18681, 66103, 33599, 66893, 60711, 32611,
  ];
}

function sizes512k(): number[] {
  // prettier-ignore
  return [
    833568, 239065, 309456, 754518, 1076808, 169877, 181439, 613404, 717096, 319621, 179253, 373830, 185040, 332379, 242285,
    336289, 764905, 1359447, 212457, 314863, 377134, 667008, 484516, 684910, 229804, 426168, 502089, 961954, 349891, 144239,
    301821, 497705, 247779, 283821, 407419, 166488, 268953, 227307, 32610,
  ];
}

function sizes1m(): number[] {
  // prettier-ignore
  return [
    833568, 1303039, 1428124, 1829374, 558870, 332379, 578574, 764905, 1577258, 686643, 2066238, 426168, 502089, 961954,
    349891, 485967, 705577, 857728, 268953, 259917,
  ];
}
