/** The fixture stores as the real client lists them, and stores that are not as they should be. */
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, renameSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { codeOf, messageOf } from '../../src/errors.js';
import { formatBackupTime } from '../../src/format/backup-time.js';
import { chunkPath } from '../../src/format/chunk-path.js';
import { groupPath, snapshotPath, type GroupName, type SnapshotName } from '../../src/format/snapshot-name.js';
import { formatNamespace, type Namespace } from '../../src/format/namespace.js';
import type { Datastore } from '../../src/store/datastore.js';
import { openDatastore } from '../../src/store/open.js';
import { expectedJson, storePath, type FixtureStore } from '../support/fixtures.js';
import { copyOfStore, scratchDirectory } from '../support/scratch.js';

interface ExpectedStore {
  namespaces: string[];
  groups: { ns: string; type: string; id: string; owner: string; notes?: string }[];
  snapshots: {
    path: string;
    finished: boolean;
    protected?: boolean;
    files?: { filename: string; size: number; kind: string; chunks?: number }[];
    unlisted?: { filename: string }[];
  }[];
}

async function allNamespaces(store: Datastore, parent: Namespace = []): Promise<Namespace[]> {
  const children = await Promise.all((await store.namespaces(parent)).map((name) => allNamespaces(store, [...parent, name])));
  return [parent, ...children.flat()];
}

describe.each(['sample', 'vault'] as const)('%s', (name: FixtureStore) => {
  const expected = expectedJson(name, 'datastore.json') as ExpectedStore;

  test('namespaces, groups and their facts', async () => {
    const store = await openDatastore(storePath(name));
    const namespaces = await allNamespaces(store);
    expect(namespaces.map(formatNamespace)).toEqual(expected.namespaces);
    const found = [];
    for (const namespace of namespaces) {
      for (const group of await store.groups(namespace)) {
        const { owner, notes } = await store.groupFacts(group);
        found.push({ ns: formatNamespace(namespace), type: group.type, id: group.id, owner, ...(notes !== undefined && { notes }) });
      }
    }
    expect(found).toEqual(expected.groups);
    await store.close();
  });

  test('snapshots and their files', async () => {
    const store = await openDatastore(storePath(name));
    const found = new Map<string, SnapshotName>();
    for (const namespace of await allNamespaces(store)) {
      for (const group of await store.groups(namespace)) {
        const snapshots = await store.snapshots(group);
        expect(snapshots.map(({ time }) => time)).toEqual(snapshots.map(({ time }) => time).sort((a, b) => a - b));
        for (const snapshot of snapshots) found.set(snapshotPath(snapshot), snapshot);
      }
    }
    expect([...found.keys()].sort()).toEqual(expected.snapshots.map(({ path }) => path).sort());
    for (const line of expected.snapshots) {
      const snapshot = found.get(line.path);
      if (snapshot === undefined) throw new Error(`${line.path} was listed`);
      const facts = await store.snapshotFacts(snapshot);
      expect(facts.finished, line.path).toBe(line.finished);
      expect(facts.protected, line.path).toBe(line.protected ?? false);
      if (!line.finished) continue;
      const names = [...(line.files ?? []), ...(line.unlisted ?? []), { filename: 'index.json.blob' }].map(({ filename }) => filename);
      expect(facts.files.map((file) => file.name)).toEqual(names.sort());
      for (const { filename, kind, size, chunks } of line.files ?? []) {
        if (kind === 'blob') {
          expect((await store.blob(snapshot, filename)).length).toBe(size);
          continue;
        }
        const index = await store.index(snapshot, filename);
        expect([index.size, index.count, index.kind]).toEqual([size, chunks, kind]);
        const files = new Set(Array.from({ length: index.count }, (_, n) => join(store.location, chunkPath(index.digestAt(n)))));
        expect(await store.encodedBytes?.(index)).toBe([...files].reduce((sum, file) => sum + statSync(file).size, 0));
      }
    }
    await store.close();
  });
});

/** A store with one whole snapshot, `vm/100/2024-01-02T03:04:05Z`, to which tests add what is odd. */
function newStore(): string {
  const path = join(scratchDirectory(), 'store');
  mkdirSync(join(path, '.chunks'), { recursive: true });
  addSnapshot(path, 'vm/100/2024-01-02T03:04:05Z');
  return path;
}

function addSnapshot(store: string, path: string, files: Record<string, string> = { 'index.json.blob': 'manifest', 'a.img.fidx': 'index' }): void {
  mkdirSync(join(store, path), { recursive: true });
  writeFileSync(join(store, path, '../owner'), 'root@pam\n');
  for (const [name, text] of Object.entries(files)) writeFileSync(join(store, path, name), text);
}

const group: GroupName = { namespace: [], type: 'vm', id: '100' };
const snapshot: SnapshotName = { ...group, time: Date.parse('2024-01-02T03:04:05Z') / 1000 };

async function groupsOf(store: Datastore, namespace: Namespace = []): Promise<string[]> {
  return (await store.groups(namespace)).map(groupPath);
}

async function timesOf(store: Datastore, of: GroupName = group): Promise<string[]> {
  return (await store.snapshots(of)).map(({ time }) => formatBackupTime(time));
}

describe('what lies in a store and is no part of it', () => {
  test('stray files and directories everywhere are left out', async () => {
    const path = newStore();
    for (const place of ['', 'vm', 'vm/100', 'vm/100/2024-01-02T03:04:05Z']) {
      writeFileSync(join(path, place, 'stray'), 'x');
      writeFileSync(join(path, place, 'stray.tmp_AbCdEf'), 'x');
      mkdirSync(join(path, place, 'lost+found'));
      mkdirSync(join(path, place, '.hidden'));
      writeFileSync(Buffer.concat([Buffer.from(join(path, place)), Buffer.from('/not\xffutf8', 'latin1')]), 'x');
      mkdirSync(Buffer.concat([Buffer.from(join(path, place)), Buffer.from('/dir\xff', 'latin1')]));
    }
    mkdirSync(join(path, 'vmx/1/2024-01-02T03:04:05Z'), { recursive: true });
    writeFileSync(join(path, 'ct'), 'a file where a directory should be');
    writeFileSync(join(path, 'vm/200'), 'a file where a group should be');
    writeFileSync(join(path, 'vm/100/2024-01-03T03:04:05Z'), 'a file where a snapshot should be');
    mkdirSync(join(path, 'vm/100/2024-01-02T03:04:05Z/dir.blob'));
    execFileSync('mkfifo', [join(path, 'vm/100/2024-01-02T03:04:05Z/pipe.blob')]);
    const store = await openDatastore(path);
    expect(await groupsOf(store)).toEqual(['vm/100']);
    expect(await timesOf(store)).toEqual(['2024-01-02T03:04:05Z']);
    const facts = await store.snapshotFacts(snapshot);
    expect(facts.files.map(({ name }) => name)).toEqual(['a.img.fidx', 'index.json.blob']);
    expect(facts).toMatchObject({ finished: true, protected: false });
  });

  test.each([
    '2020-13-45T99:99:99Z',
    '2023-02-30T00:00:00Z',
    '2023-06-30T23:59:60Z',
    '2023-1-1T00:00:00Z',
    '2023-01-01 00:00:00Z',
    '2023-01-01T00:00:00',
    '2023-01-01T00:00:00z',
    '2023-01-01T24:00:00Z',
    '+023-01-01T00:00:00Z',
    '2023-01-01T00:00:00Z.tmp',
  ])('the directory %s is no snapshot, and its neighbours are', async (name) => {
    const path = newStore();
    addSnapshot(path, `vm/100/${name}`);
    expect(await timesOf(await openDatastore(path))).toEqual(['2024-01-02T03:04:05Z']);
  });

  test('times at the ends of the range are snapshots', async () => {
    const path = newStore();
    for (const name of ['0000-01-01T00:00:00Z', '1969-12-31T23:59:59Z', '9999-12-31T23:59:59Z']) addSnapshot(path, `vm/100/${name}`);
    expect(await timesOf(await openDatastore(path))).toEqual(['0000-01-01T00:00:00Z', '1969-12-31T23:59:59Z', '2024-01-02T03:04:05Z', '9999-12-31T23:59:59Z']);
  });

  test('names that are no ids, and the order of those that are', async () => {
    const path = newStore();
    for (const id of ['-x', 'a b', 'a:b', '\u00e9', '..x', '99', '0100', '18446744073709551616', 'abc', 'Zed', '_1', 'x'.repeat(255)]) {
      mkdirSync(join(path, 'vm', id));
    }
    expect(await groupsOf(await openDatastore(path))).toEqual(
      ['99', '0100', '100', '18446744073709551616', 'Zed', '_1', 'abc', 'x'.repeat(255)].map((id) => `vm/${id}`),
    );
  });

  test('namespaces: seven levels, 256 characters, valid names', async () => {
    const path = newStore();
    const deep = Array.from({ length: 9 }, (_, i) => `ns/level${i}`);
    mkdirSync(join(path, ...deep, 'vm/1'), { recursive: true });
    for (const name of ['bad name', '-bad', '.bad', 'good', 'x'.repeat(255)]) mkdirSync(join(path, 'ns', name));
    writeFileSync(join(path, 'ns/file'), '');
    symlinkSync('good', join(path, 'ns/link'));
    mkdirSync(join(path, 'ns', 'x'.repeat(255), 'ns', 'y'), { recursive: true });
    const store = await openDatastore(path);
    const found = (await allNamespaces(store)).map(formatNamespace);
    const levels = Array.from({ length: 7 }, (_, i) => Array.from({ length: i + 1 }, (__, j) => `level${j}`).join('/'));
    expect(found).toEqual(['', 'good', ...levels, 'x'.repeat(255)]);
    await expect(store.namespaces(['none'])).rejects.toMatchObject({ code: 'NOT_FOUND' });
    await expect(store.groups(['none'])).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });

  test('links are not followed, but for the store itself', async () => {
    const path = newStore();
    const elsewhere = scratchDirectory();
    addSnapshot(elsewhere, 'vm/300/2024-01-02T03:04:05Z');
    symlinkSync(join(elsewhere, 'vm/300'), join(path, 'vm/300'));
    symlinkSync('2024-01-02T03:04:05Z', join(path, 'vm/100/2025-01-02T03:04:05Z'));
    symlinkSync(join(elsewhere, 'vm'), join(path, 'host'));
    symlinkSync('/etc/hostname', join(path, 'vm/100/2024-01-02T03:04:05Z/secret.conf.blob'));
    symlinkSync('/etc/hostname', join(path, 'vm/100/notes'));
    rmSync(join(path, 'vm/100/owner'));
    symlinkSync('/etc/hostname', join(path, 'vm/100/owner'));
    symlinkSync(path, join(elsewhere, 'link-to-store'));
    const store = await openDatastore(join(elsewhere, 'link-to-store'));
    expect(store.location).toBe(path);
    expect(await groupsOf(store)).toEqual(['vm/100']);
    expect(await timesOf(store)).toEqual(['2024-01-02T03:04:05Z']);
    expect((await store.snapshotFacts(snapshot)).files.map(({ name }) => name)).toEqual(['a.img.fidx', 'index.json.blob']);
    expect(await store.groupFacts(group)).toEqual({ owner: undefined, notes: undefined });
    await expect(store.blob(snapshot, 'secret.conf.blob')).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });
});

describe('groups and snapshots that are not whole', () => {
  test('no owner, or a strange one', async () => {
    const path = newStore();
    const store = await openDatastore(path);
    const owner = join(path, 'vm/100/owner');
    expect((await store.groupFacts(group)).owner).toBe('root@pam');
    for (const text of ['', '\n', 'no realm\n', '\0\0\0', 'x'.repeat(2 << 20)]) {
      writeFileSync(owner, text);
      expect(await store.groupFacts(group)).toEqual({ owner: undefined, notes: undefined });
    }
    rmSync(owner);
    expect((await store.groupFacts(group)).owner).toBeUndefined();
    mkdirSync(owner);
    expect((await store.groupFacts(group)).owner).toBeUndefined();
    rmSync(owner, { recursive: true });
    execFileSync('mkfifo', [owner]);
    expect((await store.groupFacts(group)).owner).toBeUndefined();
  });

  test('a snapshot without manifest, an empty one, and a group of which half was removed', async () => {
    const path = newStore();
    addSnapshot(path, 'vm/100/2024-02-02T03:04:05Z', { 'a.img.tmp_fidx': '', 'a.conf.blob': 'x' });
    addSnapshot(path, 'vm/100/2024-03-02T03:04:05Z', {});
    mkdirSync(join(path, 'vm/200'));
    mkdirSync(join(path, 'ct'));
    const store = await openDatastore(path);
    const [, unfinished, empty] = await store.snapshots(group);
    if (unfinished === undefined || empty === undefined) throw new Error('three snapshots');
    expect(await store.snapshotFacts(unfinished)).toMatchObject({ finished: false, files: [{ name: 'a.conf.blob', size: 1 }] });
    expect(await store.snapshotFacts(empty)).toMatchObject({ finished: false, files: [] });
    expect(await groupsOf(store)).toEqual(['vm/100', 'vm/200']);
    expect(await timesOf(store, { ...group, id: '200' })).toEqual([]);
    await expect(store.snapshots({ ...group, id: '300' })).rejects.toMatchObject({ code: 'NOT_FOUND' });
    await expect(store.snapshotFacts({ ...group, time: 5 })).rejects.toMatchObject({ code: 'NOT_FOUND' });
    await expect(store.blob(snapshot, 'none.blob')).rejects.toMatchObject({ code: 'NOT_FOUND' });
    await expect(store.index(snapshot, 'a.img.fidx')).rejects.toMatchObject({ code: 'TRUNCATED' });
    expect(await store.groupFacts({ ...group, id: '300' })).toEqual({ owner: undefined, notes: undefined });
  });

  test('the version changes with every file that is added, removed or replaced', async () => {
    const path = newStore();
    const store = await openDatastore(path);
    const directory = join(path, snapshotPath(snapshot));
    const versions = new Set<string>();
    const note = async (): Promise<void> => void versions.add((await store.snapshotFacts(snapshot)).version);
    await note();
    await note();
    expect(versions.size).toBe(1);
    writeFileSync(join(directory, 'client.log.blob'), 'log');
    await note();
    writeFileSync(join(directory, '.protected'), '');
    await note();
    expect((await store.snapshotFacts(snapshot)).protected).toBe(true);
    writeFileSync(join(directory, 'index.json.tmp_x'), 'manifesT');
    renameSync(join(directory, 'index.json.tmp_x'), join(directory, 'index.json.blob'));
    await note();
    rmSync(join(directory, 'client.log.blob'));
    await note();
    expect(versions.size).toBe(5);
  });

  test('files, snapshots and groups that vanish between a listing and what follows', async () => {
    const path = newStore();
    const store = await openDatastore(path);
    const outcomes = new Set<string>();
    for (let round = 0; round < 60; round++) {
      addSnapshot(path, 'vm/100/2024-05-05T05:05:05Z', Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`f${i}.conf.blob`, 'x'])));
      const vanishing = { ...group, time: Date.parse('2024-05-05T05:05:05Z') / 1000 };
      const asked = [store.snapshotFacts(vanishing), store.snapshots(group), store.blob(vanishing, 'f7.conf.blob'), store.snapshotFacts(vanishing)];
      if (round % 3 > 0) await new Promise(setImmediate);
      rmSync(join(path, 'vm/100/2024-05-05T05:05:05Z'), { recursive: true });
      for (const result of await Promise.allSettled<unknown>(asked)) {
        outcomes.add(result.status === 'fulfilled' ? 'fulfilled' : (codeOf(result.reason) ?? messageOf(result.reason)));
      }
    }
    expect([...outcomes].filter((outcome) => outcome !== 'fulfilled' && outcome !== 'NOT_FOUND')).toEqual([]);
  });
});

describe('as another user', () => {
  /** Runs `use` without the powers of root. */
  async function asNobody<T>(use: () => Promise<T>): Promise<T> {
    process.seteuid?.(65534);
    try {
      return await use();
    } finally {
      process.seteuid?.(0);
    }
  }

  test.runIf(process.getuid?.() === 0)('what may not be read is left out or says so, its neighbours are there', async () => {
    const path = newStore();
    for (const place of ['ct/1', 'host/1', 'vm/101', 'vm/102']) addSnapshot(path, `${place}/2024-01-02T03:04:05Z`);
    mkdirSync(join(path, 'ns/open/vm/1'), { recursive: true });
    mkdirSync(join(path, 'ns/closed/vm/1'), { recursive: true });
    const store = await openDatastore(path);
    chmodSync(join(path, 'ct'), 0o700);
    chmodSync(join(path, 'vm/101'), 0o700);
    chmodSync(join(path, 'vm/102/2024-01-02T03:04:05Z'), 0o744);
    chmodSync(join(path, 'vm/100/owner'), 0o600);
    chmodSync(join(path, snapshotPath(snapshot), 'a.img.fidx'), 0o600);
    chmodSync(join(path, 'ns/closed'), 0o700);
    await asNobody(async () => {
      expect(await groupsOf(store)).toEqual(['host/1', 'vm/100', 'vm/101', 'vm/102']);
      await expect(store.snapshots({ ...group, id: '101' })).rejects.toMatchObject({ code: 'NO_PERMISSION' });
      await expect(store.snapshotFacts({ ...snapshot, id: '102' })).rejects.toMatchObject({ code: 'NO_PERMISSION' });
      expect(await store.groupFacts(group)).toEqual({ owner: undefined, notes: undefined });
      expect((await store.snapshotFacts(snapshot)).files).toHaveLength(2);
      await expect(store.index(snapshot, 'a.img.fidx')).rejects.toMatchObject({ code: 'NO_PERMISSION' });
      expect(await store.namespaces([])).toEqual(['closed', 'open']);
      expect(await groupsOf(store, ['closed'])).toEqual([]);
      expect(await groupsOf(store, ['open'])).toEqual(['ns/open/vm/1']);
    });
  });

  test.runIf(process.getuid?.() === 0)('a store that may not be entered', async () => {
    const path = newStore();
    chmodSync(path, 0o700);
    await asNobody(async () => {
      await expect(openDatastore(path)).rejects.toMatchObject({ code: 'NO_PERMISSION' });
    });
  });
});

describe('opening', () => {
  test('what is no datastore', async () => {
    const directory = scratchDirectory();
    await expect(openDatastore(join(directory, 'none'))).rejects.toMatchObject({ code: 'NOT_FOUND' });
    await expect(openDatastore(directory)).rejects.toMatchObject({ code: 'NOT_A_DATASTORE' });
    writeFileSync(join(directory, '.chunks'), '');
    await expect(openDatastore(directory)).rejects.toMatchObject({ code: 'NOT_A_DATASTORE' });
    await expect(openDatastore(join(directory, '.chunks'))).rejects.toMatchObject({ code: 'NOT_A_DATASTORE' });
    await expect(openDatastore('backup@pbs@pbs.example.com:none:store1')).rejects.toMatchObject({ code: 'BAD_NAME' });
    await expect(openDatastore('./pbs.example.com:store1')).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });

  test('an empty one', async () => {
    const directory = scratchDirectory();
    mkdirSync(join(directory, '.chunks'));
    const store = await openDatastore(directory);
    expect(await store.groups([])).toEqual([]);
    expect(await store.namespaces([])).toEqual([]);
    const { bytes, bytesFree } = await store.space();
    expect(bytes).toBeGreaterThan(bytesFree);
  });

  test.runIf(process.getuid?.() === 0)('read-only media, and nothing is ever written', async () => {
    const path = copyOfStore('sample');
    const point = join(scratchDirectory(), 'ro');
    mkdirSync(point);
    const facts = (): string => execFileSync('find', [path, '-printf', '%p %i %s %m %T@ %C@\n'], { encoding: 'utf8' });
    const before = facts();
    execFileSync('mount', ['--bind', path, point]);
    try {
      execFileSync('mount', ['-o', 'remount,bind,ro', point]);
      const store = await openDatastore(point);
      let files = 0;
      for (const namespace of await allNamespaces(store)) {
        for (const each of await store.groups(namespace)) {
          await store.groupFacts(each);
          for (const one of await store.snapshots(each)) {
            for (const { name } of (await store.snapshotFacts(one)).files) {
              if (name.endsWith('.blob')) await store.blob(one, name);
              else await store.encodedBytes?.(await store.index(one, name));
              files++;
            }
          }
        }
      }
      expect(files).toBeGreaterThan(40);
      await store.close();
    } finally {
      execFileSync('umount', [point]);
    }
    expect(facts()).toBe(before);
  });
});

describe('watching', () => {
  const stops: (() => void)[] = [];
  afterEach(() => {
    for (const stop of stops.splice(0)) stop();
  });

  async function watched(path: string): Promise<{ store: Datastore; told: string[] }> {
    const store = await openDatastore(path);
    const told: string[] = [];
    stops.push(store.watch((directory) => told.push(directory)), () => void store.close());
    return { store, told };
  }

  const within = { timeout: 2100, interval: 50 };

  test('a snapshot that is added, changed or removed is told within two seconds', async () => {
    const path = newStore();
    const { store, told } = await watched(path);
    await store.snapshots(group);
    await store.snapshotFacts(snapshot);
    addSnapshot(path, 'vm/100/2024-06-06T06:06:06Z');
    await vi.waitFor(() => {
      expect(told).toContain('vm/100');
    }, within);
    told.length = 0;
    writeFileSync(join(path, snapshotPath(snapshot), 'client.log.blob'), 'x');
    await vi.waitFor(() => {
      expect(told).toEqual([snapshotPath(snapshot)]);
    }, within);
    told.length = 0;
    rmSync(join(path, snapshotPath(snapshot)), { recursive: true });
    await vi.waitFor(() => {
      expect(told.sort()).toEqual(['vm/100', snapshotPath(snapshot)]);
    }, within);
  });

  test('so is a change right after the listing, groups, namespaces and types that appear', async () => {
    const path = newStore();
    const { store, told } = await watched(path);
    await Promise.all([store.groups([]), store.namespaces([])]);
    mkdirSync(join(path, 'vm/200'));
    mkdirSync(join(path, 'ct/1'), { recursive: true });
    mkdirSync(join(path, 'ns/new'), { recursive: true });
    await vi.waitFor(() => {
      expect(told.sort()).toEqual(['ct', 'ns', 'vm']);
    }, within);
  });

  test('what was never listed is not told of, nor anything after the listener has left', async () => {
    const path = newStore();
    const { store, told } = await watched(path);
    await store.groups([]);
    addSnapshot(path, 'vm/100/2024-06-06T06:06:06Z');
    await new Promise((resolve) => setTimeout(resolve, 1500));
    expect(told).toEqual([]);
    stops[0]?.();
    mkdirSync(join(path, 'vm/300'));
    await new Promise((resolve) => setTimeout(resolve, 1500));
    expect(told).toEqual([]);
  });
});
