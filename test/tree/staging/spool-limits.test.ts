/** Deep paths, many files, full disks, ordinary users, listings of what changes, and attributes that programs do not get to see. */
import { execFileSync, spawnSync } from 'node:child_process';
import {
  closeSync,
  mkdirSync,
  openSync,
  readFileSync,
  readdirSync,
  renameSync,
  statSync,
  statfsSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { canMake, mountedFileSystem } from '../../support/file-systems.js';
import { canMount, hasProgram, isPossible, nobody, openDeviceForUsers } from '../../support/mounted-everything.js';
import { loadSystemCalls } from '../../support/system-calls.js';
import { type MountedSpool, endSpool, forgetAll, mountSpool, spoolDirectory, statistics } from './spool-mount.js';
import { treeDigest } from './tree-digest.js';

const MiB = 1024 * 1024;
const levels = 300;
const manyFiles = 100_000;
const hasAttr = hasProgram('setfattr');

const running: MountedSpool[] = [];
async function start(...options: Parameters<typeof mountSpool>): Promise<MountedSpool> {
  const spool = await mountSpool(...options);
  running.push(spool);
  return spool;
}
afterEach(async () => {
  for (const spool of running.splice(0)) await endSpool(spool);
});

/** Its output, errors included; it may fail. */
function perl(script: string, ...args: string[]): string {
  return execFileSync('perl', ['-we', script, ...args], { encoding: 'utf8', timeout: 100_000, maxBuffer: 1 << 28 });
}

const descriptorsOf = ({ mounted }: MountedSpool): number => readdirSync(`/proc/${mounted.child.pid}/fd`).length;

describe.skipIf(!canMount)('paths', () => {
  test(`${levels} levels of names of 255 bytes, moved while somebody is at the bottom`, async () => {
    const spool = await start();
    const script = `
      use POSIX; my ($top, $levels) = @ARGV; my $name = 'x' x 255; chdir $top or die;
      for (1 .. $levels) { mkdir $name or die "mkdir: $!"; chdir $name or die "chdir: $!"; }
      sub put { open(my $f, '>', $_[0]) or die "open: $!"; print $f "bottom" or die; close $f or die "close: $!"; }
      put('file');
      open(my $d, '<', $top) or die;
      rename("$top/$name", "$top/y") or die "rename: $!";
      put('file2'); rename('file', 'file3') or die; link('file3', 'file4') or die; unlink('file2') or die;
      put('file5'); print join(',', sort glob('file*')), ' ', -s 'file3';
      for (1 .. $levels - 2) { chdir '..' or die "up: $!"; put('here'); }
      print ' ', (stat '..')[1] == (stat "$top/y")[1] ? 'arrived' : 'elsewhere';`;
    expect(perl(script, spool.mountPoint, String(levels))).toBe('file3,file4,file5 6 arrived');
    const descriptors = descriptorsOf(spool);
    expect(descriptors).toBeLessThan(400);
    const before = treeDigest(spool.mountPoint);
    expect(treeDigest(spool.directory)).toBe(before);
    await forgetAll(spool);
    expect(treeDigest(spool.mountPoint)).toBe(before);
    execFileSync('rm', ['-r', join(spool.mountPoint, 'y')]);
    expect(readdirSync(spool.directory)).toEqual([]);
    await expect.poll(async () => (await statistics(spool)).knownInodes, { timeout: 10_000 }).toBe(1);
    expect(descriptorsOf(spool)).toBeLessThan(60);
  });

  test('2,000 levels, from the bottom up', async () => {
    const spool = await start();
    const script = `
      my ($top, $levels) = @ARGV; chdir $top or die;
      for (1 .. $levels) { mkdir 'd' or die "mkdir: $!"; chdir 'd' or die "chdir: $!"; }
      for (1 .. $levels) {
        open(my $f, '>', 'f') or die "open: $!"; close $f; unlink 'f' or die;
        chdir '..' or die; rmdir 'd' or die "rmdir: $!";
      }
      print 'done'`;
    expect(perl(script, spool.mountPoint, '2000')).toBe('done');
    expect(descriptorsOf(spool)).toBeLessThan(60);
  });

  test('a file of many names, which go one after the other', async () => {
    const spool = await start();
    const at = (name: string | number): string => join(spool.mountPoint, String(name));
    writeFileSync(at('file'), 'content');
    const fd = openSync(at('file'), 'r');
    execFileSync('perl', ['-e', 'chdir $ARGV[0]; for (1 .. 1000) { link "file", $_ or die $! }', spool.mountPoint]);
    for (let i = 1; i <= 1000; i += 1) statSync(at(i));
    const ino = statSync(at('file')).ino;
    unlinkSync(at('file'));
    for (let i = 1; i <= 999; i += 1) unlinkSync(at(i));
    expect(statSync(at(1000))).toMatchObject({ ino, nlink: 1 });
    expect(readFileSync(fd, 'utf8')).toBe('content');
    renameSync(at(1000), at('last'));
    writeFileSync(at('other'), '');
    renameSync(at('other'), at('last'));
    expect(readFileSync(fd, 'utf8')).toBe('');
    closeSync(fd);
    expect(descriptorsOf(spool)).toBeLessThan(60);
  });

  test('a file keeps its number when the kernel forgets it', async () => {
    const spool = await start();
    const at = (name: string): string => join(spool.mountPoint, name);
    for (let i = 0; i < 50; i += 1) writeFileSync(at(`f${i}`), '');
    const numbers = (how: string): number[] => {
      const text = execFileSync('ls', [how, spool.mountPoint], { encoding: 'utf8' });
      return [...text.matchAll(/^ *(\d+) /gm)].map(([, number]) => Number(number));
    };
    const before = numbers('-i');
    expect(new Set(before).size).toBe(50);
    await forgetAll(spool);
    expect(numbers('-i')).toEqual(before);
    await forgetAll(spool);
    expect(numbers('-il')).toEqual(before);
  });
});

describe.skipIf(!canMount)('listings', () => {
  test('names that stay are told once, whatever comes and goes meanwhile', async () => {
    const spool = await start();
    const script = `
      my ($top) = @ARGV; chdir $top or die; my ($n, %seen) = (2000);
      for (1 .. $n) { open(my $f, '>', "stays-$_") or die; open(my $g, '>', "goes-$_") or die; }
      opendir(my $d, '.') or die; my $i = 0;
      while (defined(my $name = readdir $d)) {
        $seen{$name}++; $i++;
        if ($i <= $n) { unlink "goes-$i"; open(my $f, '>', "comes-$i") or die; rename "comes-$i", "came-$i" or die; }
      }
      my @bad = grep { ($seen{"stays-$_"} // 0) != 1 } 1 .. $n; print scalar(@bad), ' ';
      print scalar(grep { $seen{$_} > 1 } keys %seen), ' ';
      rewinddir $d; my @again = grep { !/^\\./ } readdir $d; my %now = map { $_ => 1 } @again;
      print scalar(@again), ' ', scalar(keys %now), ' ', scalar(grep { !$now{"came-$_"} } 1 .. $n), ' ';
      seekdir($d, 0); readdir $d for 1 .. 100; my $place = telldir $d; my $name = readdir $d; readdir $d for 1 .. 500; seekdir $d, $place;
      print readdir($d) eq $name ? 'same' : 'other';`;
    expect(perl(script, spool.mountPoint)).toBe('0 0 4000 4000 0 same');
  });
});

describe.skipIf(!canMount)('load', () => {
  test.skipIf(!canMake('tmpfs'))(`${manyFiles} files`, { timeout: 200_000 }, async () => {
    const directory = join(mountedFileSystem('tmpfs', { megabytes: 1000 }), 'spool');
    mkdirSync(directory);
    const spool = await start(directory);
    const before = await statistics(spool);
    const make = `chdir $ARGV[0] or die;
      for my $d (1 .. 100) { mkdir $d or die; for (1 .. $ARGV[1] / 100) { open(my $f, '>', "$d/a-file-with-a-name-$_") or die; print $f 'x' } }`;
    perl(make, spool.mountPoint, String(manyFiles));
    const made = await statistics(spool);
    expect(made.knownInodes).toBe(manyFiles + 101);
    expect((made.usedBytes - before.usedBytes) / MiB).toBeLessThan(45);
    expect((made.memoryBytes - before.memoryBytes) / MiB).toBeLessThan(120);
    const found = execFileSync('find', [spool.mountPoint, '-type', 'f'], { encoding: 'utf8', maxBuffer: 1 << 26 });
    expect(found.split('\n')).toHaveLength(manyFiles + 1);
    await forgetAll(spool);
    await expect.poll(async () => (await statistics(spool)).knownInodes, { timeout: 10_000 }).toBeLessThan(manyFiles / 10);
    execFileSync('sh', ['-c', 'rm -r "$1"/*', 'sh', spool.mountPoint]);
    expect((await statistics(spool)).usedBytes - before.usedBytes).toBeLessThan(5 * MiB);
    expect(descriptorsOf(spool)).toBeLessThan(60);
  });

  test.skipIf(!canMake('tmpfs'))('a full spool is ENOSPC at the write, and goes on when there is room', async () => {
    const directory = join(mountedFileSystem('tmpfs', { megabytes: 8, mountOptions: 'rw,nr_inodes=300' }), 'spool');
    mkdirSync(directory);
    const spool = await start(directory);
    const at = (name: string): string => join(spool.mountPoint, name);
    const full = expect.objectContaining({ code: 'ENOSPC' }) as Error;
    writeFileSync(at('kept'), 'kept');
    const fd = openSync(at('large'), 'w');
    let written = 0;
    const fill = (): void => {
      for (;;) written += writeSync(fd, Buffer.alloc(300_000, 'x'));
    };
    expect(fill).toThrow(full);
    expect(statSync(at('large')).size).toBe(written);
    expect(written).toBeGreaterThan(7 * MiB);
    expect(() => writeFileSync(at('one more'), 'x'.repeat(5000))).toThrow(full);
    expect(loadSystemCalls().fallocate(fd, 0, 0, 100 * MiB)).toBe('ENOSPC');
    const { bsize, bavail } = statfsSync(spool.mountPoint);
    expect(bsize * bavail).toBeLessThan(MiB);
    closeSync(fd);
    unlinkSync(at('large'));
    expect(() => {
      for (let i = 0; i < 400; i += 1) mkdirSync(at(`d${i}`));
    }).toThrow(full);
    expect(() => renameSync(at('kept'), at('d1/kept'))).not.toThrow();
    execFileSync('sh', ['-c', 'cd "$1" && mv d1/kept . && rm -r d*', 'sh', spool.mountPoint]);
    writeFileSync(at('room'), 'again'.repeat(1000));
    expect([readFileSync(at('kept'), 'utf8'), statSync(at('room')).size]).toEqual(['kept', 5000]);
  });
});

describe.skipIf(!canMount || !hasProgram('chattr'))('inode flags', () => {
  /** Status and output of a program, without the directory it looked into. */
  const told = (directory: string, program: string, ...args: string[]): string => {
    const { status, stdout, stderr } = spawnSync(program, [...args, join(directory, 'x')], { encoding: 'utf8' });
    return `${status} ${stdout}${stderr}`.replaceAll(directory, '');
  };

  test('are those of the spool, projects too where it has them', async () => {
    const plain = spoolDirectory();
    const spool = await start();
    for (const directory of [plain, spool.mountPoint]) writeFileSync(join(directory, 'x'), 'text');
    const flags = ['lsattr', 'chattr +dA', 'lsattr', 'chattr -p 42', 'lsattr -p', 'chattr +T', 'chattr -A', 'lsattr'];
    for (const line of [...flags, 'chattr +i', 'rm -f', 'lsattr', 'truncate -s1', 'chattr -i', 'rm']) {
      const [program = '', ...args] = line.split(' ');
      expect(told(spool.mountPoint, program, ...args), line).toBe(told(plain, program, ...args));
    }
  });
});

describe.skipIf(!canMount)('the end of the daemon', () => {
  test('by SIGKILL: what was closed is there', async () => {
    const killed = await mountSpool();
    writeFileSync(join(killed.mountPoint, 'closed'), 'content');
    mkdirSync(join(killed.mountPoint, 'd'));
    renameSync(join(killed.mountPoint, 'closed'), join(killed.mountPoint, 'd/moved'));
    const fd = openSync(join(killed.mountPoint, 'open'), 'w');
    writeSync(fd, 'written');
    killed.mounted.child.kill('SIGKILL');
    await killed.mounted.exited;
    expect(() => writeSync(fd, 'more')).toThrow();
    expect(() => closeSync(fd)).toThrow();
    await killed.mounted.clear();
    const spool = await start(killed.directory);
    expect(readdirSync(spool.mountPoint).sort()).toEqual(['d', 'open']);
    expect(readFileSync(join(spool.mountPoint, 'd/moved'), 'utf8')).toBe('content');
    expect(readFileSync(join(spool.mountPoint, 'open'), 'utf8')).toBe('written');
  });
});

describe.skipIf(!canMount)('attributes of pbsfs', () => {
  test.skipIf(!hasAttr)('are kept, and programs neither see nor set them', async () => {
    const spool = await start();
    const fail = (...args: string[]): string => {
      try {
        return execFileSync(args[0] ?? '', args.slice(1), { encoding: 'utf8', stdio: 'pipe' });
      } catch (error) {
        return (error as { stderr: string }).stderr;
      }
    };
    spool.mounted.child.send({ command: 'set fact', name: 'clone', value: 'secret' });
    expect(await spool.mounted.ask('get fact', { name: 'clone' }, 'fact')).toMatchObject({ line: 'secret' });
    execFileSync('setfattr', ['-n', 'user.other', '-v', '1', spool.mountPoint]);
    expect(fail('getfattr', '--absolute-names', '-d', '-m', '-', spool.mountPoint)).toContain('user.other');
    expect(fail('getfattr', '-d', '-m', '-', spool.mountPoint)).not.toContain('pbsfs.');
    expect(fail('getfattr', '-n', 'user.pbsfs.clone', spool.mountPoint)).toContain('No such attribute');
    expect(fail('setfattr', '-n', 'user.pbsfs.clone', '-v', 'x', spool.mountPoint)).toContain('Operation not permitted');
    execFileSync('setfattr', ['-n', 'user.pbsfs.digest', '-v', 'of what it was copied from', spool.mountPoint]);
    expect(fail('getfattr', '-n', 'user.pbsfs.digest', spool.mountPoint)).toContain('No such attribute');
    expect(fail('setfattr', '-x', 'user.pbsfs.clone', spool.mountPoint)).toContain('Operation not permitted');
    spool.mounted.child.send({ command: 'set fact', name: 'clone' });
    expect(await spool.mounted.ask('get fact', { name: 'clone' }, 'fact')).toMatchObject({ line: 'undefined' });
  });
});

describe.skipIf(!canMount || !isPossible({ driver: 'epoll', uid: nobody }))('an ordinary user', () => {
  test('has files of his own, and cannot make those of others', { timeout: 100_000 }, async () => {
    const restore = await openDeviceForUsers();
    const spool = await mountSpool(spoolDirectory(nobody), { uid: nobody }).finally(restore);
    try {
      const script = `cd "$1"; exec 2>&1; umask 027
        mkdir d; printf content > d/f; chmod 400 d/f; cat d/f; stat -c ' %a %u %g %h' d d/f; ln d/f hard; ln -s d/f soft; mkfifo fifo
        cp -a d copy; printf more > d/g; chmod 000 d/g; rm -f d/g; (exec 3<> unlinked; rm unlinked; printf x >&3; chmod 600 d/f; cat soft)
        mknod null c 1 3; chown 0 d/f; chgrp 0 d/f; setfattr -n user.x -v 1 d/f; setfattr -n trusted.x -v 1 d/f; ls -A`;
      const user = { uid: nobody, gid: nobody, cwd: '/', env: { ...process.env, LC_ALL: 'C' } };
      const output = execFileSync('sh', ['-c', script, 'sh', spool.mountPoint], { ...user, encoding: 'utf8' });
      expect(output.split('\n')).toEqual([
        `content 750 ${nobody} ${nobody} 2`,
        ` 400 ${nobody} ${nobody} 1`,
        'contentmknod: null: Operation not permitted',
        "chown: changing ownership of 'd/f': Operation not permitted",
        "chgrp: changing group of 'd/f': Operation not permitted",
        'setfattr: d/f: Operation not permitted',
        'copy',
        'd',
        'fifo',
        'hard',
        'soft',
        '',
      ]);
      utimesSync(join(spool.directory, 'd/f'), 1, 1);
    } finally {
      await endSpool(spool);
    }
  });
});

describe.skipIf(!canMount || !canMake('tmpfs'))('attributes that no archive can hold', () => {
  test('are refused when they are set', async () => {
    const { mountPoint } = await start(mountedFileSystem('tmpfs', { megabytes: 8 }));
    const script = 'cd "$1"; touch file; mkdir directory; mkfifo fifo; ln -s file link; mknod null c 1 3';
    execFileSync('sh', ['-c', script, 'sh', mountPoint]);
    const s = loadSystemCalls();
    const set = (file: string, name: string, bytes = 1): unknown => s.lsetxattr(join(mountPoint, file), name, Buffer.alloc(bytes, 'x'), bytes, 0);
    expect(['link', 'fifo', 'null'].map((file) => set(file, 'trusted.a'))).toEqual(Array(3).fill('EOPNOTSUPP'));
    expect(['file', 'directory', 'link', 'fifo'].filter((file) => set(file, 'security.other') === 'EOPNOTSUPP')).toEqual([]);
    expect(['file', 'directory'].flatMap((file) => [set(file, 'trusted.a'), set(file, 'security.NTACL')])).toEqual([0, 0, 0, 0]);
    expect(set('file', `trusted.${'n'.repeat(247)}`, 65_536)).toBe('E2BIG');
    expect(set('file', `trusted.${'n'.repeat(246)}`, 65_536)).toBe(0);
  });
});

describe.skipIf(!canMount)('trusted attributes', () => {
  test('are listed to root only', async () => {
    const { mountPoint } = await start();
    const s = loadSystemCalls();
    for (const name of ['user.a', 'trusted.t']) s.lsetxattr(mountPoint, name, Buffer.from('1'), 1, 0);
    const list = (): unknown => s.llistxattr(mountPoint, Buffer.alloc(100), 100);
    expect([list(), s.as(nobody, nobody, list)]).toEqual(['user.a trusted.t '.length, 'user.a '.length]);
  });
});

describe.skipIf(!canMount)('a position in an open directory', () => {
  test('is that of the same entry after the first ones were removed, until the directory is rewound', async () => {
    const { mountPoint } = await start();
    const script = `
      chdir $ARGV[0] or die; for (10 .. 19) { open(my $f, '>', $_) or die; }
      opendir(my $d, '.') or die; my ($at, @names, @places) = (0);
      for (1 .. 12) { push @places, telldir $d; push @names, scalar readdir $d; }
      my @first = grep { /^1/ } @names[0 .. 6]; unlink(@first) == @first or die;
      for my $n (2, 9, 11) { seekdir($d, $places[$n]); print readdir $d eq $names[$n] ? 'same ' : 'other '; }
      rewinddir $d; print scalar(grep { /^1/ } readdir $d) + @first;`;
    expect(perl(script, mountPoint)).toBe('same same same 10');
  });
});
