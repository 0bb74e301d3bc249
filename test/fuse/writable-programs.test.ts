/** What people do to a directory, done to a mount of the writable reference file system. */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  closeSync,
  constants,
  existsSync,
  fstatSync,
  ftruncateSync,
  fsyncSync,
  lchownSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  statfsSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  type MountedEverything,
  canMount,
  hasProgram,
  isPossible,
  nobody,
  openDeviceForUsers,
} from '../support/mounted-everything.js';
import { endWritable, mountWritable, run } from '../support/mounted-writable.js';
import { noise, seed } from '../support/random.js';
import { scratchDirectory } from '../support/scratch.js';
import { loadSystemCalls } from '../support/system-calls.js';

const MiB = 1024 * 1024;
const hasRsync = hasProgram('rsync');
const hasAcl = hasProgram('setfacl') && hasProgram('getfacl');
const hasAttr = hasProgram('setfattr') && hasProgram('getfattr');
const hasGit = hasProgram('git');
const hasSqlite = hasProgram('sqlite3');
const hasLsattr = hasProgram('lsattr');
const execute = promisify(execFile);

/** A tree with everything that cp -a and rsync -aAXH carry, on a file system of the machine. */
function madeTree(): string {
  const root = join(scratchDirectory(), 'tree');
  mkdirSync(join(root, 'a/b/c'), { recursive: true });
  const at = (name: string | Buffer): Buffer => Buffer.concat([Buffer.from(`${root}/`), Buffer.from(name)]);
  for (let i = 0; i < 300; i += 1) writeFileSync(at(`a/file-${i}`), noise(`file ${i}`, i * 37));
  writeFileSync(at('large'), noise('large', 5 * MiB + 17));
  writeFileSync(at(Buffer.from([0x66, 0xff, 0xfe])), 'a name that is not UTF-8');
  writeFileSync(at('n'.repeat(255)), 'a long name');
  linkSync(at('a/file-1'), at('a/b/linked'));
  symlinkSync('../a/file-1', at('a/link'));
  symlinkSync(Buffer.from([0xff, 0x2f, 0x41]), at('a/link-of-bytes'));
  run('mkfifo', [join(root, 'fifo')]);
  run('mknod', [join(root, 'null'), 'c', '1', '3']);
  writeFileSync(at('set-uid'), 'x');
  lchownSync(at('set-uid'), 12, 34);
  chmodSync(at('set-uid'), 0o6755);
  chmodSync(at('a/b/c'), 0o1777);
  lchownSync(at('a/link'), 56, 78);
  if (hasAcl) run('setfacl', ['-m', 'u:65534:rwx,g:7:r', join(root, 'a/file-2')]);
  if (hasAcl) run('setfacl', ['-d', '-m', 'u:65534:rwx', join(root, 'a/b')]);
  if (hasAttr) run('setfattr', ['-n', 'user.note', '-v', 'a value', join(root, 'a/file-3')]);
  const holes = openSync(at('sparse'), 'w');
  ftruncateSync(holes, 100 * MiB);
  writeSync(holes, 'data', 50 * MiB);
  closeSync(holes);
  utimesSync(at('large'), -1, 1_234_567_890.123);
  utimesSync(at('a'), 5, 6);
  return root;
}

/** Nothing that rsync would still do, contents looked at too. */
function expectSame(source: string, target: string): void {
  const flags = ['-n', '-a', '-c', '-i', '-H', '--delete', ...(hasAcl ? ['-A'] : []), ...(hasAttr ? ['-X'] : [])];
  expect(run('rsync', [...flags, `${source}/`, `${target}/`])).toBe('');
}

describe.skipIf(!canMount).each([
  { title: 'at once', options: {} },
  { title: 'through promises, with pumps', options: { promises: true, driver: 'pumps' as const } },
])('$title', ({ options }) => {
  let mounted: MountedEverything;
  const at = (name: string): string => join(mounted.mountPoint, name);

  beforeAll(async () => {
    mounted = await mountWritable(options);
  });
  afterAll(() => endWritable(mounted));

  test.skipIf(!hasRsync)('cp -a', () => {
    const source = madeTree();
    run('cp', ['-a', source, at('copied')]);
    expectSame(source, at('copied'));
    expect(statSync(at('copied/sparse')).blocks).toBeLessThan(1000);
    run('cp', ['-a', at('copied'), at('again')]);
    expectSame(source, at('again'));
    run('rm', ['-r', at('copied'), at('again')]);
  });

  test.skipIf(!hasRsync)('rsync -aAXH, twice', () => {
    const source = madeTree();
    run('rsync', ['-aAXH', '--sparse', `${source}/`, at('synced')]);
    expectSame(source, at('synced'));
    writeFileSync(join(source, 'a/file-9'), 'changed');
    unlinkSync(join(source, 'a/file-8'));
    run('rsync', ['-aAXH', '--delete', '--inplace', `${source}/`, at('synced')]);
    expectSame(source, at('synced'));
    run('rm', ['-r', at('synced')]);
  });

  test.skipIf(!hasRsync)('tar x', () => {
    const source = madeTree();
    const archive = join(scratchDirectory(), 'tree.tar');
    run('tar', ['-C', source, '--xattrs', '--acls', '-cSf', archive, '.']);
    mkdirSync(at('unpacked'));
    run('tar', ['-C', at('unpacked'), '--xattrs', '--acls', '-xpSf', archive]);
    expectSame(source, at('unpacked'));
    run('rm', ['-r', at('unpacked')]);
  });

  test.skipIf(!hasGit)('git clone, commit and fsck', () => {
    const source = join(scratchDirectory(), 'repository');
    const git = (directory: string, ...args: string[]): string =>
      run('git', ['-c', 'user.name=x', '-c', 'user.email=x@example.org', '-c', 'safe.directory=*', '-C', directory, ...args]);
    mkdirSync(source);
    git(source, 'init', '-q');
    for (let i = 0; i < 200; i += 1) writeFileSync(join(source, `file-${i}`), noise(`git ${i}`, 2000));
    git(source, 'add', '.');
    git(source, 'commit', '-qm', 'first');
    run('git', ['-c', 'safe.directory=*', 'clone', '-q', '--no-local', source, at('clone')]);
    writeFileSync(at('clone/file-1'), 'changed');
    git(at('clone'), 'commit', '-qam', 'second');
    git(at('clone'), 'gc', '-q');
    git(at('clone'), 'fsck', '--strict');
    expect(git(at('clone'), 'status', '--porcelain')).toBe('');
    run('rm', ['-r', at('clone')]);
  });

  test.skipIf(!hasSqlite)('sqlite with a write-ahead log, whose shared memory is mapped', () => {
    const sql = (text: string): string => run('sqlite3', [at('base.db'), text]).trim();
    expect(sql('pragma journal_mode=wal; create table t(a integer primary key, b blob);')).toBe('wal');
    for (let i = 0; i < 5; i += 1) {
      sql(
        'with recursive n(i) as (select 1 union all select i+1 from n where i<2000) insert into t(b) select randomblob(100) from n;',
      );
    }
    expect(sql('pragma integrity_check; select count(*) from t;')).toBe('ok\n10000');
    expect(sql('vacuum; pragma wal_checkpoint(truncate); pragma integrity_check;')).toMatch(/ok$/);
  });

  test('dd, with and without the page cache', () => {
    const source = join(scratchDirectory(), 'image');
    writeFileSync(source, noise('image', 9 * MiB));
    run('dd', [`if=${source}`, `of=${at('image')}`, 'bs=4M', 'conv=fsync', 'status=none']);
    run('dd', [`if=${source}`, `of=${at('direct')}`, 'bs=1M', 'oflag=direct', 'status=none']);
    run('dd', [`if=${source}`, `of=${at('small')}`, 'bs=1000', 'status=none']);
    for (const name of ['image', 'direct', 'small']) run('cmp', [source, at(name)]);
    rmSync(at('direct'));
  });

  test('64 writers at once, each with fsync', async () => {
    mkdirSync(at('writers'));
    const write = async (number: number): Promise<void> => {
      const file = await open(at(`writers/${number}`), 'w');
      for (let part = 0; part < 10; part += 1) {
        await file.write(noise(`writer ${number} ${part}`, 30_000));
        await file.sync();
      }
      await file.close();
    };
    const shared = openSync(at('shared'), 'a');
    const append = async (number: number): Promise<void> => {
      const file = await open(at('shared'), 'a');
      for (let line = 0; line < 20; line += 1) await file.write(`${number}-${line}\n`);
      await file.close();
    };
    await Promise.all(Array.from({ length: 64 }, async (_, i) => Promise.all([write(i), append(i)])));
    closeSync(shared);
    for (let i = 0; i < 64; i += 1) {
      const parts = Array.from({ length: 10 }, (_, part) => noise(`writer ${i} ${part}`, 30_000));
      expect(readFileSync(at(`writers/${i}`)).equals(Buffer.concat(parts))).toBe(true);
    }
    expect(new Set(readFileSync(at('shared'), 'utf8').trim().split('\n')).size).toBe(64 * 20);
  });

  test('10,000 files in a directory, listed while they come and go', () => {
    mkdirSync(at('many'));
    for (let i = 0; i < 10_000; i += 1) writeFileSync(at(`many/${i}`), '');
    const names = readdirSync(at('many'));
    expect(new Set(names)).toEqual(new Set(Array.from({ length: 10_000 }, (_, i) => String(i))));
    for (let i = 0; i < 10_000; i += 2) renameSync(at(`many/${i}`), at(`many/renamed-${i}`));
    expect(readdirSync(at('many'))).toHaveLength(10_000);
    run('find', [at('many'), '-name', 'renamed-*', '-delete']);
    expect(readdirSync(at('many'))).toHaveLength(5000);
    run('rm', ['-r', at('many')]);
    expect(existsSync(at('many'))).toBe(false);
  });

  test(`a storm of names from 8 processes, while the kernel forgets, seed ${seed}`, async () => {
    mkdirSync(at('storm'));
    for (const name of ['a', 'b', 'c']) mkdirSync(at(`storm/${name}`));
    const storm = `
      use Fcntl; srand($ARGV[1]); chdir $ARGV[0] or die; my @open;
      my $name = sub { join('/', ('a', 'b', 'c')[rand 3], int rand 12) };
      for my $i (1 .. $ARGV[2]) {
        my ($what, $one, $two) = (int rand 9, $name->(), $name->());
        if ($what == 0) { mkdir $one }
        elsif ($what == 1) { rmdir $one }
        elsif ($what == 2) { unlink $one }
        elsif ($what == 3) { link $one, $two }
        elsif ($what == 4) { symlink 'x', $one }
        elsif ($what == 5) { my @s = lstat $one }
        elsif ($what == 6) { opendir(my $d, ('a', 'b', 'c')[rand 3]) or die $!; my @n = map { lstat "$_" } readdir $d }
        elsif ($what == 7) { rename $one, $two }
        elsif (sysopen(my $f, $one, O_RDWR | O_CREAT)) { syswrite($f, 'x' x rand 9000); push @open, $f; shift @open if @open > 5 }
        die "$what: $!" if $!{EIO} || $!{EINVAL} && $what != 7 || $!{ESTALE} || $!{ENOSYS};
        $! = 0;
      }`;
    const storms = Array.from({ length: 8 }, (_, i) => execute('perl', ['-e', storm, at('storm'), String(seed + i), '1500']));
    let blowing = true;
    const forget = (async () => {
      while (blowing) {
        await mounted.ask('invalidate', {}, 'done');
        await new Promise((resolve) => setTimeout(resolve, 30));
      }
    })();
    await Promise.all(storms).finally(() => (blowing = false));
    await forget;
    run('rm', ['-r', at('storm')]);
    for (const name of readdirSync(at(''))) rmSync(at(name), { recursive: true });
    await expect.poll(async () => ((await mounted.ask('statistics', {}, 'statistics')) as { inodes?: number }).inodes).toBe(1);
  });

  test('what is open lives on without a name, and goes with the last who has it open', async () => {
    const before = (await mounted.ask('statistics', {}, 'statistics')) as { inodes?: number };
    writeFileSync(at('open'), noise('open', 100_000));
    const first = openSync(at('open'), 'r+');
    const second = openSync(at('open'), 'r');
    unlinkSync(at('open'));
    writeSync(first, 'more', 100_000);
    fsyncSync(first);
    closeSync(first);
    const bytes = Buffer.alloc(100_004);
    expect([readSync(second, bytes, 0, bytes.length, 0), fstatSync(second).nlink]).toEqual([100_004, 0]);
    expect(bytes.equals(Buffer.concat([noise('open', 100_000), Buffer.from('more')]))).toBe(true);
    closeSync(second);
    await expect
      .poll(async () => ((await mounted.ask('statistics', {}, 'statistics')) as { inodes?: number }).inodes)
      .toBe(before.inodes);
  });

  test.skipIf(!hasLsattr)('chattr and project ids', () => {
    writeFileSync(at('flags'), '');
    run('chattr', ['+dA', at('flags')]);
    run('chattr', ['-p', '42', at('flags')]);
    expect(run('lsattr', ['-p', at('flags')])).toMatch(/^ +42 \S*d\S*A\S* /);
    run('chattr', ['-A', at('flags')]);
    expect(run('lsattr', [at('flags')])).toMatch(/^[-d]+ /);
  });

  test('programs run from there, and shared libraries are mapped', () => {
    run('cp', ['/bin/true', at('true')]);
    run(at('true'), []);
    rmSync(at('true'));
  });

  test('statfs', () => {
    writeFileSync(at('some'), noise('some', 10_000));
    const { bsize, blocks, bfree, bavail, files, ffree } = statfsSync(at(''));
    expect([bsize, blocks, files]).toEqual([4096, 4 * 2 ** 20, 2 ** 31]);
    expect([bfree > 0 && bfree < blocks, bavail, ffree > 0]).toEqual([true, bfree, true]);
  });
});

describe.skipIf(!canMount)('trouble', () => {
  let mounted: MountedEverything;
  const at = (name: string): string => join(mounted.mountPoint, name);

  beforeAll(async () => {
    mounted = await mountWritable({ pagesMax: 1000 });
  });
  afterAll(() => endWritable(mounted));

  test('a full file system: ENOSPC at the write, and what is removed makes room', async () => {
    const failed = await execute('dd', ['if=/dev/zero', `of=${at('full')}`, 'bs=64K'], { env: { LC_ALL: 'C' } }).catch(
      (error: unknown) => String(error),
    );
    expect(failed).toContain('No space left on device');
    expect(statfsSync(at('')).bfree).toBeLessThan(16);
    unlinkSync(at('full'));
    await expect.poll(() => statfsSync(at('')).bfree).toBe(1000);
    writeFileSync(at('room'), 'again');
    unlinkSync(at('room'));
  });

  test.each(['write', 'create', 'rename', 'flush'])('a program that is killed in a slow %s ends at once', async (operation) => {
    writeFileSync(at('old'), '');
    await mounted.ask('slow', { operation, ms: 3000 }, 'done');
    const script = `mv ${at('old')} ${at('new')} || exit; printf x > ${at('file')}`;
    const child = spawn('sh', ['-c', operation === 'rename' ? script : `printf x > ${at(`slow-${operation}`)}`]);
    await mounted.message('slow');
    const started = Date.now();
    // Also the one that waits: sh runs it.
    for (const pid of readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, 'utf8').trim().split(' ')) {
      if (pid !== '') process.kill(Number(pid), 'SIGKILL');
    }
    child.kill('SIGKILL');
    await once(child, 'exit');
    await mounted.ask('slow', { operation: '' }, 'done');
    expect(Date.now() - started).toBeLessThan(2000);
    // What was begun is done, for what it is worth, and the mount goes on.
    await new Promise((resolve) => setTimeout(resolve, 3000));
    writeFileSync(at('after'), 'after');
    expect(readFileSync(at('after'), 'utf8')).toBe('after');
    mounted.messages.length = 0;
    for (const name of readdirSync(at(''))) rmSync(at(name));
  });

  test('where a range cannot be copied the kernel reads and writes it', async () => {
    const s = loadSystemCalls();
    writeFileSync(at('source'), noise('source', 100_000));
    writeFileSync(at('target'), '');
    await mounted.ask('refuse', { operation: 'copyRange' }, 'done');
    const [from, to] = [openSync(at('source'), 'r'), openSync(at('target'), 'r+')];
    for (let copied = 0; copied < 100_000;) {
      const some = s.copy_file_range(from, [copied], to, [copied], 100_000 - copied, 0);
      if (typeof some === 'string' || some === 0) throw new Error(`copied ${copied}, then ${some}`);
      copied += some;
    }
    closeSync(from);
    closeSync(to);
    await mounted.ask('refuse', { operation: '' }, 'done');
    expect(readFileSync(at('target')).equals(noise('source', 100_000))).toBe(true);
    expect((await mounted.counts()).get('copy_file_range_64') ?? (await mounted.counts()).get('copy_file_range')).toBeGreaterThan(
      0,
    );
    for (const name of ['source', 'target']) unlinkSync(at(name));
  });

  test('the mount point is rw, and files are checked by their modes', () => {
    const line = readFileSync('/proc/mounts', 'utf8')
      .split('\n')
      .find((text) => text.includes(mounted.mountPoint));
    expect(line).toMatch(/ rw,nosuid,nodev,.*default_permissions/);
  });

  test('O_SYNC and O_DSYNC are an fsync each', async () => {
    const before = (await mounted.counts()).get('fsync') ?? 0;
    for (const flag of [constants.O_SYNC, constants.O_DSYNC]) {
      const file = openSync(at('synced'), constants.O_WRONLY | constants.O_CREAT | flag);
      writeSync(file, 'x');
      closeSync(file);
    }
    expect((await mounted.counts()).get('fsync')).toBe(before + 2);
    unlinkSync(at('synced'));
  });
});

describe.skipIf(!canMount)('how it may be mounted', () => {
  test('with ro as a flag nothing is written', async () => {
    const mounted = await mountWritable({ flags: ['ro'] });
    try {
      expect(() => writeFileSync(join(mounted.mountPoint, 'x'), '')).toThrow(expect.objectContaining({ code: 'EROFS' }) as Error);
    } finally {
      await endWritable(mounted);
    }
  });

  test.skipIf(!isPossible({ driver: 'epoll', uid: nobody }))('by an ordinary user', async () => {
    const restoreDevice = await openDeviceForUsers();
    const mounted = await mountWritable({ uid: nobody }).finally(restoreDevice);
    try {
      const file = join(mounted.mountPoint, 'file');
      const sh = (script: string): string => run('sh', ['-c', script, 'sh', file], { uid: nobody });
      expect(
        sh('echo text > "$1" && chmod 600 "$1" && ln "$1" "$1.2" && mv "$1.2" "$1.3" && stat -c "%u %a %h" "$1" && cat "$1.3"'),
      ).toBe(`${nobody} 600 2\ntext\n`);
    } finally {
      await endWritable(mounted);
    }
  });

  test('not by the driver that only reads', async () => {
    await expect(mountWritable({ driver: 'fuse-native' })).rejects.toThrow(/fuse-native only mounts trees that are read/);
  });
});
