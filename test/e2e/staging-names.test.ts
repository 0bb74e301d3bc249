/** What can be called how in a writable mount, and which error each of the rest is. */
import { execFileSync } from 'node:child_process';
import { closeSync, constants, linkSync, mkdirSync, openSync, readdirSync, renameSync, rmdirSync, rmSync, statSync, symlinkSync, truncateSync, unlinkSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { canMount } from '../support/mounted-everything.js';
import { beginStaging, commit, mountToStage, type StagedMount } from '../support/staged-mount.js';
import { places } from '../support/store-table.js';
import { loadSystemCalls } from '../support/system-calls.js';

const time = '2026-11-21T19:00:00Z';
const later = '2026-11-22T19:00:00Z';

/** The name of the error, or what came back. */
function outcome<T>(act: () => T): T | string {
  try {
    return act();
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? String(error);
  }
}

describe.skipIf(!canMount).each(places)('in a writable mount of a store %s', (storeAt) => {
  const s = loadSystemCalls();
  let mount: StagedMount;
  let group = '';
  let staging = '';
  const at = (...names: string[]): string => join(mount.mountPoint, ...names);
  const touch = (path: string): unknown => outcome(() => writeFileSync(path, 'x'));
  const make = (path: string): unknown => outcome(() => mkdirSync(path));
  const rename = (from: string, to: string): unknown => outcome(() => renameSync(from, to));

  beforeAll(async () => {
    mount = await mountToStage({ storeAt });
    group = at('host/web1');
    writeFileSync(join(beginStaging(mount, 'host/web1'), 'a.conf'), 'first');
    renameSync(join(group, 'staging'), join(group, time));
  });
  beforeEach(() => {
    staging = beginStaging(mount, 'host/web1');
  });
  afterEach(() => rmSync(staging, { recursive: true, force: true }));
  afterAll(() => mount.unmount());

  test('nothing is made at levels where nothing can be', () => {
    for (const path of ['x', 'host/x/y', '.pbsfs/x', `host/web1/${time}/x`, 'host/web1/x', 'ns/x/y']) {
      if (path === 'host/x/y') mkdirSync(at('host/x'));
      if (path === 'ns/x/y') mkdirSync(at('ns/x'));
      expect([path, touch(at(path)), make(at(path))]).toEqual([path, 'EROFS', 'EROFS']);
      expect([path, s.mknod(at(path), 0o010600, 0), s.symlink('a', at(path))]).toEqual([path, 'EROFS', 'EROFS']);
    }
    for (const path of ['host/x', 'ns/x', 'host/web1']) expect([path, touch(at(path, 'f'))]).toEqual([path, 'EROFS']);
    expect(touch(at('host/f'))).toBe('EROFS');
    rmdirSync(at('host/x'));
  });

  test('what is there is not changed', () => {
    const file = join(group, time, 'a.conf');
    expect(outcome(() => openSync(file, 'r+'))).toBe('EROFS');
    expect(outcome(() => truncateSync(file, 0))).toBe('EROFS');
    expect(outcome(() => unlinkSync(file))).toBe('EROFS');
    expect(rename(file, `${file}2`)).toBe('EROFS');
    expect(outcome(() => linkSync(file, `${file}2`))).toBe('EROFS');
    expect(s.chmod(file, 0o777)).toBe('EROFS');
    expect(s.chown(file, 1, 1)).toBe('EROFS');
    expect(s.chmod(group, 0o777)).toBe('EROFS');
    expect(s.lsetxattr(file, 'user.x', Buffer.from('1'), 1, 0)).toBe('EROFS');
    expect(s.lsetxattr(group, 'user.x', Buffer.from('1'), 1, 0)).toBe('EROFS');
    expect(s.lremovexattr(group, 'user.pbsfs.owner')).toBe('EROFS');
    expect(rename(join(group, time), join(group, later))).toBe('EROFS');
    expect(outcome(() => rmdirSync(join(group, time)))).toBe('EROFS');
    expect(outcome(() => unlinkSync(join(group, 'latest')))).toBe('EROFS');
    expect(outcome(() => rmdirSync(at('host')))).toBe('EROFS');
  });

  test('groups and namespaces are made and removed, with names that the datastore allows', () => {
    for (const name of ['-x', '.x', 'a b', 'a:b', '\u00fc', 'x'.repeat(300)]) {
      expect([name, make(at('host', name))]).toEqual([name, name.length > 255 ? 'ENAMETOOLONG' : 'EINVAL']);
      expect([name, make(at('ns', name))]).toEqual([name, name.length > 255 ? 'ENAMETOOLONG' : 'EINVAL']);
    }
    expect(make(at('host/web1'))).toBe('EEXIST');
    mkdirSync(at('ns/prod/ns/deep/ct/7/staging'), { recursive: true });
    expect(make(at('ns/prod'))).toBe('EEXIST');
    expect(readdirSync(at('ns/prod/ns/deep/ct/7'))).toEqual(['staging']);
    expect(outcome(() => rmdirSync(at('ns/prod/ns/deep/ct/7')))).toBe('ENOTEMPTY');
    writeFileSync(at('ns/prod/ns/deep/ct/7/staging/a.conf'), 'x');
    expect(outcome(() => rmdirSync(at('ns/prod/ns/deep/ct/7/staging')))).toBe('ENOTEMPTY');
    renameSync(at('ns/prod/ns/deep/ct/7/staging'), at('ns/prod/ns/deep/ct/7', time));
    expect(outcome(() => rmdirSync(at('ns/prod/ns/deep/ct/7')))).toBe('ENOTEMPTY');
    expect(readdirSync(at('ns/prod/ns/deep/ct/7', time))).toContain('a.conf');
    mkdirSync(at('host/empty'));
    rmdirSync(at('host/empty'));
    expect(readdirSync(at('host'))).not.toContain('empty');
    const deep = Array.from({ length: 8 }, (_, n) => at(Array.from({ length: n + 1 }, (_, m) => `ns/n${m}`).join('/')));
    expect(deep.map(make)).toEqual([...Array.from({ length: 7 }, () => undefined), 'EINVAL']);
  });

  test('the name at the top of staging says what it becomes', () => {
    for (const name of ['a b.pxar', 'x', 'x.img', 'x.conf', 'x.mpxar', '.pxar', 'a.b.pxar']) expect([name, make(join(staging, name))]).toEqual([name, 'EINVAL']);
    for (const name of ['x.pxar', 'a b.img', 'index.json', 'client.log', 'x y', '.hidden', '\u00fc', 'catalog.pcat1', '.img', 'n'.repeat(201)]) {
      expect([name, touch(join(staging, name))]).toEqual([name, 'EINVAL']);
      expect([name, s.mknod(join(staging, name), 0o100600, 0)]).toEqual([name, 'EINVAL']);
    }
    expect(readdirSync(staging)).toEqual([]);
    for (const name of ['x.conf', 'x.img', 'plain', 'n'.repeat(200)]) expect([name, touch(join(staging, name))]).toEqual([name, undefined]);
    expect(s.mknod(join(staging, 'fifo'), 0o010600, 0)).toBe('EPERM');
    expect(s.mknod(join(staging, 'device.img'), 0o060600, 0x700)).toBe('EPERM');
    expect(outcome(() => symlinkSync('x.conf', join(staging, 'link')))).toBe('EPERM');
    mkdirSync(join(staging, 'x.pxar'));
    expect(outcome(() => linkSync(join(staging, 'x.conf'), join(staging, 'y.conf')))).toBe('EXDEV');
    expect(outcome(() => linkSync(join(staging, 'x.img'), join(staging, 'x.pxar/x')))).toBe('EXDEV');
    expect(s.open(staging, 0o20000000 | constants.O_DIRECTORY | constants.O_RDWR, 0o600)).toBe('EOPNOTSUPP');
    expect(rename(join(staging, 'x.conf'), join(staging, 'x.img'))).toBe('EXDEV');
    expect(rename(join(staging, 'x.conf'), join(staging, 'x y'))).toBe('EINVAL');
    expect(rename(join(staging, 'x.pxar'), join(staging, 'y'))).toBe('EINVAL');
    expect(rename(join(staging, 'x.conf'), join(staging, 'x.pxar/y'))).toBe('EXDEV');
    expect(rename(join(staging, 'x.pxar'), join(staging, 'y.pxar'))).toBe(undefined);
    expect(rename(join(staging, 'x.img'), join(staging, 'y.img'))).toBe(undefined);
    expect(rename(join(staging, 'x.conf'), join(staging, 'plain'))).toBe(undefined);
    // As programs do then: mv copies.
    execFileSync('mv', [join(staging, 'plain'), join(staging, 'y.pxar/plain')]);
    execFileSync('mv', [join(staging, 'y.pxar/plain'), join(staging, 'z.img')]);
    expect(readdirSync(staging).sort()).toEqual(['n'.repeat(200), 'y.img', 'y.pxar', 'z.img']);
  });

  test('a file that becomes a blob has at most 16 MiB', () => {
    const fd = openSync(join(staging, 'a.conf'), 'w');
    truncateSync(join(staging, 'a.conf'), 16 << 20);
    expect(outcome(() => writeSync(fd, Buffer.alloc(1), 0, 1, 16 << 20))).toBe('EFBIG');
    expect(outcome(() => truncateSync(join(staging, 'a.conf'), (16 << 20) + 1))).toBe('EFBIG');
    expect(s.fallocate(fd, 0, 0, (16 << 20) + 1)).toBe('EFBIG');
    closeSync(fd);
    expect(statSync(join(staging, 'a.conf')).size).toBe(16 << 20);
    expect(mount.logged()).toMatch(/host\/web1\/staging: .*at most 16 MiB; call it NAME\.img/);
  });

  test('a time is in the grammar, does not exist, and is newer', () => {
    writeFileSync(join(staging, 'a.conf'), 'second');
    for (const name of ['x', 'Now', '2026-11-22', '2026-11-22T19:00:00', '2026-11-22T19:00:00+01:00', '2026-13-01T00:00:00Z', '1970-01-01T00:00:00Z']) {
      expect([name, rename(staging, join(group, name))]).toEqual([name, 'EINVAL']);
    }
    expect(rename(staging, join(group, time))).toBe('EEXIST');
    expect(rename(staging, join(group, '2026-11-21T18:59:59Z'))).toBe('EINVAL');
    expect(rename(staging, at('host/other'))).toBe('EXDEV');
    mkdirSync(at('host/other'), { recursive: true });
    expect(rename(staging, at('host/other', later))).toBe('EXDEV');
    expect(rename(staging, at('host/other/staging'))).toBe('EXDEV');
    expect(rename(staging, join(group, time, 'staging'))).toMatch(/EXDEV|EROFS/);
    mkdirSync(at('host/other/staging'));
    expect(rename(staging, at('host/other/staging'))).toBe('EXDEV');
    expect(rename(at('host/other/staging'), join(staging, 'x.pxar'))).toBe('EXDEV');
    expect(s.renameat2(-100, staging, -100, join(group, time), 2)).toBe('EROFS');
    expect(readdirSync(staging)).toEqual(['a.conf']);
    expect(statSync(join(staging, 'a.conf')).size).toBe(6);
  });

  test('the same by pbsfs commit, with its exit statuses', async () => {
    expect(await commit(group)).toMatchObject({ status: 1, stderr: expect.stringContaining('nothing is staged in host/web1') as string });
    expect(rename(staging, join(group, later))).toBe('EINVAL');
    rmdirSync(staging);
    expect(await commit(group)).toMatchObject({ status: 3 });
    mkdirSync(staging);
    writeFileSync(join(staging, 'a.conf'), 'second');
    expect(await commit(group, ['--time', 'yesterday'])).toMatchObject({ status: 2 });
    expect(await commit(group, ['--time', time])).toMatchObject({ status: 8 });
    expect(await commit(group, ['--time', '2026-11-21T18:59:59Z'])).toMatchObject({ status: 8 });
    expect(await commit(at('host/nobody'))).toMatchObject({ status: 3 });
    mkdirSync(at('host/other'), { recursive: true });
    expect(await commit(at('host'))).toMatchObject({ status: 2 });
    expect(await commit(mount.directory)).toMatchObject({ status: 2 });
    expect(readdirSync(staging)).toEqual(['a.conf']);
  });

  test('one thing is staged in a group, and rm -r throws it away', () => {
    expect(make(staging)).toBe('EEXIST');
    execFileSync('cp', ['-a', '/usr/share/doc/bash', join(staging, 'x.pxar')]);
    writeFileSync(join(staging, 'x.img'), 'image');
    writeFileSync(join(staging, 'x'), 'blob');
    expect(outcome(() => rmdirSync(staging))).toBe('ENOTEMPTY');
    execFileSync('rm', ['-r', staging]);
    expect(readdirSync(group).sort()).toEqual([time, 'latest']);
    expect(outcome(() => statSync(staging))).toBe('ENOENT');
    mkdirSync(staging);
    expect(readdirSync(staging)).toEqual([]);
    expect(outcome(() => statSync(join(staging, 'x.img')))).toBe('ENOENT');
    rmdirSync(staging);
  });

  test.skipIf(storeAt === 'on a server')('who still writes is told of: EBUSY, and neither the writer nor what is staged is hurt', async () => {
    for (const name of ['a.conf', 'b.img', 'c.pxar/file']) {
      if (name.startsWith('c')) mkdirSync(join(staging, 'c.pxar'));
      const fd = openSync(join(staging, name), 'w');
      writeSync(fd, 'one');
      const renaming = commit(group, ['--time', later]);
      for (let n = 0; n < 30; n++) {
        writeSync(fd, 'two');
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
      expect([name, (await renaming).status]).toEqual([name, 7]);
      expect([name, rename(staging, join(group, later))]).toEqual([name, 'EBUSY']);
      writeSync(fd, 'end');
      closeSync(fd);
      expect(statSync(join(staging, name)).size).toBe(96);
    }
    expect(readdirSync(staging).sort()).toEqual(['a.conf', 'b.img', 'c.pxar']);
  });

  test('now, twice in a second and once more: each is a snapshot', async () => {
    for (const [n, finish] of [() => rename(at('host/often/staging'), at('host/often/now')), () => rename(at('host/often/staging'), at('host/often/now')), () => commit(at('host/often'))].entries()) {
      writeFileSync(join(beginStaging(mount, 'host/often'), 'a.conf'), `${n}`);
      expect(await finish()).toSatisfy((done) => done === undefined || (done as { status: number }).status === 0);
    }
    expect(readdirSync(at('host/often')).filter((name) => name !== 'latest')).toHaveLength(3);
  });
});
