/** Never a wrong byte from the disk, never more bytes on it than were granted, and a reader who notices nothing of either. */
import { spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, utimesSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { afterEach, describe, expect, test } from 'vitest';
import { ChunkCache, type ChunkCacheOptions, type ChunkRef } from '../../src/codec/chunk-cache.js';
import type { FetchedChunks } from '../../src/codec/chunk-source.js';
import { DiskCache } from '../../src/codec/disk-cache.js';
import { codeOf, messageOf, StoreError } from '../../src/errors.js';
import { chunkPath } from '../../src/format/chunk-path.js';
import { fixtureKeys, writeChunk } from '../support/chunks.js';
import { canMake, mountedFileSystem } from '../support/file-systems.js';
import { noise, Random, seed, text } from '../support/random.js';
import { scratchDirectory } from '../support/scratch.js';

const store = scratchDirectory();
const keys = fixtureKeys();
const mebibyte = 1 << 20;
const isRoot = process.geteuid?.() === 0;
const pathOf = (digest: Buffer): string => join(store, chunkPath(digest));

/** A server that has the chunk files of the store. */
class Server implements FetchedChunks {
  readonly kind = 'fetched';
  readonly requestsMax = 8;
  readonly bytesInFlightMax = 64 * mebibyte;
  fetches = 0;

  async fetch({ digest }: ChunkRef): Promise<Uint8Array<ArrayBuffer>> {
    this.fetches++;
    await setTimeout(1);
    if (!existsSync(pathOf(digest))) throw new StoreError('CHUNK_MISSING', 'the server does not have it');
    return new Uint8Array(readFileSync(pathOf(digest)));
  }
}

interface Opened {
  readonly cache: ChunkCache;
  readonly disk: DiskCache;
  readonly log: string[];
}

const opened: ChunkCache[] = [];
afterEach(async () => {
  await Promise.all(opened.splice(0).map((cache) => cache.close()));
});

async function open(directory: string, { bytesMax = 1 << 30, ...options }: Partial<ChunkCacheOptions> = {}): Promise<Opened> {
  const log: string[] = [];
  const disk = new DiskCache({ directory, bytesMax, log: (line) => log.push(line) });
  const cache = new ChunkCache({ bytesMax: 16 * mebibyte, keys: keys.map(({ encKey }) => encKey), source: new Server(), diskCache: disk, workers: 2, ...options });
  opened.push(cache);
  await disk.ready();
  return { cache, disk, log };
}

async function close({ cache }: Opened): Promise<void> {
  opened.splice(opened.indexOf(cache), 1);
  await cache.close();
}

interface Sample {
  readonly ref: ChunkRef;
  readonly content: Buffer;
}

function sample(label: string, bytes: number, keyNumber = -1): Sample {
  const content = noise(label, bytes);
  return { ref: { digest: writeChunk(store, content, { key: keys[keyNumber] }), length: bytes, keyNumber }, content };
}

async function check(cache: ChunkCache, samples: readonly Sample[]): Promise<void> {
  for (const { ref, content } of samples) expect((cache.get(ref) ?? (await cache.load(ref))).equals(content)).toBe(true);
}

/** Paths of chunk files, and of what is being written. */
function filesIn(directory: string): string[] {
  return readdirSync(directory, { recursive: true, encoding: 'utf8' }).filter((name) => /^([0-9a-f]{2}|tmp)\/./.test(name));
}

function bytesIn(directory: string): number {
  return filesIn(directory).reduce((sum, name) => sum + (statSync(join(directory, name), { throwIfNoEntry: false })?.size ?? 0), 0);
}

function cachedPath(directory: string, { ref: { digest } }: Sample): string {
  const hex = digest.toString('hex');
  return join(directory, hex.slice(0, 2), hex);
}

const newPlace = (): string => join(scratchDirectory(), 'made', 'cache');

describe('what was read once', () => {
  const samples = [sample('plain', 300_000), sample('encrypted', 200_000, 0), sample('other key', 100_000, 1), { ...sample('tiny', 1) }];

  test('comes from the disk after a restart, encrypted as it was, and nobody else can look at it', async () => {
    const directory = newPlace();
    const first = await open(directory);
    await check(first.cache, samples);
    expect(first.disk.statistics()).toMatchObject({ hits: 0, misses: 4, kept: 4, dropped: 0, files: 4 });
    for (const each of samples) expect(readFileSync(cachedPath(directory, each)).equals(readFileSync(pathOf(each.ref.digest)))).toBe(true);
    expect(statSync(directory).mode & 0o777).toBe(0o700);
    expect(filesIn(directory).filter((name) => name.startsWith('tmp/'))).toEqual([]);
    await close(first);
    const source = new Server();
    const again = await open(directory, { source });
    await check(again.cache, samples);
    expect(source.fetches).toBe(0);
    expect(again.disk.statistics()).toMatchObject({ hits: 4, misses: 0, kept: 0, dropped: 0, files: 4 });
    expect(again.log).toEqual([]);
  });

  test('comes from the disk as well when the store is a directory', async () => {
    const directory = newPlace();
    const source = { kind: 'files', pathOf } as const;
    const first = await open(directory, { source });
    const compressible = { ref: { digest: writeChunk(store, text('t', 70_000)), length: 70_000, keyNumber: -1 }, content: text('t', 70_000) };
    await check(first.cache, [...samples, compressible]);
    await close(first);
    const again = await open(directory, { source: { kind: 'files', pathOf: () => '/nowhere' } });
    await check(again.cache, [...samples, compressible]);
    expect(again.disk.statistics()).toMatchObject({ hits: 5, dropped: 0 });
  });

  test('is never believed for another key or length', async () => {
    const opened = await open(newPlace());
    await check(opened.cache, samples);
    const [plain, encrypted] = samples;
    for (const ref of [{ ...plain?.ref, keyNumber: 0 }, { ...plain?.ref, length: 1000 }, { ...encrypted?.ref, keyNumber: 1 }, { ...encrypted?.ref, keyNumber: -1 }]) {
      await expect(opened.cache.load(ref as ChunkRef)).rejects.toMatchObject({ code: 'CHUNK_CORRUPT' });
    }
    await close(opened);
  });

  test('is asked for before all files are known', async () => {
    const directory = newPlace();
    const before = await open(directory);
    await check(before.cache, samples);
    await close(before);
    const disk = new DiskCache({ directory, bytesMax: 1 << 30, log: () => undefined });
    const source = new Server();
    const cache = new ChunkCache({ bytesMax: 16 * mebibyte, keys: keys.map(({ encKey }) => encKey), source, diskCache: disk, workers: 1 });
    opened.push(cache);
    await check(cache, samples);
    expect(source.fetches).toBe(0);
  });
});

describe('a file that was changed goes, and the chunk comes from the server', () => {
  const damages: [string, (path: string) => void][] = [
    ['a flipped byte', (path) => {
      const bytes = readFileSync(path);
      bytes.writeUInt8(bytes.readUInt8(50) ^ 1, 50);
      writeFileSync(path, bytes);
    }],
    ['cut off', (path) => { truncateSync(path, 100); }],
    ['empty', (path) => { truncateSync(path, 0); }],
    ['too long', (path) => { writeFileSync(path, noise('tail', 50), { flag: 'a' }); }],
    ['removed', (path) => { rmSync(path); }],
    ['another chunk', (path) => { writeFileSync(path, readFileSync(pathOf(sample('another', 40_000).ref.digest))); }],
    ['zeros', (path) => { writeFileSync(path, Buffer.alloc(statSync(path).size)); }],
  ];

  test.each(damages.flatMap(([name, damage]) => [[name, 'before the start', damage] as const, [name, 'while it is used', damage] as const]))('%s %s', async (_, when, damage) => {
    const directory = newPlace();
    const one = sample('damaged', 40_000);
    const first = await open(directory, { bytesMax: 1 << 30 });
    await check(first.cache, [one]);
    if (when === 'before the start') await close(first);
    damage(cachedPath(directory, one));
    const source = new Server();
    const reader = when === 'before the start' ? await open(directory, { source }) : first;
    // So that the memory does not have it.
    if (reader === first) await check(reader.cache, Array.from({ length: 20 }, (_, i) => sample(`more ${i}`, mebibyte)));
    const known = existsSync(cachedPath(directory, one)) || when !== 'before the start';
    await check(reader.cache, [one]);
    if (when === 'before the start') expect(source.fetches).toBe(1);
    expect(reader.disk.statistics().dropped).toBe(known ? 1 : 0);
    expect(readFileSync(cachedPath(directory, one)).equals(readFileSync(pathOf(one.ref.digest)))).toBe(true);
    expect(reader.log).toEqual([]);
  });

  test('and if the server does not have it either, the reader is told so, and the file is gone', async () => {
    const directory = newPlace();
    const one = sample('gone', 40_000);
    const first = await open(directory);
    await check(first.cache, [one]);
    await close(first);
    truncateSync(cachedPath(directory, one), 20_000);
    rmSync(pathOf(one.ref.digest));
    const again = await open(directory);
    await expect(again.cache.load(one.ref)).rejects.toMatchObject({ code: 'CHUNK_MISSING' });
    expect(filesIn(directory).filter((name) => name.length > 3)).toEqual([]);
  });
});

describe('never more bytes than granted', () => {
  const bytesMax = 8 * mebibyte;

  test(`while many read (seed ${seed})`, async () => {
    const directory = newPlace();
    const { cache, disk } = await open(directory, { bytesMax });
    const numbers = new Random(seed);
    const samples = Array.from({ length: 40 }, (_, i) => sample(`evicted ${i}`, 1 + numbers.below(mebibyte)));
    let most = 0;
    const watch = setInterval(() => {
      most = Math.max(most, bytesIn(directory));
    }, 1);
    const reader = async (_: unknown, i: number): Promise<void> => {
      const own = new Random(seed + i);
      for (let round = 0; round < 30; round++) await check(cache, [own.pick(samples)]);
    };
    await Promise.all(Array.from({ length: 8 }, reader));
    clearInterval(watch);
    expect(most).toBeGreaterThan(bytesMax / 2);
    expect(most).toBeLessThanOrEqual(bytesMax);
    expect(disk.statistics().bytesUsed).toBeLessThanOrEqual(bytesMax);
    expect(disk.statistics().kept).toBeGreaterThan(10);
    expect(disk.statistics().files).toBe(filesIn(directory).filter((name) => name.length > 60).length);
  });

  test('the least recently used go first, after a restart with less too', async () => {
    const directory = newPlace();
    const first = await open(directory, { bytesMax: 64 * mebibyte });
    const samples = Array.from({ length: 12 }, (_, i) => sample(`order ${i}`, mebibyte));
    await check(first.cache, samples);
    await close(first);
    // As if written an hour ago, one after the other; the first is used again.
    samples.forEach((each, i) => { utimesSync(cachedPath(directory, each), Date.now() / 1000 - 3600 + i, Date.now() / 1000 - 3600 + i); });
    const second = await open(directory, { bytesMax: 64 * mebibyte });
    await check(second.cache, samples.slice(0, 1));
    await close(second);
    const third = await open(directory, { bytesMax });
    const there = samples.map((each) => existsSync(cachedPath(directory, each)));
    expect(there.indexOf(true)).toBe(0);
    expect(there.slice(1).lastIndexOf(false)).toBeLessThan(there.slice(1).indexOf(true));
    expect(bytesIn(directory)).toBeLessThanOrEqual(bytesMax);
    expect(there.filter(Boolean).length).toBe(7);
    await check(third.cache, samples);
  });
});

describe('a directory', () => {
  test('is used by one process at a time', async () => {
    const directory = newPlace();
    const first = await open(directory);
    expect(() => new DiskCache({ directory, bytesMax: 1 << 30, log: () => undefined })).toThrow(expect.objectContaining({ code: 'LOCKED' }) as Error);
    await close(first);
    await open(directory);
  });

  test('with other files in it is refused and left alone', () => {
    const directory = scratchDirectory();
    writeFileSync(join(directory, 'letter.txt'), 'dear');
    const make = (): DiskCache => new DiskCache({ directory, bytesMax: 1 << 30, log: () => undefined });
    expect(make).toThrow(/is a directory with other files in it/);
    expect(readdirSync(directory)).toEqual(['letter.txt']);
    expect(statSync(directory).mode & 0o777).toBe(0o755);
  });

  test.runIf(isRoot)('of another user is refused', async () => {
    const { chownSync } = await import('node:fs');
    const directory = scratchDirectory();
    chownSync(directory, 65534, 65534);
    expect(() => new DiskCache({ directory, bytesMax: 1 << 30, log: () => undefined })).toThrow(expect.objectContaining({ code: 'NO_PERMISSION' }) as Error);
  });

  test('of a process that was killed while it wrote is whole', async () => {
    const directory = newPlace();
    const samples = Array.from({ length: 30 }, (_, i) => sample(`killed ${i}`, 4 * mebibyte));
    const dist = new URL('../../dist/', import.meta.url).pathname;
    const program = `
      import { ChunkCache } from '${dist}codec/chunk-cache.js';
      import { DiskCache } from '${dist}codec/disk-cache.js';
      import { chunkPath } from '${dist}format/chunk-path.js';
      const diskCache = new DiskCache({ directory: '${directory}', bytesMax: 40 << 20, log: console.log });
      await diskCache.ready();
      const source = { kind: 'files', pathOf: (digest) => '${store}/' + chunkPath(digest) };
      const cache = new ChunkCache({ bytesMax: 16 << 20, keys: [], source, diskCache, workers: 2 });
      const refs = ${JSON.stringify(samples.map(({ ref }) => ref.digest.toString('hex')))}.map((hex) => ({ digest: Buffer.from(hex, 'hex'), length: ${4 * mebibyte}, keyNumber: -1 }));
      await cache.load(refs[0]);
      console.log('begins');
      for (;;) await Promise.all(refs.map((ref) => cache.load(ref)));`;
    for (let round = 0; round < 3; round++) {
      const child = spawn(process.execPath, ['--input-type=module', '--eval', program], { stdio: ['ignore', 'pipe', 'inherit'] });
      await new Promise((resolve) => child.stdout.once('data', resolve));
      await setTimeout(200 + round * 130);
      const ended = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGKILL');
      await ended;
      mkdirSync(join(directory, 'tmp'), { recursive: true });
      writeFileSync(join(directory, 'tmp', `${'ab'.repeat(32)}.tmp_AbCd12`), 'left');
      expect(bytesIn(directory)).toBeLessThanOrEqual((40 << 20) + 4);
      const reader = await open(directory, { bytesMax: 40 << 20 });
      expect(readdirSync(join(directory, 'tmp'))).toEqual([]);
      expect(reader.disk.statistics().files).toBeGreaterThan(0);
      await check(reader.cache, samples.slice(0, 12));
      expect(reader.disk.statistics().dropped).toBe(0);
      await close(reader);
    }
  });
});

describe.runIf(isRoot && canMake('tmpfs'))('on a small file system', () => {
  test('some stays free for others, and more when they need more', async () => {
    const place = mountedFileSystem('tmpfs', { megabytes: 64 });
    chmodSync(place, 0o700);
    const directory = join(place, 'cache');
    const samples = Array.from({ length: 40 }, (_, i) => sample(`free ${i}`, 2 * mebibyte));
    const first = await open(directory);
    await check(first.cache, samples);
    await close(first);
    const again = await open(directory);
    await check(again.cache, samples);
    expect(bytesIn(place)).toBeLessThanOrEqual(64 * mebibyte);
    expect(bytesIn(directory)).toBeGreaterThan(30 * mebibyte);
  });

  test('that others fill, reading goes on, and the log says so once', async () => {
    const place = mountedFileSystem('tmpfs', { megabytes: 64 });
    const directory = join(place, 'cache');
    const { cache, disk, log } = await open(directory);
    const samples = Array.from({ length: 12 }, (_, i) => sample(`full ${i}`, 2 * mebibyte));
    await check(cache, samples.slice(0, 2));
    try {
      writeFileSync(join(place, 'other'), Buffer.alloc(64 * mebibyte));
    } catch (error) {
      expect(codeOf(error)).toBe('ENOSPC');
    }
    await check(cache, samples);
    await check(cache, samples);
    expect(log.length, messageOf(log)).toBe(1);
    expect(log[0]).toMatch(/keeps no more chunks for now: (ENOSPC|its file system is full).*reading goes on/);
    expect(disk.statistics().keeping).toBe(false);
    expect(readdirSync(join(directory, 'tmp'))).toEqual([]);
  });
});

test('a directory that goes while it is used costs nothing but the cache', async () => {
  const directory = newPlace();
  const { cache, log } = await open(directory);
  const samples = Array.from({ length: 20 }, (_, i) => sample(`taken ${i}`, mebibyte));
  await check(cache, samples);
  rmSync(dirname(directory), { recursive: true });
  await check(cache, samples);
  expect(log.length).toBe(1);
});
