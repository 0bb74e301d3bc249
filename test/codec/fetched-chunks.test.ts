/** Chunks that have to be fetched: as many at once as the source takes, readers first, and never a wrong byte from whatever comes. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { afterEach, describe, expect, test } from 'vitest';
import { ChunkCache, type ChunkCacheOptions, type ChunkRef } from '../../src/codec/chunk-cache.js';
import type { FetchedChunks } from '../../src/codec/chunk-source.js';
import { codeOf, messageOf, StoreError } from '../../src/errors.js';
import { chunkPath } from '../../src/format/chunk-path.js';
import { parseFixedIndex } from '../../src/format/fixed-index.js';
import { ChunkStream } from '../../src/archive/chunk-stream.js';
import { DamageLog } from '../../src/archive/damage.js';
import { encodeBlob, fixtureKeys, writeChunk } from '../support/chunks.js';
import { noise, Random, seed, text } from '../support/random.js';
import { scratchDirectory } from '../support/scratch.js';
import { bytesOf, fixedIndexOf } from '../support/streams.js';

const store = scratchDirectory();
const keys = fixtureKeys();
const mebibyte = 1 << 20;

type Bytes = Uint8Array<ArrayBuffer>;

interface ServerOptions {
  readonly requestsMax?: number;
  readonly bytesInFlightMax?: number;
  readonly delayMs?: number;
  /** What comes in place of the chunk file. */
  readonly answer?: (file: Bytes, chunk: ChunkRef) => Bytes | Promise<Bytes>;
}

/** Serves the chunk files of the store, and notes who asks for what when. */
class Server implements FetchedChunks {
  readonly kind = 'fetched';
  readonly requestsMax: number;
  bytesInFlightMax: number;
  readonly asked: ChunkRef[] = [];
  readonly most = { requests: 0, bytes: 0 };
  #requests = 0;
  #bytes = 0;
  readonly #options: ServerOptions;

  constructor(options: ServerOptions = {}) {
    this.#options = options;
    this.requestsMax = options.requestsMax ?? 16;
    this.bytesInFlightMax = options.bytesInFlightMax ?? 64 * mebibyte;
  }

  async fetch(chunk: ChunkRef): Promise<Bytes> {
    const { delayMs = 2, answer = (file) => file } = this.#options;
    this.asked.push(chunk);
    this.#note(1, chunk.length);
    try {
      await setTimeout(delayMs);
      return await answer(new Uint8Array(readFileSync(join(store, chunkPath(chunk.digest)))), chunk);
    } finally {
      this.#note(-1, -chunk.length);
    }
  }

  #note(requests: number, bytes: number): void {
    this.#requests += requests;
    this.#bytes += bytes;
    this.most.requests = Math.max(this.most.requests, this.#requests);
    this.most.bytes = Math.max(this.most.bytes, this.#bytes);
  }
}

const caches: ChunkCache[] = [];
afterEach(async () => {
  await Promise.all(caches.splice(0).map((cache) => cache.close()));
});

function newCache(source: FetchedChunks, options: Partial<ChunkCacheOptions> = {}): ChunkCache {
  const cache = new ChunkCache({ bytesMax: 64 * mebibyte, keys: keys.map(({ encKey }) => encKey), source, workers: 2, ...options });
  caches.push(cache);
  return cache;
}

interface Sample {
  readonly ref: ChunkRef;
  readonly content: Buffer;
}

function sample(label: string, bytes: number, keyNumber = -1, content = text(label, bytes)): Sample {
  return { ref: { digest: writeChunk(store, content, { key: keys[keyNumber] }), length: bytes, keyNumber }, content };
}

async function eventually(condition: () => boolean): Promise<void> {
  for (let i = 0; i < 500 && !condition(); i++) await setTimeout(10);
  expect(condition()).toBe(true);
}

describe('what is asked for at once', () => {
  const samples = Array.from({ length: 60 }, (_, i) => sample(`many ${i}`, mebibyte, i % 3 === 2 ? i % 2 : -1, i % 2 === 0 ? noise(`many ${i}`, mebibyte) : text(`many ${i}`, mebibyte)));

  test('is as many chunks as the source takes, whatever workers can do', async () => {
    const server = new Server({ requestsMax: 20, delayMs: 40 });
    const cache = newCache(server, { workers: 1 });
    const right = samples.map(async ({ ref, content }) => (await cache.load(ref)).equals(content));
    expect((await Promise.all(right)).every(Boolean)).toBe(true);
    expect(server.most.requests).toBe(20);
    expect(server.asked.length).toBe(60);
    expect(cache.statistics()).toMatchObject({ queued: 0, inWork: 0, failures: 0, fetched: { fetching: 0, bytesInFlight: 0 } });
  });

  test('is as many bytes as the source takes, those that wait for a worker counted', async () => {
    const server = new Server({ requestsMax: 50, bytesInFlightMax: 10 * mebibyte, delayMs: 5 });
    const cache = newCache(server, { workers: 1 });
    let most = 0;
    const watch = setInterval(() => (most = Math.max(most, cache.statistics().fetched?.bytesInFlight ?? 0)), 1);
    await Promise.all(samples.map(({ ref }) => cache.load(ref)));
    clearInterval(watch);
    expect(server.most.bytes).toBe(10 * mebibyte);
    expect(most).toBeLessThanOrEqual(10 * mebibyte + 10 * 44);
    expect(most).toBeGreaterThan(5 * mebibyte);
  });

  test('is at most half of a small cache, and one chunk if that is larger', async () => {
    const server = new Server();
    const cache = newCache(server, { bytesMax: 16 * mebibyte });
    const large = sample('large', 16 * mebibyte, 0, noise('large', 16 * mebibyte));
    const all = [large, ...samples.slice(0, 20)];
    const right = all.map(async ({ ref, content }) => (await cache.load(ref)).equals(content));
    expect((await Promise.all(right)).every(Boolean)).toBe(true);
    expect(server.asked[0]).toBe(large.ref);
    server.most.bytes = 0;
    await Promise.all(samples.slice(20, 50).map(({ ref }) => cache.load(ref)));
    expect(server.most.bytes).toBe(8 * mebibyte);
  });

  test('follows what the source learns of its way', async () => {
    const server = new Server({ bytesInFlightMax: 2 * mebibyte });
    const cache = newCache(server);
    expect(cache.readAheadBytesMax).toBe(2 * mebibyte);
    await Promise.all(samples.slice(0, 6).map(({ ref }) => cache.load(ref)));
    expect(server.most.requests).toBe(2);
    server.bytesInFlightMax = 12 * mebibyte;
    expect(cache.readAheadBytesMax).toBe(12 * mebibyte);
    await Promise.all(samples.slice(6, 40).map(({ ref }) => cache.load(ref)));
    expect(server.most.requests).toBe(12);
    server.bytesInFlightMax = 1 << 30;
    expect(cache.readAheadBytesMax).toBe(16 * mebibyte);
  });
});

describe('the order', () => {
  const ahead = Array.from({ length: 30 }, (_, i) => sample(`order ${i}`, 10_000));
  const last = sample('order last', 10_000);

  test('readers go before read-ahead', async () => {
    const server = new Server({ requestsMax: 2, delayMs: 10 });
    const cache = newCache(server);
    for (const { ref } of ahead) expect(cache.prefetch(ref)).toBe(true);
    expect((await cache.load(last.ref)).equals(last.content)).toBe(true);
    expect(server.asked.indexOf(last.ref)).toBe(2);
  });

  test('what was read ahead is moved up when a reader asks for it, and fetched once', async () => {
    const server = new Server({ requestsMax: 2, delayMs: 10 });
    const cache = newCache(server);
    for (const { ref } of ahead) cache.prefetch(ref);
    const moved = ahead.at(-1) ?? last;
    const views = await Promise.all([cache.load(moved.ref), cache.load(moved.ref)]);
    expect(views.every((view) => view.equals(moved.content))).toBe(true);
    expect(server.asked.indexOf(moved.ref)).toBe(2);
    await eventually(() => cache.statistics().chunks === ahead.length);
    expect(new Set(server.asked).size).toBe(ahead.length);
    expect(server.asked.length).toBe(ahead.length);
  });

  test('read-ahead has an end, which grows with the requests that the source takes', () => {
    const never = new Server({ requestsMax: 64, delayMs: 1000, answer: () => new Promise<Bytes>(() => undefined) });
    const cache = newCache(never);
    const refs = Array.from({ length: 400 }, (_, i): ChunkRef => ({ digest: noise(`end ${i}`, 32), length: 4096, keyNumber: -1 }));
    expect(refs.filter((ref) => cache.prefetch(ref)).length).toBe(64 + 2 * 64);
  });
});

describe('whatever comes in place of a chunk', () => {
  const other = encodeBlob(text('another chunk', 5000));
  const answers: [string, string, (file: Bytes) => Bytes | Promise<Bytes>][] = [
    ['one byte wrong', 'CHUNK_CORRUPT', (file) => file.map((byte, i) => (i === 40 ? byte ^ 4 : byte))],
    ['cut off', 'CHUNK_CORRUPT', (file) => file.slice(0, file.length / 2)],
    ['less than a header', 'CHUNK_CORRUPT', (file) => file.slice(0, 7)],
    ['nothing', 'CHUNK_CORRUPT', () => new Uint8Array(0)],
    ['too long', 'CHUNK_CORRUPT', (file) => new Uint8Array(Buffer.concat([file, noise('more', 10)]))],
    ['more than any chunk has', 'CHUNK_CORRUPT', () => new Uint8Array((16 << 20) + 45)],
    ['another chunk of the same length', 'CHUNK_CORRUPT', () => new Uint8Array(other)],
    ['another length', 'CHUNK_CORRUPT', () => new Uint8Array(encodeBlob(text('longer', 5001)))],
    ['an error', 'UNREACHABLE', () => Promise.reject(new StoreError('UNREACHABLE', 'the server is gone'))],
    ['no such chunk', 'CHUNK_MISSING', () => Promise.reject(new StoreError('CHUNK_MISSING', 'there is none'))],
  ];

  test.each(answers)('%s: %s, and it is asked for again later', async (name, code, answer) => {
    let bad = true;
    const server = new Server({ answer: (file) => (bad ? answer(file) : file) });
    const cache = newCache(server, { bytesMax: 16 * mebibyte });
    for (const keyNumber of [-1, 0, 1]) {
      bad = true;
      const { ref, content } = sample(`bad ${name}`, 5000, keyNumber);
      cache.prefetch(ref);
      const results = await Promise.allSettled([cache.load(ref), cache.load(ref)]);
      expect(results.map((result) => result.status === 'rejected' && codeOf(result.reason))).toEqual([code, code]);
      if (code === 'CHUNK_CORRUPT') expect(results.map((result) => messageOf((result as PromiseRejectedResult).reason)).join()).toContain(ref.digest.toString('hex'));
      bad = false;
      expect((await cache.load(ref)).equals(content)).toBe(true);
    }
    expect(cache.statistics()).toMatchObject({ failures: 3, queued: 0, inWork: 0, fetched: { fetching: 0, bytesInFlight: 0 } });
  });

  test('bytes that lie in the memory of others leave them alone', async () => {
    const memory = new Uint8Array(1 << 16);
    const server = new Server({
      answer: (file) => {
        memory.set(file, 100);
        return memory.subarray(100, 100 + file.length);
      },
    });
    const { ref, content } = sample('shared', 20_000);
    expect((await newCache(server).load(ref)).equals(content)).toBe(true);
    expect(memory.byteLength).toBe(1 << 16);
  });

  test('a failed read-ahead that nobody waits for is silent', async () => {
    let fails = true;
    const server = new Server({ answer: (file) => (fails ? Promise.reject(new StoreError('UNREACHABLE', 'gone')) : file) });
    const cache = newCache(server);
    const { ref, content } = sample('silent', 5000);
    cache.prefetch(ref);
    await eventually(() => cache.statistics().failures === 1);
    fails = false;
    expect((await cache.load(ref)).equals(content)).toBe(true);
  });

  test(`some of it, to many readers (seed ${seed})`, async () => {
    const numbers = new Random(seed);
    const damage = [(file: Bytes): Bytes => file.slice(0, numbers.below(file.length)), (file: Bytes): Bytes => file.map((byte, i) => (i === 30 ? ~byte : byte))];
    const server = new Server({
      delayMs: 1,
      bytesInFlightMax: 6 * mebibyte,
      answer: async (file) => {
        await setTimeout(numbers.below(20));
        if (numbers.below(10) === 0) throw new StoreError('UNREACHABLE', 'gone');
        return numbers.below(8) === 0 ? numbers.pick(damage)(file) : file;
      },
    });
    const cache = newCache(server, { bytesMax: 16 * mebibyte });
    const samples = Array.from({ length: 30 }, (_, i) => sample(`mixed ${i}`, 1 + numbers.below(i % 10 === 0 ? 8 * mebibyte : mebibyte), i % 3 - 1));
    let [right, failed] = [0, 0];
    const reader = async (_: unknown, i: number): Promise<void> => {
      const own = new Random(seed + i);
      for (let round = 0; round < 20; round++) {
        const { ref, content } = own.pick(samples);
        if (own.below(3) === 0) cache.prefetch(own.pick(samples).ref);
        try {
          const view = cache.get(ref) ?? (await cache.load(ref));
          if (!view.equals(content)) throw new Error('wrong bytes');
          right++;
        } catch (error) {
          expect(['CHUNK_CORRUPT', 'UNREACHABLE']).toContain(codeOf(error));
          failed++;
        }
      }
    };
    await Promise.all(Array.from({ length: 24 }, reader));
    expect(right + failed).toBe(480);
    expect(right).toBeGreaterThan(240);
    await eventually(() => cache.statistics().fetched?.bytesInFlight === 0);
    expect(server.most.bytes).toBeLessThanOrEqual(8 * mebibyte);
  });
});

test('closing while chunks are on their way fails all who wait', async () => {
  const server = new Server({ requestsMax: 4, delayMs: 200 });
  const cache = newCache(server);
  const samples = Array.from({ length: 10 }, (_, i) => sample(`closing ${i}`, 10_000));
  const loads = Promise.allSettled(samples.map(({ ref }) => cache.load(ref)));
  await setTimeout(20);
  await cache.close();
  expect((await loads).map((load) => (load.status === 'rejected' ? codeOf(load.reason) : 'loaded'))).toEqual(samples.map(() => 'CLOSED'));
  await expect(cache.load(sample('after', 100).ref)).rejects.toMatchObject({ code: 'CLOSED' });
  await setTimeout(250);
  expect(server.asked.length).toBe(4);
  expect(cache.statistics()).toMatchObject({ queued: 0, inWork: 0 });
});

test('a reader from front to back over a long way has the way full', async () => {
  const content = Buffer.concat(Array.from({ length: 64 }, (_, i) => noise(`way ${i}`, mebibyte)));
  const index = parseFixedIndex(fixedIndexOf(store, content, { chunkSize: mebibyte }));
  const server = new Server({ requestsMax: 40, bytesInFlightMax: 24 * mebibyte, delayMs: 100 });
  const cache = newCache(server, { bytesMax: 128 * mebibyte });
  const stream = new ChunkStream({ path: 'way', index, cache, key: undefined, damage: new DamageLog(() => undefined), salvage: false });
  const start = performance.now();
  for (let at = 0; at < content.length; at += 200_000) {
    expect((await bytesOf(stream, at, 200_000)).equals(content.subarray(at, at + 200_000))).toBe(true);
  }
  // One after the other they would take 6.4 seconds, with windows of the first size one.
  expect(performance.now() - start).toBeLessThan(3000);
  expect(server.most.requests).toBeGreaterThanOrEqual(20);
  expect(server.asked.length).toBe(64);
});
