/** Jobs, failures and the death of worker threads. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { afterEach, expect, test, vi } from 'vitest';
import { WorkerPool } from '../../src/codec/worker-pool.js';
import { codeOf, messageOf } from '../../src/errors.js';
import { chunkPath } from '../../src/format/chunk-path.js';
import { fixtureKeys, writeChunk } from '../support/chunks.js';
import { noise, text } from '../support/random.js';
import { scratchDirectory } from '../support/scratch.js';

const directory = scratchDirectory();
const keys = fixtureKeys();
const memory = new SharedArrayBuffer(1 << 22);
const pools: WorkerPool[] = [];

function newPool(size?: number): WorkerPool {
  const pool = new WorkerPool({ kind: 'decode', memory, keys: keys.map(({ encKey }) => encKey) }, size);
  pools.push(pool);
  return pool;
}

afterEach(async () => {
  vi.restoreAllMocks();
  await Promise.all(pools.splice(0).map((pool) => pool.close()));
});

function run(pool: WorkerPool, digest: Buffer, options: { length: number; offset?: number; keyNumber?: number; path?: string }): Promise<Error | undefined> {
  const { length, offset = 0, keyNumber = -1, path = join(directory, chunkPath(digest)) } = options;
  return new Promise((resolve) => {
    pool.run({ kind: 'decode', path, digest, keyNumber, offset, length }, (result) => {
      resolve(result instanceof Error ? result : undefined);
    });
  });
}

test('decodes into its place, with the key of that number', async () => {
  const pool = newPool();
  const plain = text('plain', 5000);
  const secret = noise('secret', 7000);
  const results = await Promise.all([
    run(pool, writeChunk(directory, plain), { length: 5000, offset: 1000 }),
    run(pool, writeChunk(directory, secret, { key: keys[1] }), { length: 7000, offset: 10_000, keyNumber: 1 }),
  ]);
  expect(results).toEqual([undefined, undefined]);
  expect(Buffer.from(memory, 1000, 5000).equals(plain)).toBe(true);
  expect(Buffer.from(memory, 10_000, 7000).equals(secret)).toBe(true);
});

test('failures come back with code, message and errno, and the worker goes on', async () => {
  const pool = newPool(1);
  const digest = writeChunk(directory, text('good', 100));
  const missing = await run(pool, digest, { length: 100, path: join(directory, 'nowhere') });
  expect([codeOf(missing), messageOf(missing)]).toEqual(['CHUNK_MISSING', `chunk ${directory}/nowhere is missing`]);
  expect(codeOf(await run(pool, digest, { length: 99 }))).toBe('CHUNK_CORRUPT');
  expect(codeOf(await run(pool, digest, { length: 100, keyNumber: 0 }))).toBe('CHUNK_CORRUPT');
  expect(codeOf(await run(pool, digest, { length: 100, path: 'with\0zero' }))).toBe('ERR_INVALID_ARG_VALUE');
  expect(await run(pool, digest, { length: 100, path: `${directory}/${'x'.repeat(300)}` })).toMatchObject({ code: 'ENAMETOOLONG', errno: -36 });
  expect(await run(pool, digest, { length: 100 })).toBeUndefined();
});

test('no more than two jobs a worker are taken', async () => {
  const pool = newPool(3);
  expect(pool.size).toBe(3);
  expect(pool.capacity).toBe(6);
  const digest = writeChunk(directory, noise('busy', 1 << 20));
  const jobs = Array.from({ length: 6 }, (_, i) => {
    const job = run(pool, digest, { length: 1 << 20, offset: (i % 3) << 20 });
    expect(pool.capacity).toBe(5 - i);
    return job;
  });
  await Promise.all(jobs);
  expect(pool.capacity).toBe(6);
});

test('the death of a worker fails its jobs, and the next ones work', async () => {
  const workers: Worker[] = [];
  process.once('worker', (worker) => workers.push(worker));
  const pool = newPool(1);
  const content = noise('dies', 1 << 20);
  const digest = writeChunk(directory, content);
  expect(await run(pool, digest, { length: 1 << 20 })).toBeUndefined();
  // Nothing that it understands, before two jobs.
  workers[0]?.postMessage(null);
  const jobs = [run(pool, digest, { length: 1 << 20 }), run(pool, digest, { length: 1 << 20 })];
  expect((await Promise.all(jobs)).map(codeOf)).toEqual(['CLOSED', 'CLOSED']);
  expect(pool.capacity).toBe(2);
  expect(await run(pool, digest, { length: 1 << 20 })).toBeUndefined();
  expect(Buffer.from(memory, 0, 1 << 20).equals(content)).toBe(true);
});

test('a digest that is a view into a large index travels alone', async () => {
  const posted = vi.spyOn(Worker.prototype, 'postMessage');
  const pool = newPool(1);
  const index = Buffer.alloc(1 << 20);
  writeChunk(directory, text('view', 50)).copy(index, 4096);
  expect(await run(pool, index.subarray(4096, 4128), { length: 50 })).toBeUndefined();
  const [message] = posted.mock.calls[0] ?? [];
  expect((message as { job: { digest: Uint8Array } }).job.digest.buffer.byteLength).toBe(32);
});

test('closing lets what is in work end, and no job is taken any more', async () => {
  const pool = newPool(2);
  const digest = writeChunk(directory, noise('closing', 1 << 20));
  const job = run(pool, digest, { length: 1 << 20 });
  await pool.close();
  expect(await job).toBeUndefined();
  expect(pool.capacity).toBe(0);
  pool.start();
});

/** A process with threads that are starting; what it does after so many milliseconds. */
function startingThreads(then: string, delayMs: number): Promise<string> {
  const module = fileURLToPath(new URL('../../dist/codec/worker-pool.js', import.meta.url));
  const program = `
    import { WorkerPool } from '${module}';
    const pool = new WorkerPool({ kind: 'decode', memory: new SharedArrayBuffer(65536), keys: [] }, 2);
    pool.start();
    await new Promise((resolve) => setTimeout(resolve, ${delayMs}));
    ${then}`;
  return new Promise((resolve) => {
    execFile(process.execPath, ['--input-type=module', '--eval', program], (error, _, stderr) => {
      resolve(error === null ? 'ended well' : `${error.message} ${stderr}`);
    });
  });
}

test.each([
  ['closed', 'await pool.close();'],
  ['left alone', ''],
])('threads that are starting and are %s end without taking the process along', async (_, then) => {
  // A native library that is being loaded by a thread when it is ended aborts the process.
  for (let delayMs = 10; delayMs < 60; delayMs += 10) {
    expect(await Promise.all([startingThreads(then, delayMs), startingThreads(then, delayMs + 5)])).toEqual(['ended well', 'ended well']);
  }
});
