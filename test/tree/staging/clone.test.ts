/** Copies of a snapshot's files into staging: what takes no data, what ends that, and that nothing else can be told from a plain copy. */
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  closeSync,
  copyFileSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { tryLock } from '../../../src/os/file-locks.js';
import { bytesTaken, isClone, spooled } from '../../support/cloned-files.js';
import { eventually, isAlive, pbsfs } from '../../support/command.js';
import { mountedFileSystem } from '../../support/file-systems.js';
import { canMount } from '../../support/mounted-everything.js';
import { emptyStore } from '../../support/new-snapshots.js';
import { noise } from '../../support/random.js';
import { scratchDirectory } from '../../support/scratch.js';
import { beginStaging, commit, eventsOf, isMounted, mountToStage, rsyncDifferences, type StagedMount, type StagedMountOptions } from '../../support/staged-mount.js';
import { loadSystemCalls } from '../../support/system-calls.js';

const group = 'host/web1';
const time = '2026-11-21T19:00:00Z';
const mebibyte = 1 << 20;
const directory = scratchDirectory();
const source = join(directory, 'source');
const store = join(directory, 'store');
const [SEEK_DATA, SEEK_HOLE] = [3, 4];
const [KEEP_SIZE, PUNCH_HOLE] = [1, 2];
const names = ['small', 'large', 'sparse', 'tail', 'byte', 'empty'] as const;

/** So long that whole chunks of the archive are zeros. */
function makeSource(): void {
  mkdirSync(source);
  writeFileSync(join(source, 'small'), noise('small', 10_000));
  writeFileSync(join(source, 'large'), noise('large', 9 * mebibyte + 17));
  writeFileSync(join(source, 'sparse'), noise('sparse', 5000));
  truncateSync(join(source, 'sparse'), 40 * mebibyte);
  const fd = openSync(join(source, 'sparse'), 'r+');
  writeSync(fd, noise('end', 5000), 0, 5000, 37 * mebibyte);
  closeSync(fd);
  writeFileSync(join(source, 'tail'), noise('tail', 5000));
  truncateSync(join(source, 'tail'), 40 * mebibyte);
  writeFileSync(join(source, 'byte'), 'x');
  writeFileSync(join(source, 'empty'), '');
}

beforeAll(async () => {
  makeSource();
  emptyStore(store);
  const made = await pbsfs(['backup', '--store', store, '--id', 'web1', '--time', time, `x.pxar:${source}`]);
  expect(made).toMatchObject({ status: 0 });
}, 120_000);

/** A copy of the store, mounted, with an empty archive in staging. */
async function staging(options: StagedMountOptions = {}): Promise<StagedMount & { snapshot: string; archive: string; inSpool: (name: string) => string }> {
  const copy = join(scratchDirectory(), 'store');
  execFileSync('cp', ['-a', store, copy]);
  const mount = await mountToStage({ store: copy, ...options });
  const archive = join(beginStaging(mount, group), 'x.pxar');
  mkdirSync(archive);
  const snapshot = join(mount.mountPoint, group, time, 'x.pxar');
  return { ...mount, snapshot, archive, inSpool: (name) => spooled(mount, group, `x.pxar/${name}`) };
}

type Mounted = Awaited<ReturnType<typeof staging>>;

async function kill(mount: StagedMount): Promise<void> {
  const pid = await mount.daemon();
  process.kill(pid, 'SIGKILL');
  await eventually(() => !isAlive(pid), 'the daemon is gone');
  await eventually(() => !isMounted(mount), 'what watches over the mount unmounts it');
}

function expectSame(path: string, other: string): void {
  expect(readFileSync(path).equals(readFileSync(other)), path).toBe(true);
}

describe.skipIf(!canMount)('one mount', () => {
  const s = loadSystemCalls();
  let mount: Mounted;
  const plain = join(directory, 'plain');
  let count = 0;

  beforeAll(async () => {
    mount = await staging();
  }, 120_000);
  afterAll(async () => {
    await mount.unmount();
    expect(mount.logged().split('\n').filter((line) => /damage|error|fail/i.test(line))).toEqual([]);
  });

  const at = (name: string): string => join(mount.archive, name);

  /** A new clone of a file, and a plain copy of it to do the same to. */
  function cloned(name: (typeof names)[number]): { path: string; inSpool: string; file: string } {
    const file = `${name}${count++}`;
    execFileSync('cp', ['-a', '--sparse=never', join(mount.snapshot, name), at(file)]);
    copyFileSync(join(source, name), plain);
    expect(isClone(mount.inSpool(file)), 'it is a clone before').toBe(true);
    return { path: at(file), inSpool: mount.inSpool(file), file };
  }

  /** Where a file has its first hole, and where data follows. */
  function firstHole(path: string): { hole: number; data: number } {
    const fd = openSync(path, 'r');
    const hole = s.lseek(fd, 0, SEEK_HOLE) as number;
    const data = s.lseek(fd, hole, SEEK_DATA) as number;
    closeSync(fd);
    expect(hole).toBeGreaterThanOrEqual(5000);
    expect(data).toBeGreaterThan(hole + 1000);
    return { hole, data };
  }

  describe('programs', () => {
    test.each([['cp'], ['cp', '-a'], ['cp', '--sparse=never'], ['cp', '-a', '--sparse=never'], ['cp', '--sparse=never', '--reflink=auto', '-p']])('%s %s takes no data', async (...words) => {
      const target = at(words.join(''));
      mkdirSync(target);
      const before = bytesTaken(mount.spool);
      for (const name of names) execFileSync('cp', [...words.slice(1), join(mount.snapshot, name), join(target, name)]);
      expect(bytesTaken(mount.spool) - before).toBeLessThan(64 * 1024);
      for (const name of names) {
        expectSame(join(target, name), join(source, name));
        // What has holes, cp looks through unless it is told not to, and writes what is none.
        const isCopied = name === 'empty' || (!words.includes('--sparse=never') && ['sparse', 'tail'].includes(name));
        expect(isClone(mount.inSpool(`${words.join('')}/${name}`)), name).toBe(!isCopied);
      }
      const differences = await rsyncDifferences(source, target);
      const times = words.includes('-a') ? /^\.d\.\.t\.+ \.\/$/ : /^[>.][fd]\.\.t/;
      expect(differences.filter((line) => !times.test(line))).toEqual([]);
    });

    test.each([
      ['cp', '-a', '--sparse=always', 'SOURCE/.', 'TARGET'],
      ['cp', '-a', '--sparse=auto', 'SOURCE/.', 'TARGET'],
      ['rsync', '-aAH', 'SOURCE/', 'TARGET'],
      ['sh', '-c', 'for f in "$0"/*; do dd if="$f" of="$1/${f##*/}" bs=64k conv=sparse status=none; done', 'SOURCE', 'TARGET'],
    ])('%s %s %s copies', async (program, ...words) => {
      const target = at(`copied${count++}`);
      mkdirSync(target);
      execFileSync(program, words.map((word) => word.replace('SOURCE', mount.snapshot).replace('TARGET', target)));
      for (const name of names) expectSame(join(target, name), join(source, name));
      if (program !== 'sh') expect(await rsyncDifferences(source, target)).toEqual([]);
      rmSync(target, { recursive: true });
    });

    test('an archive as a whole', async () => {
      const whole = join(mount.archive, '../whole.pxar');
      execFileSync('cp', ['-a', '--sparse=never', mount.snapshot, whole]);
      expect(await rsyncDifferences(source, whole)).toEqual([]);
      expect(readdirSync(whole).filter((name) => isClone(spooled(mount, group, `whole.pxar/${name}`))).sort()).toEqual(names.filter((name) => name !== 'empty').sort());
      rmSync(whole, { recursive: true });
    });

    test('du, and programs that leave out files without blocks, see all of it', () => {
      const { path } = cloned('large');
      expect(statSync(path).blocks).toBe(Math.ceil(statSync(path).size / 512));
      expect(execFileSync('sh', ['-c', 'tar --sparse -C "$0" -c . | tar -xO "./${1##*/}" | cmp - "$2"', mount.archive, path, plain]).length).toBe(0);
    });
  });

  describe('a clone remains one', () => {
    test.each<[string, (path: string) => void]>([
      ['read', (path) => readFileSync(path)],
      ['chmod', (path) => chmodSync(path, 0o4711)],
      ['chown', (path) => chownSync(path, 5, 6)],
      ['utimens', (path) => utimesSync(path, 1, 2)],
      ['setfattr', (path) => execFileSync('setfattr', ['-n', 'user.x', '-v', 'y', path])],
      ['setfacl', (path) => execFileSync('setfacl', ['-m', 'u:7:rw', path])],
      ['open to write and close', (path) => closeSync(openSync(path, 'r+'))],
      ['fsync', (path) => execFileSync('sync', [path])],
      ['fdatasync', (path) => execFileSync('sync', ['-d', path])],
    ])('%s', (_, act) => {
      const { path, inSpool } = cloned('large');
      act(path);
      expect(isClone(inSpool)).toBe(true);
      expectSame(path, plain);
    });

    test('under other names', () => {
      const { path, inSpool } = cloned('small');
      renameSync(path, `${path}-renamed`);
      linkSync(`${path}-renamed`, `${path}-linked`);
      unlinkSync(`${path}-renamed`);
      expect(isClone(`${inSpool}-linked`)).toBe(true);
      expectSame(`${path}-linked`, plain);
      const fd = openSync(`${path}-linked`, 'r+');
      unlinkSync(`${path}-linked`);
      expect(readFileSync(fd).equals(readFileSync(plain))).toBe(true);
      writeSync(fd, 'abc', 5);
      const seen = Buffer.alloc(10_000);
      s.pread(fd, seen, seen.length, 0);
      const changed = readFileSync(plain);
      changed.write('abc', 5);
      expect(seen.equals(changed)).toBe(true);
      closeSync(fd);
    });

    test('when it becomes shorter, and longer again by zeros that it has in the archive', () => {
      const { path, inSpool } = cloned('tail');
      const { hole, data } = firstHole(path);
      for (const size of [hole + 100, data - 100, data, hole + 1, 4000, 3000]) {
        for (const each of [path, plain]) truncateSync(each, size);
        expect(isClone(inSpool), String(size)).toBe(true);
        expectSame(path, plain);
      }
    });

    test('holes', () => {
      const { path } = cloned('sparse');
      expect(firstHole(path)).toEqual(firstHole(join(mount.snapshot, 'sparse')));
      const fd = openSync(path, 'r');
      expect(s.lseek(fd, 40 * mebibyte, SEEK_DATA)).toBe('ENXIO');
      closeSync(fd);
    });
  });

  describe('a clone ends', () => {
    const through = (path: string, act: (fd: number) => void): void => {
      const fd = openSync(path, 'r+');
      act(fd);
      closeSync(fd);
    };
    const acts: [string, (path: string) => void][] = [
      ['a write', (path) => through(path, (fd) => writeSync(fd, 'changed', 4000))],
      ['two writes', (path) => through(path, (fd) => void (writeSync(fd, 'a', 1), writeSync(fd, 'b', 9_000)))],
      ['a write behind its end', (path) => through(path, (fd) => writeSync(fd, 'changed', 50 * mebibyte))],
      ['an appended line', (path) => writeFileSync(path, 'line', { flag: 'a' })],
      ['growing', (path) => truncateSync(path, 41 * mebibyte)],
      ['shrinking and growing', (path) => void (truncateSync(path, 1000), truncateSync(path, 2000))],
      ['punching', (path) => through(path, (fd) => expect(s.fallocate(fd, KEEP_SIZE | PUNCH_HOLE, 0, 5000)).toBe(0))],
      ['reserving', (path) => through(path, (fd) => expect(s.fallocate(fd, 0, 0, 42 * mebibyte)).toBe(0))],
      ['mapped memory', (path) => through(path, (fd) => {
        const address = s.mmap(0, 4096, 3, 1, fd, 0) as number;
        s.copyTo(address + 100, Buffer.from('mapped'));
        s.munmap(address, 4096);
      })],
      ['writing it anew', (path) => writeFileSync(path, 'another content')],
      ['emptying it', (path) => truncateSync(path, 0)],
      ['emptying and writing', (path) => void (truncateSync(path, 0), writeFileSync(path, 'x', { flag: 'r+' }))],
      ['dd', (path) => execFileSync('dd', ['if=/dev/zero', `of=${path}`, 'bs=1000', 'seek=3', 'count=2', 'conv=notrunc', 'status=none'])],
      ['an editor in place', (path) => execFileSync('perl', ['-e', 'open F, "+<", $ARGV[0]; seek F, 7, 0; print F "perl"; close F', path])],
    ];
    test.each(acts.flatMap(([what, act]) => (['small', 'large', 'sparse', 'byte'] as const).map((name) => [what, name, act] as const)))('by %s, %s', (_, name, act) => {
      const { path, inSpool } = cloned(name);
      act(path);
      act(plain);
      expectSame(path, plain);
      expect(isClone(inSpool)).toBe(false);
      expect(statSync(path).size).toBe(statSync(plain).size);
      expectSame(inSpool, plain);
      unlinkSync(path);
    });
  });

  describe('copy_file_range', () => {
    function ranges(sourcePath: string, targetPath: string, pieces: readonly [from: number, to: number, length: number][]): void {
      const [from, to] = [openSync(sourcePath, 'r'), openSync(targetPath, 'a+')];
      closeSync(to);
      const fd = openSync(targetPath, 'r+');
      for (const [a, b, length] of pieces) {
        const [x, y] = [Buffer.alloc(8), Buffer.alloc(8)];
        x.writeBigInt64LE(BigInt(a));
        y.writeBigInt64LE(BigInt(b));
        expect(typeof s.copy_file_range(from, x, fd, y, length, 0)).toBe('number');
      }
      closeSync(from);
      closeSync(fd);
    }
    test.each<[string, string, [number, number, number][], boolean]>([
      ['the beginning', 'large', [[0, 0, 5000]], true],
      ['in pieces', 'large', [[0, 0, 5 * mebibyte], [5 * mebibyte, 5 * mebibyte, 50 * mebibyte]], true],
      ['over a hole', 'sparse', [[0, 0, 5000], [37 * mebibyte, 37 * mebibyte, 5000]], false],
      ['from a later place', 'large', [[1000, 0, 5000]], false],
      ['to a later place', 'large', [[0, 1000, 5000]], false],
      ['twice', 'large', [[0, 0, 5000], [0, 0, 5000]], false],
      ['with a gap', 'large', [[0, 0, 5000], [6000, 6000, 5000]], false],
      ['the end first', 'large', [[5 * mebibyte, 5 * mebibyte, 5 * mebibyte], [0, 0, 5 * mebibyte]], false],
      ['behind the end', 'small', [[20_000, 20_000, 10]], false],
    ])('%s', (_, name, pieces, isOne) => {
      const file = `range${count++}`;
      writeFileSync(plain, '');
      ranges(join(source, name), plain, pieces);
      ranges(join(mount.snapshot, name), at(file), pieces);
      expectSame(at(file), plain);
      expect(isClone(mount.inSpool(file))).toBe(isOne);
    });

    test('of a clone is one, and of two files at once none', () => {
      const first = cloned('large');
      execFileSync('cp', [first.path, `${first.path}-again`]);
      expect(isClone(`${first.inSpool}-again`)).toBe(true);
      writeFileSync(first.path, 'x', { flag: 'a' });
      expectSame(`${first.path}-again`, plain);
      const half = 4 * mebibyte;
      ranges(join(mount.snapshot, 'large'), `${first.path}-both`, [[0, 0, half]]);
      ranges(join(mount.snapshot, 'sparse'), `${first.path}-both`, [[half, half, half]]);
      expect(isClone(`${first.inSpool}-both`)).toBe(false);
      expect(readFileSync(`${first.path}-both`).equals(Buffer.concat([readFileSync(plain).subarray(0, half), Buffer.alloc(half)]))).toBe(true);
    });

    test('onto a file that has something copies', () => {
      const file = `full${count++}`;
      writeFileSync(at(file), 'something longer');
      ranges(join(mount.snapshot, 'byte'), at(file), [[0, 0, 1]]);
      expect(readFileSync(at(file), 'utf8')).toBe('xomething longer');
      expect(isClone(mount.inSpool(file))).toBe(false);
    });

    test('into another group', () => {
      const other = join(beginStaging(mount, 'host/other'), 'y.pxar');
      mkdirSync(other);
      execFileSync('cp', ['-a', join(mount.snapshot, 'large'), join(other, 'large')]);
      expect(isClone(spooled(mount, 'host/other', 'y.pxar/large'))).toBe(true);
      const { path } = cloned('small');
      execFileSync('cp', ['-a', path, join(other, 'small')]);
      expectSame(join(other, 'small'), plain);
      expectSame(join(other, 'large'), join(source, 'large'));
    });

    test('to the top of staging copies', () => {
      const top = join(mount.archive, '..');
      execFileSync('cp', [join(mount.snapshot, 'small'), join(top, 'small.conf')]);
      execFileSync('cp', [join(mount.snapshot, 'large'), join(top, 'large.img')]);
      expectSame(join(top, 'small.conf'), join(source, 'small'));
      expectSame(join(top, 'large.img'), join(source, 'large'));
      for (const name of ['small.conf', 'large.img']) unlinkSync(join(top, name));
    });
  });
});

describe.skipIf(!canMount)('over time', () => {
  test('1 GiB takes no data, and is committed without being read', { timeout: 200_000 }, async () => {
    const big = join(scratchDirectory(), 'big');
    mkdirSync(big);
    writeFileSync(join(big, 'file'), noise('big', 8 * mebibyte));
    truncateSync(join(big, 'file'), 1024 * mebibyte);
    const mount = await staging();
    expect(await pbsfs(['backup', '--store', mount.store, '--id', 'big', '--time', time, `x.pxar:${big}`])).toMatchObject({ status: 0 });
    const archive = join(beginStaging(mount, 'host/big'), 'x.pxar');
    mkdirSync(archive);
    execFileSync('cp', ['--sparse=never', join(mount.mountPoint, 'host/big/latest/x.pxar/file'), join(archive, 'other')]);
    expect(bytesTaken(mount.spool)).toBeLessThan(64 * 1024);
    const committed = await commit(join(mount.mountPoint, 'host/big'));
    expect(committed).toMatchObject({ status: 0, stderr: '' });
    expect(eventsOf(committed).find(({ event }) => event === 'archive')).toMatchObject({ files: 1, bytesStored: expect.toSatisfy((bytes: number) => bytes < 10_000) as number });
    execFileSync('cmp', [join(big, 'file'), join(mount.mountPoint, 'host/big/latest/x.pxar/other')]);
    await mount.unmount();
  });

  test('after the daemon was killed, clones are there and are committed', async () => {
    const mount = await staging();
    execFileSync('cp', ['-a', '--sparse=never', `${mount.snapshot}/.`, mount.archive]);
    execFileSync('sync', [join(mount.archive, 'large')]);
    writeFileSync(join(mount.archive, 'small'), 'appended', { flag: 'a' });
    await kill(mount);
    await mount.again();
    expect(isClone(mount.inSpool('large'))).toBe(true);
    for (const name of ['large', 'sparse', 'tail', 'byte', 'empty']) expectSame(join(mount.archive, name), join(source, name));
    writeFileSync(join(mount.archive, 'byte'), 'y', { flag: 'a' });
    expect(await commit(join(mount.mountPoint, group))).toMatchObject({ status: 0, stderr: '' });
    const latest = join(mount.mountPoint, group, 'latest/x.pxar');
    for (const name of ['large', 'sparse', 'tail', 'empty']) expectSame(join(latest, name), join(source, name));
    expect(readFileSync(join(latest, 'byte'), 'utf8')).toBe('xy');
    expect(readFileSync(join(latest, 'small')).subarray(10_000).toString()).toBe('appended');
    await mount.unmount();
  });

  test('nobody can remove the snapshot while clones of it are staged', async () => {
    const mount = await staging();
    const lockable = (): boolean => {
      const fd = openSync(join(mount.store, group, time), 'r');
      try {
        return tryLock(fd, 'exclusive');
      } finally {
        closeSync(fd);
      }
    };
    expect(lockable()).toBe(true);
    execFileSync('cp', [join(mount.snapshot, 'small'), mount.archive]);
    expect(lockable()).toBe(false);
    await kill(mount);
    expect(lockable()).toBe(true);
    await mount.again();
    expect(lockable()).toBe(false);
    rmSync(mount.archive, { recursive: true });
    execFileSync('rmdir', [join(mount.mountPoint, group, 'staging')]);
    expect(lockable()).toBe(true);
    await mount.unmount();
  });

  test('a snapshot that is being removed is not cloned, but copied', async () => {
    const mount = await staging();
    const fd = openSync(join(mount.store, group, time), 'r');
    expect(tryLock(fd, 'exclusive')).toBe(true);
    execFileSync('cp', [join(mount.snapshot, 'small'), mount.archive]);
    expectSame(join(mount.archive, 'small'), join(source, 'small'));
    expect(isClone(mount.inSpool('small'))).toBe(false);
    closeSync(fd);
    await mount.unmount();
  });

  test('of a snapshot that is gone clones are EIO, and a commit names them', async () => {
    const mount = await staging();
    for (const name of ['small', 'large', 'byte']) execFileSync('cp', [join(mount.snapshot, name), mount.archive]);
    await mount.unmount();
    rmSync(join(mount.store, group, time), { recursive: true });
    await mount.again();
    expect(() => readFileSync(join(mount.archive, 'small'))).toThrow(/EIO/);
    expect(() => writeFileSync(join(mount.archive, 'large'), 'x', { flag: 'a' })).toThrow(/EIO/);
    expect(lstatSync(join(mount.archive, 'small')).size).toBe(10_000);
    const failed = await commit(join(mount.mountPoint, group));
    expect(failed.status).toBe(1);
    expect(failed.stderr).toContain('x.pxar/byte: ');
    expect(failed.stderr).toContain(`${group}/${time}`);
    expect(execFileSync('getfattr', ['--only-values', '-n', 'user.pbsfs.error', join(mount.mountPoint, group, 'staging')], { encoding: 'utf8' })).toContain('x.pxar/byte');
    writeFileSync(join(mount.archive, 'small'), 'new');
    for (const name of ['large', 'byte']) unlinkSync(join(mount.archive, name));
    expect(await commit(join(mount.mountPoint, group))).toMatchObject({ status: 0, stderr: '' });
    expect(readdirSync(join(mount.mountPoint, group, 'latest/x.pxar'))).toEqual(['small']);
    await mount.unmount();
  });

  test('a full spool refuses the write that needs the bytes, and the clone is as it was', async () => {
    const spool = mountedFileSystem('ext4', { megabytes: 16 });
    const mount = await staging({ spool });
    execFileSync('cp', [join(mount.snapshot, 'large'), join(mount.archive, 'large')]);
    writeFileSync(join(mount.archive, 'filler'), Buffer.alloc(6 * mebibyte, 1));
    expect(() => writeFileSync(join(mount.archive, 'large'), 'x', { flag: 'r+' })).toThrow(/ENOSPC/);
    expectSame(join(mount.archive, 'large'), join(source, 'large'));
    expect(isClone(mount.inSpool('large'))).toBe(true);
    unlinkSync(join(mount.archive, 'filler'));
    writeFileSync(join(mount.archive, 'large'), 'x', { flag: 'r+' });
    expect(readFileSync(join(mount.archive, 'large')).subarray(1).equals(readFileSync(join(source, 'large')).subarray(1))).toBe(true);
    await mount.unmount();
  });

  test('a damaged table of origins makes clones unreadable, never other ones', async () => {
    const mount = await staging();
    execFileSync('cp', [join(mount.snapshot, 'small'), join(mount.archive, 'small')]);
    await mount.unmount();
    writeFileSync(join(spooled(mount, group), '../origins.json'), '[{');
    await mount.again();
    expect(() => readFileSync(join(mount.archive, 'small'))).toThrow(/EIO/);
    execFileSync('cp', [join(mount.snapshot, 'large'), join(mount.archive, 'large')]);
    expectSame(join(mount.archive, 'large'), join(source, 'large'));
    expect(mount.logged()).toContain('origins.json is damaged');
    await mount.unmount();
  });
});
