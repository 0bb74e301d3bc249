/** Commits that fail: what is staged stays, with the reason, and is committed later. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, cpSync, mkdirSync, openSync, readFileSync, readdirSync, renameSync, rmSync, statSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { eventually, pbsfs, program, runProgram } from '../support/command.js';
import { mountedFileSystem } from '../support/file-systems.js';
import { keyPath } from '../support/fixtures.js';
import { canLock, holdLock } from '../support/lock-holder.js';
import { canMount } from '../support/mounted-everything.js';
import { emptyStore } from '../support/new-snapshots.js';
import { noise } from '../support/random.js';
import { scratchDirectory } from '../support/scratch.js';
import { beginStaging, commit, mountToStage, type StagedMount } from '../support/staged-mount.js';

const mebibyte = 1 << 20;
const time = '2026-11-21T19:00:00Z';

function rename(staging: string): unknown {
  try {
    return renameSync(staging, join(staging, '..', time));
  } catch (error) {
    return (error as NodeJS.ErrnoException).code;
  }
}

/** `user.pbsfs.error` of the directory. */
async function reason(staging: string): Promise<string> {
  return (await runProgram('getfattr', ['-n', 'user.pbsfs.error', '--only-values', staging])).stdout;
}

/** Files of all kinds, `bytes` of them that no compression makes less. */
function fill(staging: string, bytes: number): void {
  mkdirSync(join(staging, 'x.pxar'));
  for (let n = 0; n < 10; n++) writeFileSync(join(staging, 'x.pxar', `file${n}`), noise(`file ${n}`, Math.floor(bytes / 10)));
  writeFileSync(join(staging, 'notes.conf'), 'notes');
}

function contents(directory: string): Record<string, number> {
  const names = readdirSync(directory, { recursive: true, encoding: 'utf8' }).sort();
  return Object.fromEntries(names.map((name) => [name, statSync(join(directory, name)).size]));
}

/** It fails in both ways, tells why, leaves everything, and goes on when `repair` is done. */
async function expectFailure(mount: StagedMount, { code, status, why, repair }: { code: string; status: number; why: RegExp; repair: () => unknown }): Promise<void> {
  const group = join(mount.mountPoint, 'host/web1');
  const staging = join(group, 'staging');
  const before = contents(staging);
  expect(await reason(staging)).toBe('');
  const done = await commit(group, ['--time', time]);
  expect(done).toMatchObject({ status });
  expect(done.stderr).toMatch(why);
  expect(await reason(staging)).toMatch(why);
  expect(rename(staging)).toBe(code);
  expect(await reason(staging)).toMatch(why);
  expect(mount.logged()).toMatch(new RegExp(`host/web1: what is staged could not be committed: .*${why.source}`));
  expect(contents(staging)).toEqual(before);
  expect(readdirSync(group)).toEqual(['staging']);
  expect(readdirSync(join(mount.store, 'host/web1')).filter((name) => !name.startsWith('.') && name !== 'owner')).toEqual([]);
  await repair();
  renameSync(staging, join(group, time));
  const after = contents(join(group, time));
  for (const [name, size] of Object.entries(before)) {
    if (!name.endsWith('.pxar')) expect([name, after[name]]).toEqual([name, size]);
  }
}

describe.skipIf(!canMount)('a commit fails and is made later', () => {
  test('on a full datastore', async () => {
    const place = mountedFileSystem('tmpfs', { megabytes: 24 });
    const mount = await mountToStage({ store: emptyStore(join(place, 'store')) });
    fill(beginStaging(mount, 'host/web1'), 40 * mebibyte);
    const repair = (): unknown => execFileSync('mount', ['-o', 'remount,size=200m', place]);
    await expectFailure(mount, { code: 'ENOSPC', status: 1, why: /ENOSPC|no space left/, repair });
    await mount.unmount();
  });

  test('on a datastore that became read-only', async () => {
    const place = mountedFileSystem('tmpfs', { megabytes: 100 });
    const mount = await mountToStage({ store: emptyStore(join(place, 'store')) });
    const staging = beginStaging(mount, 'host/web1');
    fill(staging, mebibyte);
    writeFileSync(join(staging, 'disk.img'), noise('image', 6 * mebibyte));
    // Its writer has files of the datastore open, as long as it is staged.
    expect(readOnly(place)).toBe(false);
    rmSync(join(staging, 'disk.img'));
    await eventually(() => readOnly(place), 'nothing of the datastore is open to be written');
    const repair = (): unknown => execFileSync('mount', ['-o', 'remount,rw', place]);
    await expectFailure(mount, { code: 'EROFS', status: 1, why: /EROFS|read-only/, repair });
    await mount.unmount();
  });

  test('while another backup of the group is made', async () => {
    const mount = await mountToStage();
    fill(beginStaging(mount, 'host/web1'), mebibyte);
    const other = spawn(process.execPath, [program, 'backup', '--store', mount.store, '--id', 'web1', 'other.conf:-'], { stdio: ['pipe', 'ignore', 'pipe'] });
    onTestFinished(() => void other.kill('SIGKILL'));
    await eventually(() => readdirSync(join(mount.store, 'host/web1')).some((name) => name.startsWith('.pbsfs-')), 'the other backup begins');
    await expectFailure(mount, {
      code: 'EBUSY',
      status: 7,
      why: /another backup of this group/,
      repair: async () => {
        other.kill('SIGKILL');
        await once(other, 'exit');
      },
    });
    await mount.unmount();
  });

  test('while garbage is collected, which a staged image keeps from beginning', async () => {
    const mount = await mountToStage();
    const staging = beginStaging(mount, 'host/web1');
    fill(staging, mebibyte);
    const lock = join(mount.store, '.lock');
    const release = await holdLock('records', 'exclusive', lock);
    expect(() => writeFileSync(join(staging, 'disk.img'), noise('image', 6 * mebibyte))).toThrow(/EBUSY/);
    expect(readdirSync(staging)).not.toContain('disk.img');
    await expectFailure(mount, { code: 'EBUSY', status: 7, why: /garbage collection/, repair: release });
    const next = beginStaging(mount, 'host/web2');
    writeFileSync(join(next, 'disk.img'), noise('image', 6 * mebibyte));
    expect(canLock('records', 'exclusive', lock)).toBe(false);
    renameSync(next, join(mount.mountPoint, 'host/web2/now'));
    await expect.poll(() => canLock('records', 'exclusive', lock), { timeout: 10_000 }).toBe(true);
    await mount.unmount();
  });

  test('for a time that is none or not the newest, and while a file is open', async () => {
    const mount = await mountToStage();
    const group = join(mount.mountPoint, 'host/web1');
    fill(beginStaging(mount, 'host/web1'), 1000);
    renameSync(join(group, 'staging'), join(group, time));
    const staging = beginStaging(mount, 'host/web1');
    fill(staging, 1000);
    const descriptor = openSync(join(staging, 'x.pxar/file0'), 'r+');
    for (const [to, code, why] of [
      ['yesterday', 'EINVAL', /'yesterday' is no time of a snapshot/],
      ['2026-11-21T18:00:00Z', 'EINVAL', /not later than the newest snapshot, 2026-11-21T19/],
      ['2026-11-21T20:00:00Z', 'EBUSY', /1 files of host.web1.staging are still open/],
    ] as const) {
      expect(() => renameSync(staging, join(group, to))).toThrow(code);
      expect(await reason(staging)).toMatch(why);
      expect(mount.logged()).toMatch(new RegExp(`host/web1: what is staged could not be committed: .*${why.source}`));
    }
    closeSync(descriptor);
    renameSync(staging, join(group, 'now'));
    await mount.unmount();
  });

  test('without the key that chunks of an image were written with', async () => {
    const key = join(scratchDirectory(), 'key.json');
    cpSync(keyPath('plain.json'), key);
    execFileSync('chmod', ['600', key]);
    const mount = await mountToStage({ args: ['--keyfile', key] });
    const group = join(mount.mountPoint, 'host/web1');
    const content = noise('image', 9 * mebibyte + 5);
    writeFileSync(join(beginStaging(mount, 'host/web1'), 'disk.img'), content);
    await mount.unmount();
    await mount.again([]);
    expect(readdirSync(join(group, 'staging'))).toEqual(['disk.img']);
    expect(rename(join(group, 'staging'))).toBe('EACCES');
    expect(await reason(join(group, 'staging'))).toMatch(/written with the key of fingerprint 7e:76/);
    expect(() => readFileSync(join(group, 'staging/disk.img'))).toThrow('EACCES');
    await mount.unmount();
    await mount.again(['--keyfile', key]);
    expect(statSync(join(group, 'staging/disk.img')).size).toBe(content.length);
    expect(rename(join(group, 'staging'))).toBe(undefined);
    expect(readFileSync(join(group, time, 'disk.img')).equals(content)).toBe(true);
    writeFileSync(join(beginStaging(mount, 'host/web1'), 'disk.img'), content);
    await mount.unmount();
    await mount.again([]);
    rmSync(join(group, 'staging'), { recursive: true });
    writeFileSync(join(beginStaging(mount, 'host/web1'), 'disk.img'), content);
    renameSync(join(group, 'staging'), join(group, 'now'));
    expect(readFileSync(join(group, 'latest/disk.img')).equals(content)).toBe(true);
    await mount.unmount();
    const missing = await pbsfs(['mount', '--writable', '--spool', mount.spool, '--keyfile', `${key}.gone`, mount.store, mount.mountPoint]);
    expect(missing).toMatchObject({ status: 3 });
  });
});

describe.skipIf(!canMount)('a full spool', () => {
  test('is told to whoever writes, not at the commit', async () => {
    const spool = mountedFileSystem('tmpfs', { megabytes: 16 });
    const mount = await mountToStage({ spool });
    const staging = beginStaging(mount, 'host/web1');
    mkdirSync(join(staging, 'x.pxar'));
    const { bsize, blocks } = statfsSync(join(staging, 'x.pxar'));
    expect(bsize * blocks).toBe(16 * mebibyte);
    expect((await runProgram('df', ['--output=size', '-m', mount.mountPoint])).stdout).not.toMatch(/\b16\b/);
    const target = join(staging, 'x.pxar/large');
    const full = await runProgram('dd', ['if=/dev/urandom', `of=${target}`, 'bs=1M', 'count=30']);
    expect(full.status).toBe(1);
    expect(full.stderr).toMatch(/No space left on device/);
    rmSync(target);
    writeFileSync(join(staging, 'x.pxar/small'), noise('small', mebibyte));
    // An image is not bounded by the spool.
    writeFileSync(join(staging, 'disk.img'), noise('image', 30 * mebibyte));
    renameSync(staging, join(mount.mountPoint, 'host/web1', time));
    expect(statSync(join(mount.mountPoint, 'host/web1', time, 'disk.img')).size).toBe(30 * mebibyte);
    await mount.unmount();
  });
});

function readOnly(place: string): boolean {
  try {
    execFileSync('mount', ['-o', 'remount,ro', place], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
