/** Archives of real directories: everything in them comes out as it was, and what cannot be had is told. */
import { execFileSync, spawn } from 'node:child_process';
import { appendFileSync, chmodSync, closeSync, mkdirSync, openSync, readdirSync, symlinkSync, truncateSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { fileSystemOf } from '../../src/backup/source-file-system.js';
import { placesOf } from '../support/archives.js';
import { ArchiveMaker, describeArchive, describeTree, type MadeTree } from '../support/archived-trees.js';
import { canMake, mountedFileSystem } from '../support/file-systems.js';
import { makeOddTree } from '../support/odd-trees.js';
import { noise, Random, seed } from '../support/random.js';
import { scratchDirectory } from '../support/scratch.js';
import { newShelf } from '../support/streams.js';

/** Of the built program, for other processes. */
const distPath = (path: string): string => fileURLToPath(new URL(`../../dist/${path}`, import.meta.url));

const maker = new ArchiveMaker(newShelf());

describe(`odd trees (seed ${seed})`, () => {
  test.each([0, 1, 2, 3])('come out as they were, %i', async (n) => {
    const root = scratchDirectory();
    makeOddTree(root, new Random(seed + n));
    const expected = describeTree(root);
    for (const format of ['legacy', 'split'] as const) {
      const made = await maker.make(root, { format });
      expect(made.warnings).toEqual([]);
      const archived = describeArchive(made);
      expect(archived).toEqual(expected);
      expect([...archived.keys()]).toEqual([...expected.keys()]);
    }
  });
});

const pathsOf = (made: MadeTree): string[] => [...describeArchive(made, { attributes: false }).keys()];

/** A small tree of sketches: a string is a file's content. */
interface Sketch {
  readonly [name: string]: string | Sketch;
}

function plant(root: string, sketch: Sketch): string {
  for (const [name, value] of Object.entries(sketch)) {
    if (typeof value === 'string') {
      writeFileSync(join(root, name), value);
    } else {
      mkdirSync(join(root, name));
      plant(join(root, name), value);
    }
  }
  return root;
}

describe('what is excluded', () => {
  const sketch: Sketch = {
    '.pxarexclude': '# comment\n*.o\n/only-root\r\n!keep.o\nbad[\ndir/\n',
    '.pxarexclude-cli': 'an old one',
    'a.o': '', 'keep.o': '', 'only-root': '', 'lost+found': { x: '' }, 'x.tmp': '', 'z~': '',
    dir: { '.pxarexclude': '!/../*.o', y: '' },
    sub: { '.pxarexclude': '/x/y\nlocal', 'only-root': '', 'b.o': '', dir: '', local: '', x: { y: '', z: '' } },
    t: { local: '' },
  };

  test('is not in a legacy archive, whose last entry is what the command line said', async () => {
    const root = plant(scratchDirectory(), sketch);
    const made = await maker.make(root, { format: 'legacy', excludes: [Buffer.from('*.tmp'), Buffer.from('!keep.tmp'), Buffer.from('z[!a]')], skipLostAndFound: true });
    expect(pathsOf(made)).toEqual(['', '.pxarexclude', 'keep.o', 'sub', 'sub/.pxarexclude', 'sub/dir', 'sub/only-root', 'sub/x', 'sub/x/z', 't', 't/local', 'z~', '.pxarexclude-cli']);
    expect(made.warnings).toEqual([expect.stringContaining("'[!'"), expect.stringContaining('bad[')]);
    const last = placesOf(made.meta).find(({ path }) => path === '.pxarexclude-cli');
    const { content, metadata } = last?.event.entry ?? {};
    expect(metadata).toMatchObject({ mode: 0o100600, mtime: { sec: 0, nsec: 0 }, uid: 0, gid: 0 });
    const end = last?.event.endPosition ?? 0;
    expect(made.meta.toString('latin1', end - (content?.size ?? 0), end)).toBe('*.tmp\n!keep.tmp\nz[!a]\nlost+found\n');
    expect(made.catalog.includes('.pxarexclude-cli')).toBe(true);
  });

  test.each(['legacy', 'split'] as const)('is nothing of a spool, in which files of patterns are files like others: %s', async (format) => {
    const root = plant(scratchDirectory(), sketch);
    const made = await maker.make(root, { format, isSpool: true });
    expect(pathsOf(made)).toEqual(expect.arrayContaining(['.pxarexclude', '.pxarexclude-cli', 'a.o', 'only-root', 'sub/local']));
    expect(describeArchive(made)).toEqual(describeTree(root));
  });

  test('is in the prelude of a split archive', async () => {
    const root = plant(scratchDirectory(), sketch);
    const made = await maker.make(root, { excludes: [Buffer.from('*.bak')], skipLostAndFound: true });
    expect(pathsOf(made)).not.toContain('.pxarexclude-cli');
    expect(made.meta.includes('{"exclude-patterns":"*.bak\\nlost+found\\n"}')).toBe(true);
    const without = await maker.make(root);
    expect(without.meta.includes('exclude-patterns')).toBe(false);
  });

  test('is refused if it makes no sense', async () => {
    const root = scratchDirectory();
    await expect(maker.make(root, { excludes: [Buffer.from('a[')] })).rejects.toMatchObject({ code: 'USAGE' });
    await expect(maker.make(root, { excludes: [Buffer.from([0xff])] })).rejects.toMatchObject({ code: 'USAGE' });
    await expect(maker.make(root, { excludes: [Buffer.from([0xff])], format: 'legacy' })).resolves.toBeDefined();
    await expect(maker.make(root, { allFileSystems: true, includeDevices: ['/'] })).rejects.toMatchObject({ code: 'USAGE' });
  });

  test('a directory that is excluded is not looked into', async () => {
    const root = plant(scratchDirectory(), { d: { x: '' }, e: '' });
    expect(pathsOf(await maker.make(root, { excludes: [Buffer.from('!/d/x'), Buffer.from('/d')] }))).toEqual(['', 'e']);
    expect(pathsOf(await maker.make(root, { excludes: [Buffer.from('e/')] }))).toEqual(['', 'd', 'd/x', 'e']);
  });
});

describe('file systems', () => {
  test('other ones are left out, but for their own entry', async () => {
    const root = plant(scratchDirectory(), { a: '', m: {}, p: {} });
    execFileSync('mount', ['-t', 'tmpfs', 'tmpfs', join(root, 'm')]);
    execFileSync('mount', ['-t', 'proc', 'proc', join(root, 'p')]);
    try {
      writeFileSync(join(root, 'm', 'inside'), 'x');
      expect(pathsOf(await maker.make(root))).toEqual(['', 'a', 'm', 'p']);
      expect(pathsOf(await maker.make(root, { allFileSystems: true }))).toEqual(['', 'a', 'm', 'm/inside', 'p']);
      expect(pathsOf(await maker.make(root, { includeDevices: [join(root, 'm')] }))).toEqual(['', 'a', 'm', 'm/inside', 'p']);
      await expect(maker.make(join(root, 'p'))).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    } finally {
      execFileSync('umount', [join(root, 'm'), join(root, 'p')]);
    }
  });

  test('are known by their magic numbers', () => {
    const { xattrs, acls, fileCapabilities, projects, virtual } = fileSystemOf(0xef53);
    expect([xattrs, acls, fileCapabilities, projects, virtual]).toEqual([true, true, true, true, false]);
    expect(fileSystemOf(0x9123683e)).toMatchObject({ xattrs: true, projects: false });
    expect(fileSystemOf(0x4d44)).toMatchObject({ xattrs: false, acls: false, fileCapabilities: false, fatAttributes: true });
    expect(fileSystemOf(0x65735546)).toMatchObject({ xattrs: true, acls: false, fileCapabilities: false, fatAttributes: true });
    expect(fileSystemOf(0x01021994)).toMatchObject({ xattrs: false, virtual: false });
    expect(fileSystemOf(0x9fa0).virtual).toBe(true);
  });

  test('of memory have no xattrs in archives', async () => {
    const root = mountedFileSystem('tmpfs', { megabytes: 1 });
    writeFileSync(join(root, 'a'), 'x');
    execFileSync('setfattr', ['-n', 'trusted.x', '-v', 'y', join(root, 'a')]);
    const made = await maker.make(root);
    expect(describeArchive(made).get('a')).toMatchObject({ xattrs: {} });
    expect(made.warnings).toEqual([]);
  });

  test.skipIf(!canMake('vfat'))('of DOS have its attributes', async () => {
    const root = mountedFileSystem('vfat', { megabytes: 8 });
    writeFileSync(join(root, 'a'), 'x');
    const flags = placesOf((await maker.make(root)).meta).map(({ path, event: { entry } }) => [path, entry.metadata?.flags.lo]);
    expect(flags).toEqual([['', 0], ['a', 0x8000]]);
  });
});

describe('what cannot be archived', () => {
  test('a source that is no directory, or not there', async () => {
    const root = plant(scratchDirectory(), { f: '' });
    await expect(maker.make(join(root, 'f'))).rejects.toMatchObject({ code: 'NOT_A_DIRECTORY' });
    await expect(maker.make(join(root, 'none'))).rejects.toMatchObject({ code: 'ENOENT' });
    symlinkSync(root, join(root, 'link'));
    expect(pathsOf(await maker.make(join(root, 'link')))).toEqual(['', 'f', 'link']);
  });

  test('too many entries along a path; those of directories that were left do not count', async () => {
    const root = plant(scratchDirectory(), { a: { x: '', y: '' }, b: { x: '', y: '' } });
    await expect(maker.make(root, { entriesMax: 4 })).resolves.toBeDefined();
    await expect(maker.make(root, { entriesMax: 3 })).rejects.toMatchObject({ code: 'LIMIT_EXCEEDED', message: expect.stringContaining('--entries-max') as string });
  });

  test('what may not be read stops it, or is left out if asked for', () => {
    const root = plant(scratchDirectory(), { d: { x: '' }, f: 'x', g: 'y' });
    chmodSync(join(root, 'd'), 0);
    chmodSync(join(root, 'f'), 0);
    const script = `
      import { archiveTree } from ${JSON.stringify(distPath('backup/tree-archiver.js'))};
      process.setgroups([]); process.setgid(65534); process.setuid(65534);
      const stream = () => ({ position: 0, room() {}, space: (n) => Buffer.alloc(n), write(b) { this.position += b.length; }, suggest() {}, inject() {} });
      for (const skipUnreadable of [false, true]) {
        const lines = [];
        const options = { source: ${JSON.stringify(root)}, format: 'split', meta: stream(), payload: stream(), archiveName: 'a.mpxar.didx', excludes: [], skipLostAndFound: false,
          allFileSystems: false, includeDevices: [], skipUnreadable, skipE2bigXattr: false, entriesMax: 100, warn: (line) => lines.push(line), progress() {}, signal: new AbortController().signal };
        try { console.log(JSON.stringify([await archiveTree(options), lines])); } catch (error) { console.log(JSON.stringify([error.code, error.message])); }
      }`;
    const output = execFileSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' }).trim().split('\n').map((line) => JSON.parse(line) as unknown[]);
    expect(output[0]).toEqual(['EACCES', expect.stringMatching(/^\/d: .*--skip-unreadable/)]);
    expect(output[1]).toEqual([expect.objectContaining({ files: 1, warnings: 2 }), [expect.stringMatching(/^\/d is left out/), expect.stringMatching(/^\/f is left out/)]]);
  });

  test('an xattr that is too large, unless asked for', async () => {
    if (!canMake('xfs')) return;
    const root = mountedFileSystem('xfs', { megabytes: 320 });
    const name = `user.${'n'.repeat(250)}`;
    writeFileSync(join(root, 'a'), 'x');
    writeFileSync(join(root, 'b'), 'x');
    execFileSync('perl', ['-e', 'my ($p, $n) = @ARGV; my $v = "v" x 65536; syscall(188, $p, $n, $v, length($v), 0) == 0 or die $!', join(root, 'a'), name]);
    await expect(maker.make(root)).rejects.toMatchObject({ code: 'LIMIT_EXCEEDED', message: expect.stringContaining('/a') as string });
    const made = await maker.make(root, { skipE2bigXattr: true });
    expect(made.warnings).toHaveLength(1);
    expect(pathsOf(made)).toEqual(['', 'a', 'b']);
  });

  test('an interrupted one', async () => {
    const root = scratchDirectory();
    for (let n = 0; n < 2000; n += 1) writeFileSync(join(root, String(n)), 'x');
    const controller = new AbortController();
    const made = maker.make(root, { signal: controller.signal });
    controller.abort();
    await expect(made).rejects.toMatchObject({ code: 'INTERRUPTED' });
  });
});

describe('deep trees', () => {
  test('need no more descriptors and paths than shallow ones', async () => {
    const root = scratchDirectory();
    const depth = 1200;
    const name = 'a-name-that-makes-paths-long';
    const script = `my ($root, $name, $depth) = @ARGV; chdir $root or die; for (1 .. $depth) { open(my $f, '>', 'file') or die $!; print $f $_; close $f; mkdir $name or die $!; chdir $name or die $! }`;
    execFileSync('perl', ['-e', script, root, name, String(depth)]);
    try {
      const before = readdirSync('/proc/self/fd').length;
      let most = 0;
      const made = await maker.make(root, { onRoom: () => (most = Math.max(most, readdirSync('/proc/self/fd').length)) });
      expect(made.summary).toMatchObject({ files: depth, directories: depth + 1, warnings: 0 });
      expect(most - before).toBeLessThan(250);
      expect(readdirSync('/proc/self/fd').length).toBeLessThanOrEqual(before);
      const again = await maker.make(root, { reference: await maker.reference(made) });
      expect(again.summary).toMatchObject({ filesReused: depth, bytesRead: 0, warnings: 0 });
      expect(placesOf(again.meta).map(({ path }) => path)).toEqual(placesOf(made.meta).map(({ path }) => path));
    } finally {
      execFileSync('perl', ['-e', 'use File::Path qw(remove_tree); remove_tree($ARGV[0], { keep_root => 1 })', root]);
    }
  }, 60_000);
});

describe('sources that change', () => {
  const mebibyte = 1 << 20;
  const big = 9 * mebibyte + 17;

  test.each([['small', 50_000], ['large', big]] as const)('a %s file that shrinks, or grows, while it is read', async (_, bytes) => {
    const root = scratchDirectory();
    const content = noise('change', bytes);
    writeFileSync(join(root, 'f'), content);
    const shrunk = await maker.make(root, { onRoom: once((position) => position > 0, () => truncateSync(join(root, 'f'), 30_000)) });
    expect(shrunk.warnings).toEqual([expect.stringMatching(/^\/f shrank/)]);
    expect(shrunk.payload.subarray(32, 32 + bytes).equals(Buffer.concat([content.subarray(0, 30_000)], bytes))).toBe(true);
    writeFileSync(join(root, 'f'), content);
    const grown = await maker.make(root, { onRoom: once((position) => position > 0, () => appendFileSync(join(root, 'f'), 'more')) });
    expect(grown.warnings).toEqual([expect.stringMatching(/^\/f grew/)]);
    expect(grown.payload.subarray(32, 32 + bytes).equals(content)).toBe(true);
    expect(grown.payload.length).toBe(bytes + 48);
  });

  test('a sparse file has its holes filled with zeros', async () => {
    const root = scratchDirectory();
    const content = Buffer.alloc(20 * mebibyte + 5);
    noise('a', 70_000).copy(content, 5 * mebibyte + 100);
    noise('b', 3000).copy(content, 13 * mebibyte);
    writeFileSync(join(root, 'f'), '');
    truncateSync(join(root, 'f'), content.length);
    for (const [at, bytes] of [[5 * mebibyte + 100, 70_000], [13 * mebibyte, 3000]] as const) {
      const fd = openSync(join(root, 'f'), 'r+');
      writeSync(fd, content, at, bytes, at);
      closeSync(fd);
    }
    const made = await maker.make(root);
    expect(made.payload.subarray(32, 32 + content.length).equals(content)).toBe(true);
  });

  test('whatever another process does meanwhile, the archive is whole', async () => {
    const root = scratchDirectory();
    const script = `
      my ($root) = @ARGV; chdir $root or die; $| = 1; print "ready\\n"; srand(1);
      while (getppid() != 1) {
        my $n = int(rand(30)); my $m = int(rand(30)); my $k = int(rand(8));
        if ($k == 0) { open(my $f, '>', "f$n"); print $f 'x' x rand(100000); } elsif ($k == 1) { truncate("f$n", rand(1000)) } elsif ($k == 2) { rename("f$n", "f$m") }
        elsif ($k == 3) { unlink "f$n"; symlink('x', "f$n") } elsif ($k == 4) { mkdir "f$n" } elsif ($k == 5) { unlink "f$n"; rmdir "f$n" }
        elsif ($k == 6) { link("f$n", "f$m") } else { open(my $f, '>>', "f$n"); print $f 'y' x 5000 }
      }`;
    const child = spawn('perl', ['-e', script, root], { stdio: ['ignore', 'pipe', 'inherit'] });
    try {
      await new Promise((resolve) => child.stdout.once('data', resolve));
      let made: MadeTree | undefined;
      for (let n = 0; n < 40; n += 1) {
        // Each on top of the one before, which is of another moment.
        const reference = made === undefined || n % 5 === 0 ? undefined : await maker.reference(made);
        made = await maker.make(root, { reference, format: n % 4 === 3 ? 'legacy' : 'split' });
        describeArchive(made);
        if (n % 4 === 3) made = undefined;
      }
    } finally {
      child.kill('SIGKILL');
    }
  });
});

function once(when: (position: number) => boolean, action: () => void): (position: number) => void {
  let done = false;
  return (position) => {
    if (done || !when(position)) return;
    done = true;
    action();
  };
}

test('a hard link to a path that is too long is a file of its own', async () => {
  const root = scratchDirectory();
  const script = `my ($root) = @ARGV; chdir $root or die; open(my $f, '>', 'x'); close $f; for (1 .. 20) { mkdir 'd' x 250 or die $!; chdir 'd' x 250 or die } link("$root/x", 'x') or die $!; link("$root/x", 'y') or die $!; unlink "$root/x"; print 1;`;
  execFileSync('perl', ['-e', script, root]);
  const made = await maker.make(root);
  expect(made.warnings).toEqual([expect.stringContaining('too long')]);
  expect(made.summary.files).toBe(2);
  const again = await maker.make(root, { reference: await maker.reference(made) });
  expect(again.summary).toMatchObject({ files: 2, others: 0 });
  execFileSync('perl', ['-e', 'use File::Path qw(remove_tree); remove_tree($ARGV[0], { keep_root => 1 })', root]);
});
