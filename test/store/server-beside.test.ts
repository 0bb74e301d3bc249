/** What a server on the same host says about a store, and who may write beside it. */
import { execFileSync } from 'node:child_process';
import { chmodSync, chownSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { serverOf } from '../../src/store/local/server.js';
import { hasProgram } from '../support/mounted-everything.js';
import { runProgram, type Ended } from '../support/command.js';
import {
  begin,
  checkSnapshots,
  emptyStore,
  fakeServer,
  hostSnapshot,
  noServer,
  openStore,
  storeNames,
  writeSnapshot,
} from '../support/new-snapshots.js';
import { scratchDirectory } from '../support/scratch.js';

const time = 1_700_000_000;
const writer = new URL('../support/snapshot-writer.js', import.meta.url).pathname;

describe('a server on this host', () => {
  test.each([
    ['maintenance-mode read-only', 'MAINTENANCE', /maintenance mode read-only/],
    ['maintenance-mode type=offline,message="moving"', 'MAINTENANCE', /datastore main in maintenance mode offline/],
    ['backend type=s3,client=a,bucket=b', 'NOT_SUPPORTED', /object store/],
  ])('%s: refused', async (line, code, message) => {
    const directory = emptyStore();
    const { paths } = fakeServer(directory, [line]);
    const refusal = { code, message: expect.stringMatching(message) as string };
    await expect(begin(await openStore(directory, paths), hostSnapshot(time))).rejects.toMatchObject(refusal);
    expect(storeNames(directory)).toEqual(['.chunks', '.lock']);
  });

  test.each(['none', 'filesystem', 'file'])('sync level %s', async (level) => {
    const directory = emptyStore();
    const { paths, locks } = fakeServer(directory, [`tuning chunk-order=none,sync-level=${level}`]);
    expect(await serverOf(directory, paths)).toEqual({ locks, syncLevel: level });
    const store = await openStore(directory, paths);
    await writeSnapshot(await begin(store, hostSnapshot(time)));
    expect(await checkSnapshots(store)).toBe(1);
  });

  test.skipIf(!hasProgram('strace'))('each sync level syncs what it has to', async () => {
    const calls = async (level: string): Promise<Record<string, number>> => {
      const directory = emptyStore();
      const { paths } = fakeServer(directory, [`tuning sync-level=${level}`]);
      const log = join(scratchDirectory(), 'log');
      const tracing = ['-f', '-y', '-o', log, '-e', 'trace=fsync,syncfs', process.execPath];
      const writing = [writer, directory, 'web', String(time), '1', paths.configuration, paths.locks];
      expect((await runProgram('strace', [...tracing, ...writing])).stdout).toBe('begun\nhalf\nfinished\n');
      const text = readFileSync(log, 'utf8');
      const count = (name: string): number => text.split(new RegExp(` ${name}\\(\\d+<${directory}`)).length - 1;
      return { fsync: count('fsync'), syncfs: count('syncfs') };
    };
    expect(await calls('none')).toEqual({ fsync: 0, syncfs: 0 });
    expect(await calls('filesystem')).toEqual({ fsync: 1, syncfs: 1 });
    const each = await calls('file');
    expect(each.syncfs).toBe(0);
    expect(each.fsync).toBeGreaterThan(24 * 2 + 6);
  });

  test('has the store under another name of its directory; another store is not it', async () => {
    const directory = emptyStore();
    const link = join(scratchDirectory(), 'link');
    symlinkSync(directory, link);
    const { paths, locks } = fakeServer(directory);
    writeFileSync(paths.configuration, `datastore: main\n\tpath ${link}\n`);
    expect((await serverOf(directory, paths)).locks).toBe(locks);
    expect((await serverOf(dirname(directory), paths)).locks).toBeUndefined();
    expect(await serverOf(directory, noServer)).toEqual({ locks: undefined, syncLevel: 'filesystem' });
  });

  test('has a store on a removable device', async () => {
    const { paths, locks } = fakeServer(emptyStore());
    writeFileSync(paths.configuration, 'datastore: main\n\tbacking-device 1234\n\tpath sub/dir\n');
    for (const location of ['/mnt/datastore/main', '/mnt/datastore/main/sub/dir']) {
      expect((await serverOf(location, paths)).locks, location).toBe(locks);
    }
    expect((await serverOf('/sub/dir', paths)).locks).toBeUndefined();
  });
});

describe('an ordinary user', () => {
  const user = 65534;
  const asUser = ['--reuid', String(user), '--regid', String(user), '--clear-groups'];
  const write = (directory: string, more: readonly string[] = []): Promise<Ended> =>
    runProgram('setpriv', [...asUser, process.execPath, writer, directory, 'web', String(time), '1', ...more]);

  function ownedStore(): string {
    const directory = emptyStore();
    for (const path of [directory, join(directory, '.chunks'), join(directory, '.lock')]) chownSync(path, user, user);
    return directory;
  }

  test('writes into a store of theirs', async () => {
    const directory = ownedStore();
    expect((await write(directory)).stdout).toBe('begun\nhalf\nfinished\n');
    expect(await checkSnapshots(await openStore(directory))).toBe(1);
  });

  test.each(['755', '750'])('does not get into that of others (%s)', async (mode) => {
    const directory = emptyStore();
    execFileSync('chmod', [mode, join(directory, '.chunks')]);
    expect((await write(directory)).stdout).toMatch(/^refused NO_PERMISSION .*\n$/);
    expect(storeNames(directory)).toEqual(['.chunks', '.lock']);
  });

  test('is told where the store is open to them but not theirs', async () => {
    const directory = emptyStore();
    for (const path of [directory, join(directory, '.chunks')]) chmodSync(path, 0o777);
    chmodSync(join(directory, '.lock'), 0o666);
    expect((await write(directory)).stdout).toMatch(/^warning .*belongs to user 0: .*garbage.*\nbegun\nhalf\nfinished\n$/);
  });

  test('without a lock that they may open: refused', async () => {
    const directory = ownedStore();
    rmSync(join(directory, '.lock'));
    writeFileSync(join(directory, '.lock'), '');
    expect((await write(directory)).stdout).toMatch(/^refused NO_PERMISSION .*\.lock.*run this as root/);
  });

  test('a configuration that they may not read matters where the store is not theirs', async () => {
    const own = ownedStore();
    const { paths } = fakeServer(own);
    chmodSync(paths.configuration, 0o600);
    expect((await write(own, [paths.configuration, paths.locks])).stdout).toContain('finished');
    const other = emptyStore();
    for (const path of [other, join(other, '.chunks')]) chmodSync(path, 0o777);
    expect((await write(other, [paths.configuration, paths.locks])).stdout).toMatch(/refused NO_PERMISSION .*datastore\.cfg may not be read/);
  });

  test('half-way without permission: fails, and nothing is seen', async () => {
    const directory = ownedStore();
    mkdirSync(join(directory, 'host'), { mode: 0o555 });
    expect((await write(directory)).stdout).toMatch(/^refused NO_PERMISSION /);
    expect(storeNames(directory)).toEqual(['.chunks', '.lock', 'host']);
  });
});
