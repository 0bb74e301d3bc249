/** A snapshot that somebody reads for long is not removed, by servers of either generation. */
import { closeSync, mkdirSync, openSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { snapshotLockName } from '../../src/format/lock-name.js';
import { snapshotPath, type SnapshotName } from '../../src/format/snapshot-name.js';
import { tryLock, tryLockRecords } from '../../src/os/file-locks.js';
import { holdForReading } from '../../src/store/local/hold-snapshot.js';
import { openLocalDatastore } from '../../src/store/local/local-datastore.js';
import { copyOfStore } from '../support/scratch.js';
import { fakeServer } from '../support/new-snapshots.js';

const snapshot: SnapshotName = { namespace: [], type: 'vm', id: '120', time: Date.parse('2021-05-24T16:23:02Z') / 1000 };

function isLockable(path: string): boolean {
  const fd = openSync(path, 'r');
  try {
    return tryLock(fd, 'exclusive');
  } finally {
    closeSync(fd);
  }
}

test('by directories and by lock files, until it is released', async () => {
  const store = copyOfStore('sample');
  const server = fakeServer(store);
  const datastore = await openLocalDatastore(store, { server: server.paths });
  const places = [join(store, snapshotPath(snapshot)), join(server.locks, snapshotLockName(snapshot))];
  mkdirSync(server.locks, { recursive: true });
  const [first, second] = [await datastore.holdSnapshot(snapshot, () => undefined), await datastore.holdSnapshot(snapshot, () => undefined)];
  for (const place of places) expect(isLockable(place), place).toBe(false);
  first.release();
  for (const place of places) expect(isLockable(place), place).toBe(false);
  // Garbage collection goes on: what an index names is kept.
  const lock = openSync(join(store, '.lock'), 'a+');
  expect(tryLockRecords(lock, 'exclusive')).toBe(true);
  closeSync(lock);
  second.release();
  for (const place of places) expect(isLockable(place), place).toBe(true);
  await datastore.close();
});

test('not one that is being removed, or gone', async () => {
  const store = copyOfStore('sample');
  const datastore = await openLocalDatastore(store, { server: { configuration: '/nonexistent', locks: '/nonexistent' } });
  const directory = join(store, snapshotPath(snapshot));
  const fd = openSync(directory, 'r');
  expect(tryLock(fd, 'exclusive')).toBe(true);
  await expect(datastore.holdSnapshot(snapshot, () => undefined)).rejects.toMatchObject({ code: 'LOCKED' });
  closeSync(fd);
  rmSync(join(directory, 'index.json.blob'));
  await expect(datastore.holdSnapshot(snapshot, () => undefined)).rejects.toMatchObject({ code: 'NOT_FOUND' });
  expect(isLockable(directory)).toBe(true);
  rmSync(directory, { recursive: true });
  await expect(datastore.holdSnapshot(snapshot, () => undefined)).rejects.toMatchObject({ code: 'NOT_FOUND' });
  await datastore.close();
});

test('in a maintenance mode: who only reads may if it is read-only', async () => {
  const store = copyOfStore('sample');
  const warn = (): void => undefined;
  for (const [line, mayRead] of [['maintenance-mode read-only', true], ['maintenance-mode type=read-only,message="moving"', true], ['maintenance-mode offline', false], ['maintenance-mode delete', false]] as const) {
    const { paths } = fakeServer(store, [line]);
    const held = holdForReading(store, snapshot, warn, paths);
    if (mayRead) {
      const lock = await held;
      expect(isLockable(join(store, snapshotPath(snapshot))), line).toBe(false);
      lock.release();
    } else {
      await expect(held).rejects.toMatchObject({ code: 'MAINTENANCE' });
    }
    const datastore = await openLocalDatastore(store, { server: paths });
    await expect(datastore.holdSnapshot(snapshot, warn)).rejects.toMatchObject({ code: 'MAINTENANCE' });
    await datastore.close();
  }
});
