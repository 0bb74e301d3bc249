/** Threads that store what clients have encoded: turns of those who send, and how they end. */
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { ChunkInserter, type InsertLane, type ReceivedChunk } from '../../src/codec/chunk-inserter.js';
import { chunkDigest } from '../../src/crypto/chunk-digest.js';
import { chunkPath } from '../../src/format/chunk-path.js';
import { encodeBlob } from '../support/chunks.js';
import { noise } from '../support/random.js';
import { scratchDirectory } from '../support/scratch.js';

function chunk(label: string, bytes = 5000): ReceivedChunk {
  const content = noise(label, bytes);
  return { digest: chunkDigest(content), length: bytes, encoded: new Uint8Array(encodeBlob(content)) };
}

function inserter(workers: number): { inserter: ChunkInserter; lane: () => InsertLane; store: string } {
  const store = scratchDirectory();
  const [chunksDirectory, temporaryDirectory] = [join(store, '.chunks'), join(store, 'temporary')];
  for (const path of [chunksDirectory, temporaryDirectory]) mkdirSync(path);
  const made = new ChunkInserter(workers);
  onTestFinished(() => made.close());
  return { inserter: made, lane: () => made.lane({ chunksDirectory, temporaryDirectory, owner: undefined, durable: true }), store };
}

test('whoever sends has turns between those of who sent much before', async () => {
  const { lane } = inserter(1);
  const [busy, late] = [lane(), lane()];
  let done = 0;
  const before = Array.from({ length: 40 }, (_, i) => busy.insert(chunk(`b${i}`, 200_000)).then(() => done++));
  await late.insert(chunk('late'));
  expect(done).toBeLessThan(6);
  await Promise.all(before);
});

test('bytes are handed over, files are whole, the same again is a duplicate', async () => {
  const { lane, store } = inserter(2);
  const one = lane();
  const first = chunk('a');
  const encoded = Buffer.from(first.encoded);
  expect(await one.insert(first)).toEqual({ added: true, encodedBytes: encoded.length });
  expect(first.encoded.length).toBe(0);
  expect(readFileSync(join(store, chunkPath(first.digest))).equals(encoded)).toBe(true);
  expect(await one.insert(chunk('a'))).toEqual({ added: false, encodedBytes: encoded.length });
});

test('what waits is refused when its lane is closed, what runs ends, others go on', async () => {
  const { lane } = inserter(1);
  const [closed, other] = [lane(), lane()];
  const outcomes = Array.from({ length: 20 }, (_, i) => closed.insert(chunk(`c${i}`, 100_000)).then(() => 'stored', (error: unknown) => (error as { code: string }).code));
  const others = Array.from({ length: 5 }, (_, i) => other.insert(chunk(`o${i}`)));
  await closed.close();
  expect(new Set(await Promise.all(outcomes))).toEqual(new Set(['stored', 'CLOSED']));
  expect((await Promise.all(others)).every(({ added }) => added)).toBe(true);
  await expect(closed.insert(chunk('d'))).rejects.toMatchObject({ code: 'CLOSED' });
  await closed.close();
});

test('wrong ones have codes of formats', async () => {
  const { lane } = inserter(1);
  const one = lane();
  await expect(one.insert({ ...chunk('x'), length: 4999 })).rejects.toMatchObject({ code: 'BAD_STRUCTURE' });
  await expect(one.insert({ ...chunk('x'), digest: Buffer.alloc(32) })).rejects.toMatchObject({ code: 'BAD_CHECKSUM' });
  await expect(one.insert({ ...chunk('x'), encoded: new Uint8Array(30) })).rejects.toMatchObject({ code: 'BAD_MAGIC' });
  await expect(one.insert({ ...chunk('x'), encoded: new Uint8Array(5) })).rejects.toMatchObject({ code: 'TRUNCATED' });
});
