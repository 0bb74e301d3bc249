/** Never a wrong byte, never a deadlock, whatever is asked for at once. */
import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { ChunkCache, type ChunkCacheOptions, type ChunkRef } from '../../src/codec/chunk-cache.js';
import { codeOf } from '../../src/errors.js';
import { chunkPath } from '../../src/format/chunk-path.js';
import { encodeBlob, fixtureKeys, writeChunk } from '../support/chunks.js';
import { noise, Random, seed, text } from '../support/random.js';
import { scratchDirectory } from '../support/scratch.js';

const directory = scratchDirectory();
const keys = fixtureKeys();
const mebibyte = 1 << 20;
const pathOf = (digest: Buffer): string => join(directory, chunkPath(digest));
const caches: ChunkCache[] = [];

function newCache(options: Partial<ChunkCacheOptions> = {}): ChunkCache {
  const cache = new ChunkCache({ bytesMax: 16 * mebibyte, keys: keys.map(({ encKey }) => encKey), source: { kind: 'files', pathOf }, ...options });
  caches.push(cache);
  return cache;
}

afterEach(async () => {
  await Promise.all(caches.splice(0).map((cache) => cache.close()));
});

interface Sample {
  readonly ref: ChunkRef;
  readonly content: Buffer;
}

function sample(label: string, bytes: number, keyNumber = -1, content = text(label, bytes)): Sample {
  return { ref: { digest: writeChunk(directory, content, { key: keys[keyNumber] }), length: bytes, keyNumber }, content };
}

describe('a cache of 16 MiB', () => {
  const sizes = [4, 4, 4, 4, 4, 4, 4, 4, 16, 16, 16, 4, 1, 0.3, 0.05, 12, 2.5, 0.001];
  const samples = sizes.map((size, i) => sample(`chunk ${i}`, Math.ceil(size * mebibyte), i % 3 === 2 ? i % 2 : -1));

  test(`64 readers of different chunks get the right bytes (seed ${seed})`, async () => {
    const cache = newCache();
    let reads = 0;
    const reader = async (_: unknown, i: number): Promise<void> => {
      const numbers = new Random(seed + i);
      for (let round = 0; round < 8; round++) {
        const { ref, content } = numbers.pick(samples);
        if (numbers.below(4) === 0) cache.prefetch(numbers.pick(samples).ref);
        const view = cache.get(ref) ?? (await cache.load(ref));
        // As long as the turn lasts the view must hold, whatever others start meanwhile.
        for (let others = 0; others < 3; others++) cache.load(numbers.pick(samples).ref).catch(() => undefined);
        await Promise.resolve();
        if (!view.equals(content)) throw new Error(`reader ${i} got wrong bytes for chunk ${samples.findIndex((each) => each.ref === ref)}`);
        reads++;
      }
    };
    await Promise.all(Array.from({ length: 64 }, reader));
    expect(reads).toBe(512);
    const { bytesUsed, bytesMax, failures } = cache.statistics();
    expect(bytesUsed).toBeLessThanOrEqual(bytesMax);
    expect(bytesMax).toBe(16 * mebibyte);
    expect(failures).toBe(0);
  });

  test('alternating 4 and 16 MiB, one after the other and all at once', async () => {
    const cache = newCache();
    const mixed = samples.slice(6, 12);
    for (const { ref, content } of [...mixed, ...mixed.reverse()]) expect((await cache.load(ref)).equals(content)).toBe(true);
    const right = mixed.map(async ({ ref, content }) => (cache.get(ref) ?? (await cache.load(ref))).equals(content));
    expect(await Promise.all(right)).toEqual(mixed.map(() => true));
  });

  test('a view holds until the turn ends, though its chunk is evicted', async () => {
    const cache = newCache();
    const [first, ...others] = samples;
    if (first === undefined) throw new Error('no samples');
    await cache.load(first.ref);
    await new Promise(setImmediate);
    const held = new Promise<boolean>((resolve, reject) => {
      setTimeout(() => {
        const view = cache.get(first.ref);
        if (view === undefined) {
          reject(new Error('it was just loaded'));
          return;
        }
        for (const { ref } of others.slice(0, 8)) void cache.load(ref);
        void Promise.resolve().then(() => {
          resolve(view.equals(first.content));
        });
      }, 1);
    });
    expect(await held).toBe(true);
    for (const { ref } of others.slice(0, 8)) if (cache.get(ref) === undefined) await cache.load(ref);
    expect(cache.get(first.ref)).toBeUndefined();
  });
});

test('a chunk is decoded once however many ask for it', async () => {
  const cache = newCache();
  const { ref, content } = sample('once', 3 * mebibyte);
  cache.prefetch(ref);
  const views = await Promise.all(Array.from({ length: 20 }, () => cache.load(ref)));
  expect(views.every((view) => view.equals(content))).toBe(true);
  expect(cache.get(ref)?.equals(content)).toBe(true);
  cache.prefetch(ref);
  expect(cache.statistics()).toMatchObject({ bytesDecoded: 3 * mebibyte, hits: 1, misses: 20, prefetched: 1, chunks: 1, queued: 0, inWork: 0 });
});

describe('with one worker', () => {
  const ahead = Array.from({ length: 12 }, (_, i) => sample(`ahead ${i}`, mebibyte));
  const atHand = (cache: ChunkCache): number => ahead.filter(({ ref }) => cache.get(ref) !== undefined).length;

  test('a reader goes before read-ahead', async () => {
    const cache = newCache({ bytesMax: 64 * mebibyte, workers: 1 });
    const { ref, content } = sample('urgent', mebibyte);
    for (const each of ahead) expect(cache.prefetch(each.ref)).toBe(true);
    expect((await cache.load(ref)).equals(content)).toBe(true);
    // Only what the worker had been given before.
    expect(atHand(cache)).toBeLessThanOrEqual(2);
  });

  test('what was read ahead becomes urgent when a reader asks for it', async () => {
    const cache = newCache({ bytesMax: 64 * mebibyte, workers: 1 });
    for (const each of ahead) cache.prefetch(each.ref);
    const last = ahead.at(-1);
    if (last === undefined) throw new Error('no samples');
    expect((await cache.load(last.ref)).equals(last.content)).toBe(true);
    expect(atHand(cache)).toBeLessThanOrEqual(3);
  });

  test('the queue of read-ahead has an end', () => {
    const cache = newCache({ workers: 1 });
    const refs = Array.from({ length: 100 }, (_, i): ChunkRef => ({ digest: noise(`queue ${i}`, 32), length: 4096, keyNumber: -1 }));
    expect(refs.filter((ref) => cache.prefetch(ref)).length).toBeLessThan(70);
    expect(cache.prefetch({ digest: noise('one more', 32), length: 4096, keyNumber: -1 })).toBe(false);
  });
});

test('a failure is told to all who wait, and not kept', async () => {
  const cache = newCache();
  const { ref, content } = sample('comes back', 1000);
  renameSync(pathOf(ref.digest), `${pathOf(ref.digest)}.away`);
  cache.prefetch(ref);
  const results = await Promise.allSettled([cache.load(ref), cache.load(ref)]);
  expect(results.map((result) => result.status === 'rejected' && codeOf(result.reason))).toEqual(['CHUNK_MISSING', 'CHUNK_MISSING']);
  renameSync(`${pathOf(ref.digest)}.away`, pathOf(ref.digest));
  expect((await cache.load(ref)).equals(content)).toBe(true);
  expect(cache.statistics().failures).toBe(1);
});

test('a failed read-ahead that nobody waits for is silent, and its room is used again', async () => {
  const cache = newCache();
  for (let i = 0; i < 50; i++) {
    const digest = noise(`lost ${i}`, 32);
    mkdirSync(dirname(pathOf(digest)), { recursive: true });
    writeFileSync(pathOf(digest), encodeBlob(text(`other ${i}`, 4 * mebibyte)));
    cache.prefetch({ digest, length: 4 * mebibyte, keyNumber: -1 });
  }
  const whole = sample('whole', 16 * mebibyte);
  expect((await cache.load(whole.ref)).equals(whole.content)).toBe(true);
});

test('one digest with two lengths: the wrong one fails before and after the right one', async () => {
  const cache = newCache();
  const { ref, content } = sample('lengths', 5000);
  const short = { ...ref, length: 4999 };
  await expect(cache.load(short)).rejects.toMatchObject({ code: 'CHUNK_CORRUPT' });
  expect((await cache.load(ref)).equals(content)).toBe(true);
  expect(cache.get(short)).toBeUndefined();
  await expect(cache.load(short)).rejects.toMatchObject({ code: 'CHUNK_CORRUPT' });
});

test('an archive that is not encrypted does not profit from an encrypted one', async () => {
  const cache = newCache();
  const { ref, content } = sample('secret', 5000, 0);
  expect((await cache.load(ref)).equals(content)).toBe(true);
  for (const keyNumber of [-1, 1]) {
    expect(cache.get({ ...ref, keyNumber })).toBeUndefined();
    await expect(cache.load({ ...ref, keyNumber })).rejects.toMatchObject({ code: 'CHUNK_CORRUPT' });
  }
});

test('closing while chunks are loading ends those in work and fails all others', async () => {
  const cache = newCache();
  const samples = Array.from({ length: 10 }, (_, i) => sample(`closing ${i}`, 4 * mebibyte));
  const loads = samples.map(({ ref }) => cache.load(ref));
  cache.prefetch(sample('closing ahead', 1000).ref);
  const outcomes = Promise.allSettled(loads);
  await cache.close();
  const codes = (await outcomes).map((outcome) => (outcome.status === 'rejected' ? codeOf(outcome.reason) : 'loaded'));
  expect(codes.filter((code) => code !== 'CLOSED').every((code) => code === 'loaded')).toBe(true);
  expect(codes.filter((code) => code === 'CLOSED').length).toBeGreaterThan(0);
  await expect(cache.load(sample('after', 1000).ref)).rejects.toMatchObject({ code: 'CLOSED' });
  expect(cache.statistics()).toMatchObject({ queued: 0, inWork: 0 });
});
