/** Partition tables made by sfdisk, beside what sfdisk and libblkid say of them, and damaged ones. */
import { execFileSync } from 'node:child_process';
import { readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { readPartitions } from '../../src/archive/partitions/partition.js';
import { parseFixedIndex } from '../../src/format/fixed-index.js';
import { expectedFiles, type ExpectedImage } from '../support/expected.js';
import { expectedJson, storePath, type FixtureStore } from '../support/fixtures.js';
import { Random, seed } from '../support/random.js';
import { scratchDirectory } from '../support/scratch.js';
import { fixedIndexOf, newShelf, storedStream, streamOver } from '../support/streams.js';
import { fixtureKeys } from '../support/chunks.js';

interface Found {
  readonly number: number;
  readonly start: number;
  readonly length: number;
}

const directory = scratchDirectory();
const shelf = newShelf();
const mebibyte = 1 << 20;
let images = 0;

/** An image of `bytes` bytes with the table that a script of sfdisk describes. */
function imageBy(script: string, { bytes = 64 * mebibyte, sectorBytes = 512 } = {}): string {
  const path = join(directory, `image-${images++}`);
  writeFileSync(path, '');
  truncateSync(path, bytes);
  onDevice(path, sectorBytes, (device) => {
    execFileSync('sfdisk', ['--quiet', '--no-reread', '--no-tell-kernel', device], { input: script, stdio: 'pipe' });
  });
  return path;
}

/** sfdisk takes the length of sectors from the device; for the usual one a file is enough. */
function onDevice<T>(path: string, sectorBytes: number, use: (device: string) => T): T {
  if (sectorBytes === 512) return use(path);
  const device = execFileSync('losetup', ['--find', '--show', '--sector-size', String(sectorBytes), path], { encoding: 'utf8' }).trim();
  try {
    return use(device);
  } finally {
    execFileSync('losetup', ['--detach', device]);
  }
}

async function found(image: Buffer): Promise<readonly Found[]> {
  const stream = streamOver(shelf, parseFixedIndex(fixedIndexOf(shelf.directory, image)));
  const partitions = await readPartitions(stream);
  stream.close();
  return partitions;
}

interface Table {
  readonly partitiontable: { readonly partitions: readonly { node: string; start: number; size: number; type: string }[] };
}

function bySfdisk(path: string, sectorBytes = 512): Found[] {
  return onDevice(path, sectorBytes, (device) => {
    const { partitiontable } = JSON.parse(execFileSync('sfdisk', ['--json', device], { encoding: 'utf8' })) as Table;
    return partitiontable.partitions
      .filter(({ type }) => !['5', 'f', '85'].includes(type))
      .map(({ node, start, size }) => ({ number: Number(/[0-9]+$/.exec(node)), start: start * sectorBytes, length: size * sectorBytes }))
      .sort((a, b) => a.number - b.number);
  });
}

/** What libblkid makes of it, which follows the kernel's rules (this kernel may have been built without partition tables). */
function byBlkid(path: string, sectorBytes = 512): Found[] {
  const options = ['--raw', '--noheadings', '--output', 'NR,START,SECTORS,TYPE', '--sector-size', String(sectorBytes), path];
  const lines = execFileSync('partx', options, { encoding: 'utf8', stdio: 'pipe' }).trim().split('\n');
  const rows = lines.map((line) => line.split(' '));
  return rows
    .filter(([, , , type = '']) => !['0x5', '0xf', '0x85'].includes(type))
    .map(([number, start, sectors]) => ({ number: Number(number), start: Number(start) * 512, length: Number(sectors) * 512 }));
}

const gpt = `label: gpt\nsize=4M, type=U\nsize=8M, type=L, name="data"\nsize=1M\nsize=20M\n`;
const mbr = 'label: dos\nsize=4M, type=83, bootable\nsize=6M, type=82\nsize=30M, type=5\nsize=2M, type=c\nsize=3M, type=83\nsize=5M, type=83\nsize=7M, type=7\n';

describe.each([
  ['four primary partitions', 'label: dos\nsize=4M\nsize=8M\nsize=1M\nsize=2M\n'],
  ['primary and logical partitions', mbr],
  ['an extended partition alone, with four logical ones', 'label: dos\ntype=f\nsize=2M\nsize=3M\nsize=4M\nsize=5M\n'],
  ['one Linux extended partition', 'label: dos\nsize=1M\ntype=85\nsize=2M\nsize=3M\n'],
  ['primary partitions that are not in order', 'label: dos\nstart=20M, size=4M\nstart=1M, size=8M\n'],
  ['gaps between numbers', 'label: dos\nunit: sectors\n1: start=2048, size=2048\n3: start=8192, size=4096\n4: start=20480, size=100\n'],
  ['a GPT', gpt],
  ['a GPT with gaps between numbers', 'label: gpt\n2: start=4M, size=4M\n7: start=20M, size=1M\n128: start=30M, size=2M\n'],
  ['a GPT with 512 entries', 'label: gpt\ntable-length: 512\nsize=4M\nsize=8M\n300: size=2M\n'],
])('%s', (_, script) => {
  const path = imageBy(script);

  test('as sfdisk and libblkid say', async () => {
    const partitions = await found(readFileSync(path));
    expect(partitions.length).toBeGreaterThan(0);
    expect(partitions).toEqual(bySfdisk(path));
    expect(partitions).toEqual(byBlkid(path));
  });
});

describe('sectors of 4096 bytes', () => {
  test('a GPT', async () => {
    const path = imageBy(gpt, { sectorBytes: 4096 });
    expect(await found(readFileSync(path))).toEqual(bySfdisk(path, 4096));
    expect(bySfdisk(path, 4096)).toEqual(byBlkid(path, 4096));
  });

  test('boot records, told by the file system that begins where a partition does', async () => {
    const path = imageBy('label: dos\nsize=16M\nsize=8M\n', { sectorBytes: 4096 });
    const [first] = bySfdisk(path, 4096);
    execFileSync('mkfs.ext4', ['-q', '-E', `offset=${first?.start ?? 0}`, path, '8M']);
    expect(await found(readFileSync(path))).toEqual(bySfdisk(path, 4096));
  });

  test('boot records with logical partitions, told by the record in the extended one', async () => {
    const path = imageBy('label: dos\nsize=4M\ntype=5\nsize=8M\nsize=4M\n', { sectorBytes: 4096 });
    expect(await found(readFileSync(path))).toEqual(bySfdisk(path, 4096));
    expect(bySfdisk(path, 4096)).toEqual(byBlkid(path, 4096));
  });
});

describe('a GPT that is damaged', () => {
  const whole = readFileSync(imageBy(gpt));
  const expected = [
    { number: 1, start: 1 * mebibyte, length: 4 * mebibyte },
    { number: 2, start: 5 * mebibyte, length: 8 * mebibyte },
    { number: 3, start: 13 * mebibyte, length: 1 * mebibyte },
    { number: 4, start: 14 * mebibyte, length: 20 * mebibyte },
  ];
  const header = 512;
  const entries = 1024;
  const copy = whole.length - 512;

  function damaged(...places: number[]): Buffer {
    const image = Buffer.from(whole);
    for (const at of places) image[at] = (image[at] ?? 0) ^ 0xff;
    return image;
  }

  test.each([
    ['nothing', []],
    ['the magic', [header]],
    ['the CRC of the header', [header + 16]],
    ['a field of the header', [header + 40]],
    ['an entry', [entries + 128 + 33]],
    ['the copy', [copy]],
  ] as [string, number[]][])('in %s still shows its partitions', async (_, places) => {
    expect(await found(damaged(...places))).toEqual(expected);
  });

  test('with both headers gone shows none, and not the protective record', async () => {
    expect(await found(damaged(header, copy))).toEqual([]);
    expect(await found(damaged(entries, copy))).toEqual([]);
  });

  test('with its first MiB gone is read from its copy', async () => {
    expect(await found(Buffer.from(whole).fill(0, 0, mebibyte))).toEqual(expected);
  });

  test('cut off shows what is left', async () => {
    const cut = whole.subarray(0, 20 * mebibyte);
    expect(await found(cut)).toEqual([...expected.slice(0, 3), { number: 4, start: 14 * mebibyte, length: 6 * mebibyte }]);
    expect(await found(whole.subarray(0, 10 * mebibyte))).toEqual([expected[0], { number: 2, start: 5 * mebibyte, length: 5 * mebibyte }]);
  });

  test('header fields beyond all bounds', async () => {
    const fields: [offset: number, value: bigint][] = [
      [72, 2n ** 63n],
      [72, 2n ** 40n],
      [80, 2n ** 31n],
      [84, 0n],
      [84, 2n ** 32n - 1n],
      [12, 5000n],
      [12, 0n],
      [24, 7n],
    ];
    for (const [offset, value] of fields) {
      const image = damaged(copy);
      if (offset === 72 || offset === 24) image.writeBigUInt64LE(value, header + offset);
      else image.writeUInt32LE(Number(value), header + offset);
      image.writeUInt32LE(0, header + 16);
      image.writeUInt32LE(crc32(image.subarray(header, header + 92)), header + 16);
      expect(await found(image), `offset ${offset}`).toEqual([]);
    }
  });

  test('entries outside of the image or backwards are left out, the others stay', async () => {
    const entry = (i: number): number => entries + i * 128;
    const image = damaged(copy);
    image.writeBigUInt64LE(2n ** 60n, entry(0) + 32);
    image.writeBigUInt64LE(1n, entry(1) + 40);
    image.writeBigUInt64LE(0n, entry(2) + 32);
    image.writeUInt32LE(crc32(image.subarray(entries, entries + 128 * 128)), header + 88);
    image.writeUInt32LE(0, header + 16);
    image.writeUInt32LE(crc32(image.subarray(header, header + 92)), header + 16);
    expect(await found(image)).toEqual([expected[3]]);
  });
});

test('an old GPT behind a boot record with partitions of its own is not looked at, as by libblkid', async () => {
  const path = imageBy(gpt);
  const dos = readFileSync(imageBy('label: dos\nsize=30M\nsize=5M\n')).subarray(0, 512);
  const image = readFileSync(path);
  dos.copy(image);
  writeFileSync(path, image);
  expect(await found(image)).toEqual(byBlkid(path));
  expect((await found(image)).map(({ length }) => length)).toEqual([30 * mebibyte, 5 * mebibyte]);
});

describe('boot records that are damaged', () => {
  const whole = readFileSync(imageBy(mbr));
  const table = 446;

  test('a partition that begins outside of the image is left out, one that ends outside is cut', async () => {
    const image = Buffer.from(whole);
    image.writeUInt32LE(0x7fff_ffff, table + 16 + 8);
    image.writeUInt32LE(0x7fff_ffff, table + 48 + 12);
    const parts = await found(image);
    expect(parts.map(({ number }) => number)).toEqual([1, 4, 5, 6, 7]);
    expect(parts[1]).toEqual({ number: 4, start: 41 * mebibyte, length: 23 * mebibyte });
  });

  test('a chain of logical partitions that goes in circles ends', async () => {
    const image = Buffer.from(whole);
    const extended = 11 * mebibyte;
    // The second record points back at the first.
    const second = extended + image.readUInt32LE(extended + table + 16 + 8) * 512;
    image.writeUInt32LE(0, second + table + 16 + 8);
    expect((await found(image)).map(({ number }) => number)).toEqual([1, 2, 4, 5, 6]);
    // The first points at itself.
    image.writeUInt32LE(0, extended + table + 16 + 8);
    expect((await found(image)).map(({ number }) => number)).toEqual([1, 2, 4, 5]);
  });

  test('a chain that leads out of the image ends', async () => {
    const image = Buffer.from(whole);
    image.writeUInt32LE(0xffff_ffff, 11 * mebibyte + table + 16 + 8);
    expect((await found(image)).map(({ number }) => number)).toEqual([1, 2, 4, 5]);
    image.writeUInt32LE(0xffff_fff0, table + 32 + 8);
    expect((await found(image)).map(({ number }) => number)).toEqual([1, 2, 4]);
  });

  test('two extended partitions number their logical ones one after the other, as libblkid does', async () => {
    const image = Buffer.from(whole);
    // The fourth partition becomes an extended one with a partition of 1 MiB in it.
    image[table + 48 + 4] = 5;
    const record = 41 * mebibyte;
    image[record + table + 4] = 0x83;
    image.writeUInt32LE(63, record + table + 8);
    image.writeUInt32LE(2048, record + table + 12);
    image.writeUInt16LE(0xaa55, record + 510);
    const path = join(directory, 'two-extended');
    writeFileSync(path, image);
    expect(await found(image)).toEqual(byBlkid(path));
    expect((await found(image)).map(({ number }) => number)).toEqual([1, 2, 5, 6, 7, 8]);
  });

  test('a file system without partitions is none, although its first sector ends like a boot record', async () => {
    const fat = Buffer.from('eb3c906d6b66732e66617400020401000200020000f80000', 'hex');
    const image = Buffer.alloc(2 * mebibyte);
    fat.copy(image);
    image.write('This is not a bootable disk.  Please insert a bootable floppy and press any key to try again', 0x3e + 340, 'latin1');
    image.writeUInt16LE(0xaa55, 510);
    expect(await found(image)).toEqual([]);
    const ext4 = join(directory, 'ext4');
    writeFileSync(ext4, '');
    truncateSync(ext4, 8 * mebibyte);
    execFileSync('mkfs.ext4', ['-q', ext4]);
    expect(await found(readFileSync(ext4))).toEqual([]);
  });

  test(`random tables never crash, and nothing is shown outside of the image (seed ${seed})`, async () => {
    const numbers = new Random(seed);
    for (let round = 0; round < 40; round++) {
      const image = Buffer.from(whole.subarray(0, 12 * mebibyte));
      for (let i = 0; i < 20; i++) {
        const sector = numbers.pick([0, 0, 11 * mebibyte]);
        image[sector + table + numbers.below(64)] = numbers.below(256);
      }
      for (const { number, start, length } of await found(image)) {
        expect(number).toBeGreaterThan(0);
        expect(start).toBeGreaterThan(0);
        expect(length).toBeGreaterThan(0);
        expect(start + length).toBeLessThanOrEqual(image.length);
      }
    }
  });
});

test.each([1, 511, 512, 513, 1024, 4096, 8191])('an image of %i bytes', async (bytes) => {
  expect(await found(Buffer.alloc(bytes))).toEqual([]);
  expect(await found(Buffer.alloc(bytes, 0xff))).toEqual([]);
});

describe.each(['sample', 'vault'] as const)('the images of %s', (name: FixtureStore) => {
  test.each(expectedFiles(name, '.img.json'))('%s', async (file) => {
    const keys = fixtureKeys();
    const own = newShelf({ directory: storePath(name), keys });
    const [key] = name === 'vault' ? keys : [];
    const stream = storedStream(own, file.replace(/json$/, 'fidx'), { key: key && { key, number: 0 } });
    const { partitions, partition_table } = expectedJson(name, file) as ExpectedImage;
    const expected = partition_table === null ? [] : partitions.map(({ number, start, length }) => ({ number, start, length }));
    expect(await readPartitions(stream)).toEqual(expected);
  });
});
