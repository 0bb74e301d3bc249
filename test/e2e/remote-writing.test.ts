/** The command writes to a server: backups, and what is staged in a mount whose daemon is killed before it is committed. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, afterAll, describe, expect, onTestFinished, test } from 'vitest';
import { eventually, isAlive, pbsfs, program, start } from '../support/command.js';
import { canMount } from '../support/mounted-everything.js';
import { emptyStore } from '../support/new-snapshots.js';
import { noise } from '../support/random.js';
import { scratchDirectory } from '../support/scratch.js';
import { beginStaging, commit, isMounted, mountToStage, rsyncDifferences } from '../support/staged-mount.js';

const mebibyte = 1 << 20;

const password = 'geheim';
const user = 'backup@pbs';

beforeAll(() => {
  process.env['PBS_PASSWORD'] = password;
});
afterAll(() => {
  delete process.env['PBS_PASSWORD'];
  delete process.env['PBS_FINGERPRINT'];
});

/** In a process of its own: what is done in a mount keeps this one waiting. */
async function server(): Promise<{ readonly repository: string; readonly store: string }> {
  const store = emptyStore();
  const users = join(scratchDirectory(), 'users.json');
  const env = { PBSFS_USER_PASSWORD: password };
  expect(await pbsfs(['user', 'add', user, '--users', users], { env })).toMatchObject({ status: 0 });
  expect(await pbsfs(['user', 'role', user, '/datastore/store1', 'DatastorePowerUser', '--users', users])).toMatchObject({ status: 0 });
  const serving = start(process.execPath, [program, 'serve', '--users', users, '--listen', '127.0.0.1:0', '--store', `store1=${store}`]);
  onTestFinished(() => void serving.child.kill('SIGKILL'));
  await serving.wrote(/fingerprint/);
  await serving.wrote(/https:.*\n/);
  process.env['PBS_FINGERPRINT'] = /(?:[0-9a-f]{2}:){31}[0-9a-f]{2}/.exec(serving.text())?.[0] ?? '';
  return { repository: `${user}@127.0.0.1:${/127\.0\.0\.1:(\d+)/.exec(serving.text())?.[1] ?? ''}:store1`, store };
}

function source(): string {
  const root = scratchDirectory();
  mkdirSync(join(root, 'sub'));
  for (let n = 0; n < 20; n++) writeFileSync(join(root, 'sub', `f${n}`), noise(`f${n}`, 5000 + n * 40_000));
  return root;
}

test('backup and restore of the command, the second one sends what is new', async () => {
  const { repository, store } = await server();
  const root = source();
  const image = join(scratchDirectory(), 'disk');
  writeFileSync(image, Buffer.concat([noise('disk', 5 * mebibyte), Buffer.alloc(4 * mebibyte)]));
  const backup = (time: string): ReturnType<typeof pbsfs> =>
    pbsfs(['backup', '--repository', repository, '--id', 'web', '--time', time, '--json', `root.pxar:${root}`, `disk.img:${image}`]);
  const first = await backup('1700000000');
  expect(first).toMatchObject({ status: 0 });
  writeFileSync(join(root, 'sub', 'new'), noise('new', 100_000));
  const second = await backup('1700000100');
  expect(second).toMatchObject({ status: 0 });
  const lines = second.stdout.trim().split('\n');
  const { bytesStored } = JSON.parse(lines.at(-1) ?? '') as { bytesStored: number };
  expect(bytesStored).toBeLessThan(1_000_000);
  const target = join(scratchDirectory(), 'out');
  expect(await pbsfs(['restore', '--repository', repository, 'host/web/latest', 'root.pxar', target])).toMatchObject({ status: 0 });
  expect(await rsyncDifferences(root, target)).toEqual([]);
  const disk = join(scratchDirectory(), 'disk');
  expect(await pbsfs(['restore', '--store', store, 'host/web/latest', 'disk.img', disk])).toMatchObject({ status: 0 });
  expect(readFileSync(disk).equals(readFileSync(image))).toBe(true);
  expect(await backup('1700000100')).toMatchObject({ status: 8, stderr: expect.stringMatching(/later time/) as string });
});

describe.skipIf(!canMount)('a writable mount', () => {
  test('keeps what is staged through a kill, and commits it', { timeout: 120_000 }, async () => {
    const { repository, store } = await server();
    const mount = await mountToStage({ store: repository });
    const staging = beginStaging(mount, 'host/new');
    const bytes = Buffer.concat([noise('a', 9 * mebibyte), Buffer.alloc(5 * mebibyte), noise('b', 3 * mebibyte)]);
    writeFileSync(join(staging, 'disk.img'), bytes);
    mkdirSync(join(staging, 'etc.pxar'));
    writeFileSync(join(staging, 'etc.pxar', 'hosts'), 'localhost');
    writeFileSync(join(staging, 'a.conf'), 'conf');
    expect(readFileSync(join(staging, 'disk.img')).equals(bytes)).toBe(true);
    expect(existsSync(join(store, 'host/new'))).toBe(false);

    const pid = await mount.daemon();
    process.kill(pid, 'SIGKILL');
    await eventually(() => !isAlive(pid), 'the daemon is dead');
    while (isMounted(mount)) spawnSync('umount', ['-l', mount.mountPoint], { stdio: 'ignore' });

    await mount.again();
    expect(readFileSync(join(staging, 'disk.img')).equals(bytes)).toBe(true);
    const done = await commit(join(mount.mountPoint, 'host/new'));
    expect(done).toMatchObject({ status: 0 });
    const latest = join(mount.mountPoint, 'host/new/latest');
    expect(readFileSync(join(latest, 'disk.img')).equals(bytes)).toBe(true);
    expect(readFileSync(join(latest, 'etc.pxar/hosts'), 'latin1')).toBe('localhost');
    expect(readFileSync(join(latest, 'a.conf'), 'latin1')).toBe('conf');
    expect(readdirSync(join(store, 'host/new')).filter((name) => name.startsWith('2'))).toHaveLength(1);
    const [spool = ''] = readdirSync(mount.spool);
    await eventually(() => !existsSync(join(mount.spool, spool, 'pending-chunks')), 'nothing waits in the spool');

    // A clone of it, changed, committed by a rename.
    const again = beginStaging(mount, 'host/new');
    expect(spawnSync('cp', ['--reflink=auto', join(latest, 'disk.img'), join(again, 'disk.img')]).status).toBe(0);
    spawnSync('dd', ['if=/dev/zero', `of=${join(again, 'disk.img')}`, 'bs=1M', 'count=1', 'seek=6', 'conv=notrunc']);
    renameSync(again, join(mount.mountPoint, 'host/new/now'));
    const changed = Buffer.from(bytes);
    changed.fill(0, 6 * mebibyte, 7 * mebibyte);
    const disk = join(scratchDirectory(), 'disk');
    expect(await pbsfs(['restore', '--store', store, 'host/new/latest', 'disk.img', disk])).toMatchObject({ status: 0 });
    expect(readFileSync(disk).equals(changed)).toBe(true);
    rmSync(disk);
    await mount.unmount();
  });
});
