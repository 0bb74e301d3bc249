import { chmodSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, statSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { chunkPath } from '../../src/format/chunk-path.js';
import { snapshotPath } from '../../src/format/snapshot-name.js';
import type { GarbageOptions } from '../../src/store/administration.js';
import type { Datastore } from '../../src/store/datastore.js';
import { lastCollection } from '../../src/store/local/garbage/collect.js';
import { canLock, holdLock } from '../support/lock-holder.js';
import { begin, checkSnapshots, emptyStore, fakeServer, hostSnapshot, indexOf, openStore, put, writeSnapshot } from '../support/new-snapshots.js';

const time = 1_700_000_000;
const cutoff = 86_700;

async function collect(store: Datastore, options: Partial<GarbageOptions> & { lines?: string[] } = {}) {
  const { lines = [], ...rest } = options;
  const administration = await store.administration((line) => lines.push(line));
  return await administration.collectGarbage?.({ log: (line) => lines.push(line), ...rest });
}

/** A file in `.chunks`, last used so many seconds ago. */
function chunkFile(directory: string, name: string, age: number, bytes = 100): string {
  const path = join(directory, '.chunks', name.slice(0, 4), name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, Buffer.alloc(bytes));
  age_(path, age);
  return path;
}

function age_(path: string, seconds: number): void {
  utimesSync(path, Date.now() / 1000 - seconds, 1);
}

function digest(n: number): Buffer {
  return Buffer.alloc(32, n);
}

function hex(n: number): string {
  return digest(n).toString('hex');
}

async function chunksOf(store: Datastore): Promise<string[]> {
  const index = await store.index(hostSnapshot(time), 'root.pxar.didx');
  return Array.from({ length: index.count }, (_, i) => join(store.location, chunkPath(index.digestAt(i))));
}

describe('garbage collection', () => {
  test.each(['the outer', 'the inner'])('%s of two nested datastores is refused', async (which) => {
    const outer = emptyStore();
    const inner = join(outer, 'ns/inner');
    emptyStore(inner);
    const garbage = [outer, inner].map((directory) => chunkFile(directory, hex(1), 10 * cutoff));
    const store = await openStore(which === 'the outer' ? outer : inner);
    await expect(collect(store)).rejects.toMatchObject({ code: 'NOT_SUPPORTED', message: expect.stringMatching(/ns\/inner is a datastore within /) });
    expect(garbage.every((path) => existsSync(path))).toBe(true);
  });

  test('what is named stays, however old; what is not goes when it is old enough; counters and status tell', async () => {
    const directory = emptyStore();
    const store = await openStore(directory);
    await writeSnapshot(await begin(store, hostSnapshot(time)));
    const named = await chunksOf(store);
    named.forEach((path) => {
      age_(path, 10 * cutoff);
    });
    const namedBytes = named.reduce((sum, path) => sum + statSync(path).size, 0);
    const expired = chunkFile(directory, hex(1), cutoff + 100, 1000);
    const pending = chunkFile(directory, hex(2), cutoff - 100, 2000);
    const young = chunkFile(directory, hex(3), -30, 3000);
    const expiredBad = chunkFile(directory, `${hex(4)}.0.bad`, cutoff + 100, 10);
    const stillBad = chunkFile(directory, `${hex(5)}.9.bad`, 3600, 20);
    const upper = chunkFile(directory, hex(0xab).toUpperCase(), cutoff + 100, 5);
    rmSync(dirname(upper), { recursive: true });
    const strangers = [`${hex(6)}.tmp_abc123`, 'README', `${hex(7).slice(1)}`, `${hex(8)}.x.bad`].map((name) => chunkFile(directory, name, 10 * cutoff));
    mkdirSync(join(directory, '.chunks/0101', hex(1).replace(/.$/, 'f')));
    mkdirSync(join(directory, '.chunks/foreign'));
    const foreign = join(directory, '.chunks/foreign', hex(1));
    writeFileSync(foreign, '');
    age_(foreign, 10 * cutoff);
    const link = join(directory, '.chunks/0101', hex(9));
    symlinkSync('/etc/passwd', link);

    const lines: string[] = [];
    const status = await collect(store, { lines, upid: 'UPID:x' });

    expect([expired, expiredBad].map(existsSync)).toEqual([false, false]);
    expect([pending, young, stillBad, foreign, ...strangers, ...named].map(existsSync)).not.toContain(false);
    const zeros = statSync(join(directory, '.chunks/bb9f/bb9f8df61474d25e71fa00722318cd387396ca1736605e1248821cc0de3d3af8')).size;
    expect(status).toEqual({
      upid: 'UPID:x',
      indexFileCount: 1,
      indexDataBytes: 120_000,
      diskBytes: namedBytes + 3000 + zeros,
      diskChunks: named.length + 2,
      removedBytes: 1010,
      removedChunks: 1,
      pendingBytes: 2000,
      pendingChunks: 1,
      removedBad: 1,
      stillBad: 1,
      cacheStats: { hits: 0, misses: 3 },
    });
    expect(await lastCollection(directory)).toEqual(status);
    expect(readFileSync(join(directory, '.gc-status'), 'utf8')).toMatch(/^\{"upid":"UPID:x","index-file-count":1,/);
    expect(lines.join('\n')).toMatch(/phase 1[^]*marked 100%[^]*phase 2[^]*swept 100%[^]*removed: 1010 B in 1 chunks and 1 damaged/);
    expect(await checkSnapshots(store)).toBe(1);
  });

  test('an index anywhere is honoured, but for hidden places and links; one that names a missing chunk keeps its damaged copies', async () => {
    const directory = emptyStore();
    const store = await openStore(directory);
    const index = indexOf([{ digest: digest(1), length: 10 }]);
    mkdirSync(join(directory, 'old/things.d'), { recursive: true });
    writeFileSync(join(directory, 'old/things.d/x.didx'), index);
    mkdirSync(join(directory, '.hidden'));
    writeFileSync(join(directory, '.hidden/y.didx'), indexOf([{ digest: digest(2), length: 10 }]));
    mkdirSync(join(directory, 'host/a/2020-01-01T00:00:00Z'), { recursive: true });
    writeFileSync(join(directory, 'host/a/2020-01-01T00:00:00Z/unfinished.didx'), indexOf([{ digest: digest(3), length: 10 }]));
    writeFileSync(Buffer.concat([Buffer.from(`${directory}/old/`), Buffer.from([0xff]), Buffer.from('.didx')]), indexOf([{ digest: digest(4), length: 10 }]));
    const kept = [hex(1), hex(4), `${hex(3)}.3.bad`].map((name) => chunkFile(directory, name, 10 * cutoff));
    const lost = [hex(2), `${hex(1)}.3.bad`].map((name) => chunkFile(directory, name, 10 * cutoff));
    const lines: string[] = [];
    const status = await collect(store, { lines });
    expect(kept.map(existsSync)).not.toContain(false);
    expect(lost.map(existsSync)).not.toContain(true);
    expect(status).toMatchObject({ indexFileCount: 3, stillBad: 0, removedBad: 1, removedChunks: 1 });
    expect(lines.some((line) => line.includes(hex(3)) && line.includes('missing'))).toBe(true);
  });

  test.each([
    ['is no index', Buffer.from('what is this')],
    ['is cut off', indexOf([{ digest: digest(1), length: 10 }]).subarray(0, -7)],
    ['is empty', Buffer.alloc(0)],
  ])('an index that %s: it fails, nothing is removed, the old status stays', async (_what, bytes) => {
    const directory = emptyStore();
    const store = await openStore(directory);
    mkdirSync(join(directory, 'host/a/2020-01-01T00:00:00Z'), { recursive: true });
    writeFileSync(join(directory, 'host/a/2020-01-01T00:00:00Z/a.didx'), bytes);
    const garbage = chunkFile(directory, hex(1), 10 * cutoff);
    await expect(collect(store)).rejects.toThrow(/a\.didx cannot be read .*nothing is removed/);
    expect(existsSync(garbage)).toBe(true);
    expect(await lastCollection(directory)).toBeUndefined();
    expect(canLock('records', 'exclusive', join(directory, '.lock'))).toBe(true);
  });

  test('an index that may not be read: it fails, and nothing is removed', async () => {
    if (process.geteuid?.() === 0) return;
    const directory = emptyStore();
    const store = await openStore(directory);
    mkdirSync(join(directory, 'host/a'), { recursive: true });
    chmodSync(join(directory, 'host/a'), 0);
    const garbage = chunkFile(directory, hex(1), 10 * cutoff);
    await expect(collect(store)).rejects.toMatchObject({ code: 'NO_PERMISSION' });
    expect(existsSync(garbage)).toBe(true);
    chmodSync(join(directory, 'host/a'), 0o755);
  });

  test('refused while another process writes, or this one collects', async () => {
    const directory = emptyStore();
    const store = await openStore(directory);
    const refusal = { code: 'LOCKED', message: expect.stringMatching(/in use/) as string };
    for (const own of [() => undefined, () => begin(store, hostSnapshot(time))]) {
      const session = await own();
      const release = await holdLock('records', 'shared', join(directory, '.lock'));
      await expect(collect(store)).rejects.toMatchObject(refusal);
      await release();
      const both = await Promise.allSettled([collect(store), collect(store)]);
      expect(both.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
      expect(both.find(({ status }) => status === 'rejected')).toMatchObject({ reason: refusal });
      await session?.abort();
    }
  });

  test('what a session of this process has touched since it began stays', async () => {
    const directory = emptyStore();
    const store = await openStore(directory);
    const now = vi.spyOn(Date, 'now').mockReturnValue(Date.now() - 2 * cutoff * 1000);
    const session = await begin(store, hostSnapshot(time));
    now.mockRestore();
    const [kept, old] = [chunkFile(directory, hex(1), 2 * cutoff + 200), chunkFile(directory, hex(2), 2 * cutoff + 400)];
    expect(await collect(store)).toMatchObject({ removedChunks: 1 });
    expect([kept, old].map((path) => existsSync(path))).toEqual([true, false]);
    await session.abort();
    expect(await collect(store)).toMatchObject({ removedChunks: 1 });
  });

  test('a session of this process that puts again what is just being removed has it', { timeout: 60_000 }, async () => {
    const directory = emptyStore();
    const store = await openStore(directory);
    const session = await begin(store, hostSnapshot(time));
    const contents = Array.from({ length: 300 }, (_, n) => Buffer.from(`content ${n}`));
    const put_ = () => Promise.all(contents.map((content) => put(session, content)));
    const chunks = await put_();
    const paths = chunks.map(({ digest }) => join(directory, chunkPath(digest)));
    let removed = 0;
    for (let round = 0; round < 4; round++) {
      paths.forEach((path) => age_(path, 10 * cutoff));
      const puts: Promise<unknown>[] = [];
      const status = await collect(store, { log: (line) => void (line.startsWith('phase 2') && puts.push(put_())) });
      await Promise.all(puts);
      removed += status?.removedChunks ?? 0;
      expect(paths.filter((path) => !existsSync(path))).toEqual([]);
    }
    expect(removed, 'some were removed before they were put again').toBeGreaterThan(0);
    await writeSnapshot(session);
    expect(await checkSnapshots(store)).toBeGreaterThan(0);
    expect(readdirSync(join(directory, '.chunks'), { recursive: true, encoding: 'utf8' }).filter((name) => name.includes('.tmp_'))).toEqual([]);
  });

  test('stopped: nothing is removed, the lock is free', async () => {
    const directory = emptyStore();
    const store = await openStore(directory);
    await writeSnapshot(await begin(store, hostSnapshot(time)));
    const garbage = chunkFile(directory, hex(1), 10 * cutoff);
    await expect(collect(store, { signal: AbortSignal.abort() })).rejects.toMatchObject({ code: 'INTERRUPTED' });
    expect(existsSync(garbage)).toBe(true);
    await collect(store);
    expect(existsSync(garbage)).toBe(false);
  });

  test('the time of a server, and what it has moved', async () => {
    const directory = emptyStore();
    const { paths, locks } = fakeServer(directory, ['tuning gc-atime-cutoff=10,sync-level=none']);
    const store = await openStore(directory, paths);
    const moved = join(directory, '.moved.didx');
    writeFileSync(moved, indexOf([{ digest: digest(3), length: 10 }]));
    mkdirSync(locks, { recursive: true });
    writeFileSync(join(locks, 'move-journal'), `${moved}\n/nonexistent/a.didx\n`);
    const [young, old, named] = [chunkFile(directory, hex(1), 500), chunkFile(directory, hex(2), 700), chunkFile(directory, hex(3), 700)];
    await collect(store);
    expect([young, old, named].map(existsSync)).toEqual([true, false, true]);
  });

  test.each([-200, 200])('the clock of the host is %i s from that of the file system, more than the time of a server: what is named stays', async (skew) => {
    const directory = emptyStore();
    const { paths } = fakeServer(directory, ['tuning gc-atime-cutoff=1,sync-level=none']);
    const store = await openStore(directory, paths);
    await writeSnapshot(await begin(store, hostSnapshot(time)));
    const garbage = chunkFile(directory, hex(1), 300);
    const clock = Date.now.bind(Date);
    const spy = vi.spyOn(Date, 'now').mockImplementation(() => clock() + skew * 1000);
    onTestFinished(() => void spy.mockRestore());
    const status = await collect(store);
    // With the zero chunk.
    expect(status).toMatchObject({ removedChunks: 1, pendingChunks: 0, diskChunks: 4 });
    expect(existsSync(garbage)).toBe(false);
    expect(await checkSnapshots(store)).toBe(1);
  });

  test('a removed snapshot leaves garbage, and only that', async () => {
    const directory = emptyStore();
    const store = await openStore(directory);
    await writeSnapshot(await begin(store, hostSnapshot(time)), 'a');
    await writeSnapshot(await begin(store, hostSnapshot(time + 1)), 'b');
    const own = await chunksOf(store);
    own.forEach((path) => {
      age_(path, 2 * cutoff);
    });
    const administration = await store.administration(() => undefined);
    await administration.removeSnapshot(hostSnapshot(time));
    expect(existsSync(join(directory, snapshotPath(hostSnapshot(time))))).toBe(false);
    await collect(store);
    expect(own.map(existsSync)).not.toContain(true);
    expect(await checkSnapshots(store)).toBe(1);
  });
});
