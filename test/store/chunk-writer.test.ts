/** Chunks that are written before it is known for which snapshot. */
import { closeSync, mkdirSync, openSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { EncryptionKey } from '../../src/crypto/encryption-key.js';
import { tryLockRecords } from '../../src/os/file-locks.js';
import type { ChunkWriter } from '../../src/store/chunk-writer.js';
import type { Datastore } from '../../src/store/datastore.js';
import { lockDirectory } from '../../src/store/local/locks.js';
import { begin, checkSnapshots, emptyStore, fakeServer, hostSnapshot, openStore, storeNames, writeSnapshot } from '../support/new-snapshots.js';
import { noise } from '../support/random.js';

async function openWriter(store: Datastore, options: { key?: EncryptionKey; lines?: string[] } = {}): Promise<ChunkWriter> {
  const writer = await store.openChunkWriter({ key: options.key, warn: (line) => options.lines?.push(line) });
  onTestFinished(() => writer.close());
  return writer;
}

async function putInto(writer: ChunkWriter, content: Buffer): ReturnType<ChunkWriter['putChunk']> {
  const room = await writer.memory.take(content.length);
  content.copy(writer.memory.view(room));
  return writer.putChunk(writer.memory.view(room, content.length)).finally(() => writer.memory.give(room));
}

/** Whether a garbage collection could begin. */
function isFree(directory: string): boolean {
  const fd = openSync(join(directory, '.lock'), 'r+');
  try {
    return tryLockRecords(fd, 'exclusive');
  } finally {
    closeSync(fd);
  }
}

test('they are those of a backup, which finds them; the datastore is locked meanwhile', async () => {
  const directory = emptyStore();
  const store = await openStore(directory);
  const writer = await openWriter(store);
  expect(isFree(directory)).toBe(false);
  const contents = Array.from({ length: 3 }, (_, i) => noise(`a${i}`, 40_000));
  const stored = await Promise.all(contents.map((content) => putInto(writer, content)));
  expect(stored.map(({ added }) => added)).toEqual([true, true, true]);
  await Promise.all([writer.sync(), writer.sync()]);
  await writer.sync();
  expect((await writer.putZeros(4096)).added).toBe(true);
  const reused = stored.map(({ digest }) => ({ digest, length: 40_000 }));
  expect(await writer.reuseChunks([{ digest: Buffer.alloc(32, 7), length: 9 }, ...reused])).toEqual([0]);
  expect(writer.statistics).toMatchObject({ chunksAdded: 4 });
  const session = await begin(store, hostSnapshot(1_700_000_000));
  await writeSnapshot(session);
  expect(session.statistics).toMatchObject({ chunks: 3, chunksAdded: 0 });
  expect(await checkSnapshots(store)).toBe(1);
  await writer.close();
  await writer.close();
  expect(isFree(directory)).toBe(true);
  await expect(writer.putZeros(5)).rejects.toMatchObject({ code: 'CLOSED' });
});

test('with a key they are encrypted', async () => {
  const store = await openStore(emptyStore());
  const key = new EncryptionKey(Buffer.alloc(32, 1));
  const writer = await openWriter(store, { key });
  expect(writer.key).toBe(key);
  const { digest } = await putInto(writer, noise('x', 5000));
  await writer.close();
  expect((await putInto(await openWriter(store), noise('x', 5000))).digest).not.toEqual(digest);
});

test('the temporary directory goes, also that of a killed one; listings never show one', async () => {
  const directory = emptyStore();
  const store = await openStore(directory);
  const before = storeNames(directory);
  mkdirSync(join(directory, '.pbsfs-abcdef'));
  writeFileSync(join(directory, '.pbsfs-abcdef/half a chunk'), 'x');
  const [first, second] = [await openWriter(store), await openWriter(store)];
  const hidden = readdirSync(directory).filter((name) => name.startsWith('.pbsfs-'));
  expect(hidden).toHaveLength(2);
  expect(hidden).not.toContain('.pbsfs-abcdef');
  for (const name of hidden) expect(lockDirectory(join(directory, name), 'exclusive')).toBeUndefined();
  expect(await store.groups([])).toEqual([]);
  expect(await store.namespaces([])).toEqual([]);
  await Promise.all([first.close(), second.close()]);
  expect(storeNames(directory)).toEqual(before);
});

test('a datastore that is locked, or in maintenance, is refused', async () => {
  const directory = emptyStore();
  const lock = openSync(join(directory, '.lock'), 'r+');
  expect(tryLockRecords(lock, 'exclusive')).toBe(true);
  const store = await openStore(directory);
  await expect(openWriter(store)).rejects.toMatchObject({ code: 'LOCKED' });
  closeSync(lock);
  const server = fakeServer(directory, ['maintenance-mode read-only']);
  await expect(openWriter(await openStore(directory, server.paths))).rejects.toThrow(/maintenance/);
  expect(isFree(directory)).toBe(true);
  await (await openWriter(store)).close();
});
