/** A datastore on a server is what the same datastore is as a directory; what it asks for, how often, and what becomes of it when the server goes away. */
import { cpSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import { archiveKind } from '../../src/format/archive-name.js';
import type { ChunkIndex } from '../../src/format/chunk-index.js';
import type { JsonValue } from '../../src/format/json.js';
import { groupPath, parseSnapshotPath, snapshotPath, type GroupName, type SnapshotName } from '../../src/format/snapshot-name.js';
import type { Datastore } from '../../src/store/datastore.js';
import { openLocalDatastore } from '../../src/store/local/local-datastore.js';
import { openRemoteDatastore, type RemoteDatastore } from '../../src/store/remote/remote-datastore.js';
import type { OpenOptions } from '../../src/store/open-options.js';
import { storePath } from '../support/fixtures.js';
import { sha256 } from '../support/file-system-reader.js';
import { outcomeOf } from '../support/outcome.js';
import { password, startTestServer, type TestServer } from '../support/protocol-server.js';
import { allSnapshots, expectSameContents, expectSameListings, fetched } from '../support/same-store.js';
import { RecordingServer } from '../support/recording-server.js';
import { copyOfStore } from '../support/scratch.js';

async function served(path: string): Promise<RecordingServer> {
  const server = await RecordingServer.start(path);
  onTestFinished(() => server.close());
  return server;
}

async function opened(server: RecordingServer, options: Partial<OpenOptions> = {}): Promise<RemoteDatastore> {
  const store = await openRemoteDatastore(server.repository, server.options(options));
  onTestFinished(() => store.close());
  return store;
}

function required(path: string): SnapshotName {
  const name = parseSnapshotPath(path);
  if (name === undefined) throw new Error(path);
  return name;
}

async function openedFrom({ port, fingerprint }: TestServer, authId: string): Promise<RemoteDatastore> {
  const options = { environment: { PBS_PASSWORD: password, PATH: process.env['PATH'] }, fingerprint, warn: () => undefined };
  const store = await openRemoteDatastore({ authId, host: '127.0.0.1', port, store: 'store1' }, options);
  onTestFinished(() => store.close());
  return store;
}

afterEach(() => {
  vi.useRealTimers();
});

describe.each(['sample', 'vault'] as const)('%s', (name) => {
  test('is listed as the local one is', async () => {
    const local = await openLocalDatastore(storePath(name));
    onTestFinished(() => local.close());
    const server = await served(storePath(name));
    const namespaces = (await expectSameListings(local, await opened(server))).length;
    // One question of a kind for each namespace, however much is asked.
    expect(server.counted('GET /admin/datastore/store1/groups')).toBe(namespaces);
    expect(server.counted('GET /admin/datastore/store1/snapshots')).toBe(namespaces);
  });

  test.each([true, false])('gives the same manifests, blobs, indexes and chunks, with downloads: %s', async (hasDownload) => {
    const local = await openLocalDatastore(storePath(name));
    onTestFinished(() => local.close());
    const server = await served(storePath(name));
    server.hasDownload = hasDownload;
    await expectSameContents(local, await opened(server));
  });

  test('is the same on our own server', async () => {
    const local = await openLocalDatastore(storePath(name));
    onTestFinished(() => local.close());
    const remote = await openedFrom(await startTestServer(storePath(name)), 'reader@pbs');
    await expectSameListings(local, remote);
    await expectSameContents(local, remote);
  });
});

const snapshotOf = async (store: Datastore): Promise<{ snapshot: SnapshotName; image: string; index: ChunkIndex }> => {
  for (const snapshot of await allSnapshots(store)) {
    const { files } = await store.snapshotFacts(snapshot);
    const image = files.find(({ name }) => archiveKind(name) !== 'blob' && name !== 'catalog.pcat1.didx')?.name;
    if (image !== undefined && snapshot.namespace.length === 0) return { snapshot, image, index: await store.index(snapshot, image) };
  }
  throw new Error('no snapshot has an index');
};

describe('what is not there', () => {
  test('datastore, namespace, group, snapshot and file are told apart', async () => {
    const server = await served(storePath('sample'));
    const store = await opened(server);
    const [group] = await store.groups([]);
    if (group === undefined) throw new Error('no group');
    const [snapshot] = await store.snapshots(group);
    if (snapshot === undefined) throw new Error('no snapshot');
    const other = await openRemoteDatastore({ ...server.repository, store: 'nothing' }, server.options());
    onTestFinished(() => other.close());
    expect(await outcomeOf(other.groups([]))).toBe('NOT_FOUND 127.0.0.1 has no datastore nothing that backup@pbs may use; it may use other, store1');
    expect(await outcomeOf(store.groups(['no', 'where']))).toBe('NOT_FOUND there is no namespace no in datastore store1 of 127.0.0.1');
    expect(await outcomeOf(store.namespaces(['nowhere']))).toBe('NOT_FOUND there is no namespace nowhere in datastore store1 of 127.0.0.1');
    const nobody: GroupName = { ...group, id: 'nobody' };
    for (const ask of [
      () => store.snapshots(nobody),
      () => store.groupFacts(nobody),
      () => store.snapshotFacts({ ...nobody, time: 5 }),
      () => store.blob({ ...nobody, time: 5 }, 'index.json.blob'),
    ]) {
      expect(await outcomeOf(ask())).toBe(`NOT_FOUND there is no group ${groupPath(nobody)} in datastore store1 of 127.0.0.1`);
    }
    const gone = { ...snapshot, time: snapshot.time + 1 };
    for (const ask of [
      () => store.snapshotFacts(gone),
      () => store.blob(gone, 'index.json.blob'),
      () => store.index(gone, 'a.img.fidx'),
      () => store.holdSnapshot(gone, () => undefined),
    ]) {
      expect(await outcomeOf(ask())).toBe(`NOT_FOUND there is no snapshot ${snapshotPath(gone)} in datastore store1 of 127.0.0.1`);
    }
    expect(await outcomeOf(store.index(snapshot, 'nothing.img.fidx'))).toBe(`NOT_FOUND ${snapshotPath(snapshot)} has no file nothing.img.fidx`);
    expect(await outcomeOf(store.blob(snapshot, 'nothing.blob'))).toBe(`NOT_FOUND ${snapshotPath(snapshot)} has no file nothing.blob`);
  });

  test('namespaces of a server that knows none are none', async () => {
    const server = await served(storePath('sample'));
    server.lacks.add('namespace');
    const store = await opened(server);
    expect(await store.namespaces([])).toEqual([]);
    expect((await store.groups([])).length).toBeGreaterThan(0);
    expect(await outcomeOf(store.namespaces(['a']))).toMatch(/^NOT_FOUND there is no namespace a in/);
  });

  test('answers that make no sense are refused, unknown members are not', async () => {
    const server = await served(storePath('sample'));
    const store = await opened(server);
    const row = { 'backup-type': 'vm', 'backup-id': '1', 'last-backup': 1, 'backup-count': 1, files: [], 'from-the-future': { a: [] } };
    server.answers.set('GET groups', () => [row, { ...row, 'backup-type': 'tape' }, { ...row, 'backup-id': '../x' }]);
    expect((await store.groups([])).map(groupPath)).toEqual(['vm/1']);
    for (const [answer, fault] of [
      [{}, 'groups is not a list'],
      [[5], 'groups is not an object'],
      [[{ 'backup-type': 'vm' }], 'backup-id is not a text'],
    ] as const) {
      server.answers.set('GET groups', () => answer);
      store.listings.drop([]);
      expect(await outcomeOf(store.groups([]))).toBe(`PROTOCOL the server's answer about groups can't be understood: ${fault}`);
    }
    server.answers.set('GET snapshots', () => [{ ...row, 'backup-time': 5 }, { ...row, 'backup-time': 0 }, { ...row, 'backup-time': 1e15 }]);
    expect((await store.snapshots({ namespace: [], type: 'vm', id: '1' })).map(({ time }) => time)).toEqual([5]);
  });
});

describe('sessions', () => {
  test('a lost one is opened again, and its index downloaded before chunks are asked for', async () => {
    const server = await served(storePath('sample'));
    const store = await opened(server);
    const { snapshot, image, index } = await snapshotOf(store);
    const before = await fetched(store.chunks, index, 0);
    expect(server.counted(`reader ${snapshotPath(snapshot)}`)).toBe(1);
    server.dropConnections();
    expect(await fetched(store.chunks, index, 0)).toBe(before);
    expect(server.counted(`reader ${snapshotPath(snapshot)}`)).toBe(2);
    expect(server.counted(`download ${snapshotPath(snapshot)}/${image}`)).toBe(2);
  });

  test('reads wait for a server that is restarted, and fail when it does not come back', async () => {
    const server = await served(storePath('sample'));
    const lines: string[] = [];
    const store = await opened(server, { timeoutMs: 3000, warn: (line) => lines.push(line) });
    const { index } = await snapshotOf(store);
    const before = await fetched(store.chunks, index, 0);
    await server.stop();
    const waiting = fetched(store.chunks, index, 0);
    setTimeout(() => void server.listen(), 800);
    expect(await waiting).toBe(before);
    expect(lines).toEqual([expect.stringMatching(/reads wait up to 3 s for it, and then fail$/), 'the server is reached again']);
    await server.stop();
    const begun = performance.now();
    expect(await outcomeOf(fetched(store.chunks, index, 0))).toMatch(/^UNREACHABLE 127.0.0.1/);
    const took = performance.now() - begun;
    expect(took).toBeGreaterThan(2000);
    expect(took).toBeLessThan(5000);
    expect(store.state()).toMatchObject({ connected: false });
    // What was listed stands while the server is away.
    expect((await store.groups([])).length).toBeGreaterThan(0);
  });

  test('chunks of a snapshot that was replaced are not taken for those that were opened', async () => {
    const path = copyOfStore('sample');
    const server = await served(path);
    const store = await opened(server);
    const snapshots = (await allSnapshots(store)).filter(({ namespace }) => namespace.length === 0);
    const indexes: { snapshot: SnapshotName; file: string; index: ChunkIndex }[] = [];
    for (const snapshot of snapshots) {
      for (const { name } of (await store.snapshotFacts(snapshot)).files) {
        if (archiveKind(name) === 'fixed') indexes.push({ snapshot, file: name, index: await store.index(snapshot, name) });
      }
    }
    const first = indexes[0];
    const other = indexes.find(({ index }) => first !== undefined && !index.computeCsum().equals(first.index.computeCsum()));
    if (first === undefined || other === undefined) throw new Error('two different images');
    const alone = [...Array(first.index.count).keys()].find((n) => indexes.every((each) => each === first || each.index.chunksOf(first.index.digestAt(n)).length === 0));
    cpSync(join(path, snapshotPath(other.snapshot), other.file), join(path, snapshotPath(first.snapshot), first.file));
    const lost = (): Promise<void> => {
      server.dropConnections();
      return vi.waitFor(() => {
        expect(store.readers.counts.open).toBe(0);
      });
    };
    await lost();
    expect(alone).toBeDefined();
    expect(await outcomeOf(fetched(store.chunks, first.index, alone ?? 0))).toMatch(/^MANIFEST_MISMATCH .* is another one/);
    renameSync(join(path, snapshotPath(first.snapshot)), join(path, 'away'));
    await lost();
    expect(await outcomeOf(fetched(store.chunks, first.index, alone ?? 0))).toMatch(/^CHUNK_MISSING/);
  });

  test('a refused session says nothing of the chunk, whose place is known afterwards', async () => {
    const server = await served(copyOfStore('sample'));
    const store = await opened(server);
    const { snapshot, index } = await snapshotOf(store);
    const before = await fetched(store.chunks, index, 0);
    const bare = { digest: index.digestAt(0), length: index.endOf(0), keyNumber: -1 };
    server.refusesReaders = 'datastore is in maintenance mode';
    server.dropConnections();
    await vi.waitFor(() => {
      expect(store.readers.counts.open).toBe(0);
    });
    expect(await outcomeOf(store.chunks.fetch(bare))).toMatch(/^REFUSED .*maintenance/);
    server.refusesReaders = undefined;
    expect(sha256(Buffer.from(await store.chunks.fetch(bare)))).toBe(before);
    renameSync(join(server.path, snapshotPath(snapshot)), join(server.path, 'away'));
    server.dropConnections();
    await vi.waitFor(() => {
      expect(store.readers.counts.open).toBe(0);
    });
    expect(await outcomeOf(store.chunks.fetch(bare))).toMatch(/^CHUNK_MISSING/);
  });

  test('a server that has forgotten an index is given it to say again once', async () => {
    const server = await served(storePath('sample'));
    const store = await opened(server);
    const { snapshot, image, index } = await snapshotOf(store);
    const before = await fetched(store.chunks, index, 0);
    server.forgets = 1;
    expect(await fetched(store.chunks, index, 0)).toBe(before);
    expect(server.counted(`download ${snapshotPath(snapshot)}/${image}`)).toBe(2);
    server.forgets = 1000;
    expect(await outcomeOf(fetched(store.chunks, index, 0))).toMatch(/not allowed/);
    expect(server.counted(`download ${snapshotPath(snapshot)}/${image}`)).toBe(3);
  });

  test('a held snapshot keeps its session, also after it was lost, and ends it with the hold', async () => {
    const server = await served(storePath('sample'));
    const store = await opened(server);
    const { snapshot } = await snapshotOf(store);
    const path = snapshotPath(snapshot);
    const lines: string[] = [];
    const held = await store.holdSnapshot(snapshot, (line) => lines.push(line));
    const second = await store.holdSnapshot(snapshot, (line) => lines.push(line));
    expect(server.readersOf(path)).toBe(1);
    expect(store.state()).toMatchObject({ snapshotsHeld: 1 });
    server.dropConnections();
    await vi.waitFor(() => {
      expect(server.counted(`reader ${path}`)).toBe(2);
    }, 5000);
    await vi.waitFor(() => {
      expect(lines.filter((line) => line.includes('is kept from being removed again')).length).toBe(2);
    }, 5000);
    held.release();
    held.release();
    expect(server.readersOf(path)).toBe(1);
    second.release();
    await vi.waitFor(() => {
      expect(server.readersOf(path)).toBe(0);
    }, 5000);
  });

  test('no more than sixteen are open, those that were not used for longest are closed', async () => {
    const server = await served(storePath('vault'));
    server.hasDownload = false;
    const store = await opened(server);
    const snapshots = (await allSnapshots(store)).slice(0, 24);
    const finished: SnapshotName[] = [];
    for (const snapshot of snapshots) if ((await store.snapshotFacts(snapshot)).finished) finished.push(snapshot);
    await Promise.all(finished.map((snapshot) => store.blob(snapshot, 'index.json.blob')));
    await vi.waitFor(() => {
      expect(finished.reduce((sum, snapshot) => sum + server.readersOf(snapshotPath(snapshot)), 0)).toBe(Math.min(finished.length, 16));
    }, 5000);
  });

  test('a chunk of which only the digest is known is found in what was loaded, or in what is held', async () => {
    const server = await served(storePath('sample'));
    const first = await opened(server);
    const { snapshot, index } = await snapshotOf(first);
    const nameless = { digest: index.digestAt(0), length: index.endOf(0), keyNumber: -1 };
    const expected = await fetched(first.chunks, index, 0);
    expect(sha256(Buffer.from(await first.chunks.fetch(nameless)))).toBe(expected);
    const second = await opened(server);
    expect(await outcomeOf(second.chunks.fetch(nameless))).toMatch(/^CHUNK_MISSING .* is in no snapshot that was read/);
    const held = await second.holdSnapshot(snapshot, () => undefined);
    expect(sha256(Buffer.from(await second.chunks.fetch(nameless)))).toBe(expected);
    held.release();
  });
});

test('manifests of many snapshots are read without a session of each', async () => {
  const server = await served(storePath('sample'));
  const store = await opened(server);
  const local = await openLocalDatastore(storePath('sample'));
  for (const snapshot of await allSnapshots(local)) {
    if ((await local.snapshotFacts(snapshot)).finished) expect((await store.blob(snapshot, 'index.json.blob')).length).toBeGreaterThan(12);
  }
  expect(server.counted('reader ')).toBe(0);
  await local.close();
});

describe('listings', () => {
  test('ten thousand snapshots are listed in a moment, and each found at once', async () => {
    const server = await served(storePath('sample'));
    const store = await opened(server);
    const files = ['drive-scsi0.img.fidx', 'drive-scsi1.img.fidx', 'qemu-server.conf.blob', 'client.log.blob', 'index.json.blob'].map((filename) => ({ filename, 'crypt-mode': 'none', size: 4096 }));
    const rows = Array.from({ length: 10_000 }, (_, i) => ({ 'backup-type': 'vm', 'backup-id': String(100 + (i % 10)), 'backup-time': 1_600_000_000 + i, files, protected: false, owner: 'root@pam', size: 5 * 4096 }));
    const { readSnapshots } = await import('../../src/store/remote/listing-answers.js');
    const answer = JSON.parse(JSON.stringify(rows)) as JsonValue;
    const times = Array.from({ length: 5 }, () => {
      const begun = performance.now();
      expect(readSnapshots(answer).size).toBe(10);
      return performance.now() - begun;
    });
    // Other processes may have taken the core now and then.
    expect(Math.min(...times)).toBeLessThan(300);
    server.answers.set('GET snapshots', () => rows);
    const group: GroupName = { namespace: [], type: 'vm', id: '101' };
    const snapshots = await store.snapshots(group);
    expect(snapshots.length).toBe(1000);
    const asking = performance.now();
    for (const snapshot of snapshots) expect((await store.snapshotFacts(snapshot)).finished).toBe(true);
    expect(performance.now() - asking).toBeLessThan(300);
    expect(server.counted('GET /admin/datastore/store1/snapshots')).toBe(1);
  });

  test('many who ask at the same time ask once, and a version changes with what is in a snapshot', async () => {
    const server = await served(storePath('sample'));
    const store = await opened(server);
    const base = { 'backup-type': 'vm', 'backup-id': '7', 'backup-time': 1_600_000_000, protected: false, files: [{ filename: 'index.json.blob', size: 300 }, { filename: 'a.conf.blob', size: 20 }] };
    const snapshot = required('vm/7/2020-09-13T12:26:40Z');
    const variants: object[] = [
      base,
      { ...base, protected: true },
      { ...base, comment: 'a note' },
      { ...base, verification: { state: 'ok', upid: 'UPID:x' } },
      { ...base, fingerprint: 'aa:bb' },
      { ...base, files: base.files.slice(1) },
      { ...base, files: [...base.files, { filename: 'client.log.blob' }] },
      { ...base, files: [{ filename: 'index.json.blob', size: 301 }, base.files[1]] },
    ];
    const versions = new Set<string>();
    for (const row of variants) {
      server.answers.set('GET snapshots', () => [row]);
      store.listings.drop([]);
      const asked = server.counted('GET /admin/datastore/store1/snapshots');
      const facts = await Promise.all(Array.from({ length: 5 }, () => store.snapshotFacts(snapshot)));
      expect(server.counted('GET /admin/datastore/store1/snapshots')).toBe(asked + 1);
      versions.add(facts[0]?.version ?? '');
    }
    expect(versions.size).toBe(variants.length);
  });

  test('what changed is told with the directory of the local store, while somebody listens', async () => {
    const path = copyOfStore('sample');
    const server = await served(path);
    const store = await opened(server);
    const { snapshot } = await snapshotOf(store);
    const told: string[] = [];
    const stop = store.watch((directory) => told.push(directory));
    await store.snapshots(snapshot);
    await store.groups([]);
    rmSync(join(path, snapshotPath(snapshot)), { recursive: true });
    await vi.waitFor(() => {
      expect(told).toContain(groupPath(snapshot));
    }, 15_000);
    stop();
  }, 20_000);
});

describe('what is made', () => {
  test('a group is there until the mount ends, and on the server with its first snapshot', async () => {
    const server = await served(storePath('sample'));
    const store = await opened(server);
    const group: GroupName = { namespace: [], type: 'host', id: 'new' };
    await store.createGroup(group);
    expect((await store.groups([])).map(groupPath)).toContain('host/new');
    expect(await store.snapshots(group)).toEqual([]);
    expect(await store.groupFacts(group)).toEqual({ owner: undefined, notes: undefined });
    expect(await outcomeOf(store.createGroup(group))).toBe('EXISTS there is a group host/new');
    await store.removeEmptyGroup(group);
    expect((await store.groups([])).map(groupPath)).not.toContain('host/new');
    expect(await outcomeOf(store.createGroup({ ...group, id: '../x' }))).toMatch(/^BAD_NAME/);
    const [known] = await store.groups([]);
    if (known !== undefined) expect(await outcomeOf(store.createGroup(known))).toMatch(/^EXISTS/);
  });

  test('a namespace is made by the server', async () => {
    const server = await served(storePath('sample'));
    const store = await opened(server);
    const made: unknown[] = [];
    server.answers.set('POST namespace', (_query, body) => made.push(JSON.parse(body.toString())));
    await store.createNamespace(['new']);
    expect(made).toEqual([{ name: 'new', parent: '' }]);
    const [there = ''] = await store.namespaces([]);
    if (there !== '') expect(await outcomeOf(store.createNamespace([there]))).toMatch(/^EXISTS/);
    expect(await outcomeOf(store.createNamespace(['a'.repeat(33)]))).toMatch(/^BAD_NAME/);
    expect(made.length).toBe(1);
  });
});
