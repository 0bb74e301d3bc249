/** The locks of a backup, against those that other processes take the way a server does. */
import { mkdirSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { groupLockName, manifestLockName, nestedManifestLockName, snapshotLockName } from '../../src/format/lock-name.js';
import { LockStack, lockDirectory, lockFile } from '../../src/store/local/locks.js';
import { start } from '../support/command.js';
import { canLock, holdLock, type LockKind, type LockWay } from '../support/lock-holder.js';
import {
  begin,
  checkSnapshots,
  emptyStore,
  fakeServer,
  hostSnapshot,
  manifest,
  openStore,
  storeNames,
  writeSnapshot,
  type FakeServer,
} from '../support/new-snapshots.js';
import { scratchDirectory } from '../support/scratch.js';

const time = 1_700_000_000;
const first = hostSnapshot(time);
const second = hostSnapshot(time + 1);
const firstDirectory = 'host/web/2023-11-14T22:13:20Z';
const writer = new URL('../support/snapshot-writer.js', import.meta.url).pathname;

interface Place {
  readonly directory: string;
  readonly server: FakeServer;
}

/** A store with one snapshot, which a server has. */
async function place(): Promise<Place> {
  const directory = emptyStore();
  const server = fakeServer(directory);
  await writeSnapshot(await begin(await openStore(directory, server.paths), first));
  return { directory, server };
}

function newLock(path: string): string {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, '', { flag: 'a' });
  return path;
}

describe('refused with nothing left', () => {
  const cases: (readonly [what: string, way: LockWay, kind: LockKind, path: (place: Place) => string, message: RegExp])[] = [
    ['garbage collection', 'records', 'exclusive', ({ directory }) => join(directory, '.lock'), /garbage collection/],
    ['another program with the process lock', 'open-records', 'exclusive', ({ directory }) => join(directory, '.lock'), /garbage collection/],
    ['a lock on the group directory', 'whole', 'exclusive', ({ directory }) => join(directory, 'host/web'), /another backup of this group/],
    ['a shared lock on the group directory', 'whole', 'shared', ({ directory }) => join(directory, 'host/web'), /another backup of this group/],
    ['the lock file of the group', 'whole', 'exclusive', ({ server }) => join(server.locks, groupLockName(first)), /another backup of this group/],
    ['a lock on the last snapshot', 'whole', 'exclusive', ({ directory }) => join(directory, firstDirectory), /22:13:20Z is locked/],
    ['the lock file of the last snapshot', 'whole', 'exclusive', ({ server }) => join(server.locks, snapshotLockName(first)), /22:13:20Z is locked/],
    ['the lock file of the new snapshot', 'whole', 'exclusive', ({ server }) => newLock(join(server.locks, snapshotLockName(second))), /21Z is locked/],
  ];
  test.each(cases)('%s', async (_, way, kind, pathIn, message) => {
    const here = await place();
    const store = await openStore(here.directory, here.server.paths);
    const release = await holdLock(way, kind, pathIn(here));
    const before = [storeNames(here.directory), storeNames(here.server.locks)];
    await expect(begin(store, second)).rejects.toMatchObject({ code: 'LOCKED', message: expect.stringMatching(message) as string });
    expect([storeNames(here.directory), storeNames(here.server.locks)]).toEqual(before);
    await release();
    await writeSnapshot(await begin(store, second), 'b');
    expect(await checkSnapshots(store)).toBe(2);
  });

  test('another backup of the group', async () => {
    const { directory, server } = await place();
    const store = await openStore(directory, server.paths);
    await begin(store, second);
    const before = storeNames(directory);
    await expect(begin(store, hostSnapshot(time + 2))).rejects.toMatchObject({
      code: 'LOCKED',
      message: expect.stringContaining('another backup of this group') as string,
    });
    expect(storeNames(directory)).toEqual(before);
  });

  test('a manifest that another program has locked for long', async () => {
    const { directory, server } = await place();
    const session = await begin(await openStore(directory, server.paths), second);
    await holdLock('whole', 'exclusive', newLock(join(server.locks, manifestLockName(second))));
    const before = performance.now();
    await expect(session.finish(manifest)).rejects.toMatchObject({ code: 'LOCKED', message: expect.stringContaining('manifest') as string });
    expect(performance.now() - before).toBeGreaterThan(4900);
    expect(readdirSync(join(directory, 'host/web')).sort()).toEqual(['2023-11-14T22:13:20Z', 'owner']);
  });
});

describe('not in the way', () => {
  const cases: (readonly [what: string, way: LockWay, kind: LockKind, path: (place: Place) => string])[] = [
    ['writers of another process', 'records', 'shared', ({ directory }) => join(directory, '.lock')],
    ['writers with locks like these', 'open-records', 'shared', ({ directory }) => join(directory, '.lock')],
    ['flock on .lock', 'whole', 'exclusive', ({ directory }) => join(directory, '.lock')],
    ['readers of the last snapshot', 'whole', 'shared', ({ directory }) => join(directory, firstDirectory)],
    ['readers of the last snapshot (4.x)', 'whole', 'shared', ({ server }) => join(server.locks, snapshotLockName(first))],
  ];
  test.each(cases)('%s', async (_, way, kind, pathIn) => {
    const here = await place();
    const store = await openStore(here.directory, here.server.paths);
    await holdLock(way, kind, pathIn(here));
    await writeSnapshot(await begin(store, second), 'b');
    expect(await checkSnapshots(store)).toBe(2);
  });

  test('a backup of another group, at the same time', async () => {
    const { directory, server } = await place();
    const store = await openStore(directory, server.paths);
    const sessions = await Promise.all([begin(store, second), begin(store, hostSnapshot(time, 'db'))]);
    await Promise.all(sessions.map((session, i) => writeSnapshot(session, `s${i}`)));
    expect(await checkSnapshots(store)).toBe(3);
  });
});

describe('while a backup runs', () => {
  test('others get what a server gives them, and all after its end', async () => {
    const { directory, server } = await place();
    const session = await begin(await openStore(directory, server.paths), second);
    const [hidden = ''] = readdirSync(join(directory, 'host/web')).filter((name) => name.startsWith('.pbsfs'));
    const lockPath = join(directory, '.lock');
    const exclusive = (): boolean[] =>
      [
        join(directory, 'host/web'),
        join(directory, firstDirectory),
        join(directory, 'host/web', hidden),
        ...[groupLockName(first), snapshotLockName(first), snapshotLockName(second)].map((name) => join(server.locks, name)),
      ].map((path) => canLock('whole', 'exclusive', path));
    expect(exclusive()).toEqual([false, false, false, false, false, false]);
    expect(canLock('records', 'exclusive', lockPath)).toBe(false);
    expect(canLock('open-records', 'exclusive', lockPath)).toBe(false);
    expect(canLock('records', 'shared', lockPath)).toBe(true);
    expect(canLock('whole', 'shared', join(directory, firstDirectory))).toBe(true);
    expect(canLock('whole', 'shared', join(server.locks, snapshotLockName(first)))).toBe(true);
    // Descriptors of the same file that others in this process close do not end it.
    readFileSync(lockPath);
    expect(canLock('records', 'exclusive', lockPath)).toBe(false);
    await session.finish(manifest);
    expect(canLock('records', 'exclusive', lockPath)).toBe(true);
    for (const path of [join(directory, 'host/web'), join(directory, firstDirectory), join(directory, 'host/web/2023-11-14T22:13:21Z')]) {
      expect(canLock('whole', 'exclusive', path), path).toBe(true);
    }
    const files = [groupLockName(first), snapshotLockName(first), snapshotLockName(second), manifestLockName(second)];
    for (const name of files) expect(canLock('whole', 'exclusive', join(server.locks, name)), name).toBe(true);
    expect(statSync(join(server.locks, nestedManifestLockName(second))).size).toBe(0);
  });

  test('given up: the lock files of its snapshot are gone, and those of a new group', async () => {
    const { directory, server } = await place();
    const store = await openStore(directory, server.paths);
    const before = storeNames(server.locks);
    await (await begin(store, second)).abort();
    await (await begin(store, hostSnapshot(time, 'new'))).abort();
    expect(storeNames(server.locks)).toEqual(before);
    expect(readdirSync(join(directory, 'host'))).toEqual(['web']);
    expect(canLock('records', 'exclusive', join(directory, '.lock'))).toBe(true);
  });

  test('children do not inherit its locks', async () => {
    const { directory, server } = await place();
    const session = await begin(await openStore(directory, server.paths), second);
    const child = start('sleep', ['60']);
    await session.abort();
    expect(canLock('whole', 'exclusive', join(directory, 'host/web'))).toBe(true);
    expect(canLock('records', 'exclusive', join(directory, '.lock'))).toBe(true);
    child.child.kill();
    await child.exited;
  });

  test('no lock files where no server has the store', async () => {
    const directory = emptyStore();
    const { paths, locks } = fakeServer(emptyStore());
    await writeSnapshot(await begin(await openStore(directory, paths), first));
    expect(() => readdirSync(locks)).toThrow('ENOENT');
  });
});

describe('a lock file', () => {
  test('that is replaced while it is waited for is not taken for the new one', async () => {
    const path = join(scratchDirectory(), 'a.b', 'host-web');
    const old = await lockFile(path, 'exclusive', undefined);
    expect(readdirSync(dirname(path))).toEqual(['host-web']);
    rmSync(path);
    expect(await lockFile(path, 'exclusive', undefined)).toBeDefined();
    expect(await lockFile(path, 'exclusive', undefined)).toBeUndefined();
    old?.release();
    expect(await lockFile(path, 'exclusive', undefined)).toBeUndefined();
  });

  test('locks of a stack are released, last first, and once', async () => {
    const directory = scratchDirectory();
    const stack = new LockStack();
    for (const lock of [lockDirectory(directory, 'exclusive'), await lockFile(join(directory, 'x'), 'shared', undefined)]) if (lock) stack.push(lock);
    expect(lockDirectory(directory, 'shared')).toBeUndefined();
    stack.release();
    stack.release();
    expect(lockDirectory(directory, 'shared')).toBeDefined();
  });
});

test('of many processes that begin a new group at once one succeeds, the others are refused; the group has one owner', async () => {
  for (let round = 0; round < 4; round++) {
    const directory = emptyStore();
    const { paths } = fakeServer(directory);
    const more = round % 2 === 0 ? [] : [paths.configuration, paths.locks];
    const writers = Array.from({ length: 4 }, () => start(process.execPath, [writer, directory, 'web', String(time), '1', ...more]));
    await Promise.all(writers.map(({ exited }) => exited));
    const ends = writers.map(({ text }) => text().trim().split('\n').at(-1)?.split(' ').slice(0, 2).join(' '));
    expect(ends.filter((end) => end === 'finished'), ends.join()).toHaveLength(1);
    // Who comes after the first has ended finds its snapshot.
    expect(ends.filter((end) => end === 'refused LOCKED' || end === 'refused EXISTS')).toHaveLength(3);
    expect(readFileSync(join(directory, 'host/web/owner'), 'utf8')).toBe('root@pam\n');
    expect(readdirSync(join(directory, 'host')), 'no leftovers').toEqual(['web']);
    expect(await checkSnapshots(await openStore(directory))).toBe(1);
  }
});
