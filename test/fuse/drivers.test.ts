/** The tree with everything in it, through each driver, read with system calls and with the programs that people use. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  closeSync,
  lstatSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  readdirSync,
  readlinkSync,
  rmSync,
  statfsSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { kernelDriver } from '../../src/fuse/kernel-driver.js';
import { nativeDriver } from '../../src/fuse/native-driver.js';
import type { Attributes, DirectoryEntry, Timestamp } from '../../src/vfs/file-system.js';
import {
  bigBytes,
  everythingTree,
  inodeFlags,
  manyEntries,
  oddNames,
  sparseBytes,
  sparseRanges,
} from '../support/everything-tree.js';
import { directoryType, patternPieces } from '../support/memory-file-system.js';
import {
  type MountedEverything,
  type StartOptions,
  hasProgram,
  isPossible,
  mountEverything,
  nobody,
  openDeviceForUsers,
} from '../support/mounted-everything.js';
import { seekInDirectory, segments } from '../support/perl.js';

const kinds: (StartOptions & { title: string })[] = [
  { title: 'kernel driver, root', driver: 'epoll', allowOther: true },
  {
    title: 'kernel driver, root, promises, another root number',
    driver: 'epoll',
    defaultPermissions: true,
    promises: true,
    root: 7,
  },
  { title: 'kernel driver, root, names without attributes, nothing believed', driver: 'epoll', plus: false, ttlMs: 0 },
  { title: 'kernel driver with pumps, root', driver: 'pumps', allowOther: true },
  { title: 'kernel driver, ordinary user', driver: 'epoll', uid: nobody, owner: nobody },
  { title: 'fuse-native, root', driver: 'fuse-native', allowOther: true },
  { title: 'fuse-native, root, promises', driver: 'fuse-native', promises: true },
  { title: 'fuse-native, ordinary user', driver: 'fuse-native', uid: nobody, owner: nobody },
];

const hasAttr = hasProgram('getfattr');
const hasAcl = hasProgram('getfacl');
const hasLsattr = hasProgram('lsattr');
const hasRsync = hasProgram('rsync');
const patternDigest = (length: number): string => {
  const hash = createHash('sha256');
  for (const piece of patternPieces(0, length)) hash.update(piece);
  return hash.digest('hex');
};

kinds.forEach(({ title, ...options }) =>
  describe.skipIf(!isPossible(options))(title, () => {
    /** Copying 20,000 files takes long, and one driver shows it. */
    const many = title === kinds[0]?.title ? ['many'] : [];
    const { capabilities } = options.driver === 'fuse-native' ? nativeDriver : kernelDriver;
    const { fileSystem } = everythingTree(options);
    const user = options.uid === undefined ? {} : { uid: options.uid, gid: options.uid };
    let mounted: MountedEverything;
    let restoreDevice: () => Promise<void> = () => Promise.resolve();

    beforeAll(async () => {
      if (options.uid !== undefined) restoreDevice = await openDeviceForUsers();
      mounted = await mountEverything(options);
    }, 600_000);
    afterAll(async () => {
      if (mounted.child.exitCode === null) {
        mounted.child.kill('SIGTERM');
        expect(await mounted.exited, JSON.stringify(mounted.messages)).toBe(0);
        expect(mounted.messages.filter(({ event }) => event === 'log')).toEqual([]);
        const ended = await mounted.message('ended').catch(() => undefined);
        expect(ended ?? { openFiles: 0, openDirectories: 0 }).toMatchObject({ openFiles: 0, openDirectories: 0 });
      }
      await mounted.clear();
      await restoreDevice();
    });

    /** Runs a program as the one who mounted, without a way to hang the test for ever. */
    const run = (program: string, ...args: string[]): Buffer =>
      execFileSync(program, args, {
        ...user,
        cwd: '/',
        timeout: 50_000,
        maxBuffer: 1 << 28,
        stdio: ['ignore', 'pipe', 'pipe'],
        env: { ...process.env, LC_ALL: 'C' },
      });
    /** What the test's own process looks at: only where it mounted for itself. */
    const ifRoot = options.uid === undefined ? test : undefined;
    const ifSeekHoles = capabilities.seekHoles ? test : undefined;
    const ifInodeFlags = capabilities.inodeFlags ? test : undefined;
    /** The target of this link cannot be told by every driver. */
    const unreadable = capabilities.nonUtf8Names ? [] : ['--exclude=link-of-bytes'];
    const at = (name: string): string => join(mounted.mountPoint, name);

    const nanoseconds = ({ sec, nsec }: Timestamp): bigint => {
      const exact = BigInt(sec) * 1_000_000_000n + BigInt(nsec);
      if (capabilities.nanoseconds) return exact;
      if (sec < 0 && !capabilities.timesBefore1970) return 0n;
      return (exact / 1_000_000n) * 1_000_000n;
    };

    const expectSame = (path: Buffer, attributes: Attributes): void => {
      const stat = lstatSync(path, { bigint: true });
      const { mode, nlink, uid, gid, size, blocks, rdevMajor, rdevMinor } = attributes;
      const ino = capabilities.inode64 ? BigInt(attributes.ino) : BigInt.asUintN(32, BigInt(attributes.ino));
      const rdev = (BigInt(rdevMajor) << 8n) | BigInt(rdevMinor & 0xff) | (BigInt(rdevMinor & ~0xff) << 12n);
      const times = [attributes.atime, attributes.mtime, attributes.ctime].map(nanoseconds);
      const told = [
        stat.ino,
        stat.mode,
        stat.nlink,
        stat.uid,
        stat.gid,
        stat.size,
        stat.blocks,
        stat.rdev,
        stat.atimeNs,
        stat.mtimeNs,
        stat.ctimeNs,
      ];
      const expected = [ino, mode, nlink, uid, gid, size, blocks, rdev, ...times];
      // One call of expect for each of 20,000 entries would take longer than all else.
      if (told.join() !== expected.join()) expect(told.map(Number), path.toString()).toEqual(expected.map(Number));
    };

    const expectSameTree = async (path: Buffer, ino: number): Promise<void> => {
      const directory = await fileSystem.openDirectory(ino);
      const entries: readonly DirectoryEntry[] = await directory.read(0, Infinity);
      const told = entries.filter(({ name }) => capabilities.nonUtf8Names || !name.includes(0xff));
      const names = readdirSync(path, { encoding: 'buffer' });
      expect(names.map((name) => name.toString('latin1')).sort()).toEqual(told.map(({ name }) => name.toString('latin1')).sort());
      for (const { name, ino: child, type } of told) {
        const childPath = Buffer.concat([path, Buffer.from('/'), name]);
        const entry = await fileSystem.getattr(child);
        expectSame(childPath, entry.attributes);
        if (type === directoryType) await expectSameTree(childPath, child);
      }
    };

    ifRoot?.('every attribute of every entry', async () => {
      expectSame(Buffer.from(mounted.mountPoint), (await fileSystem.getattr(fileSystem.root)).attributes);
      await expectSameTree(Buffer.from(mounted.mountPoint), fileSystem.root);
    });

    test('the mount table', () => {
      const line = readFileSync('/proc/self/mountinfo', 'utf8')
        .split('\n')
        .find((text) => text.includes(` ${mounted.mountPoint} `));
      expect(line).toMatch(/ ro,nosuid,nodev,.* - fuse.pbsfs memory:everything ro,/);
      expect(line?.includes('allow_other')).toBe(options.allowOther === true);
      expect(line?.includes('default_permissions')).toBe(options.allowOther === true || options.defaultPermissions === true);
    });

    test('find -ls of everything', () => {
      const lines = run('find', mounted.mountPoint, '-ls').toString('latin1').trim().split('\n');
      expect(lines.length).toBeGreaterThan(manyEntries + 40);
      expect(lines.find((line) => line.endsWith('/hello'))).toMatch(/ 1 -rw-r--r-- +1 \S+ +\S+ +12 Nov 14 +2023 /);
      expect(lines.find((line) => line.includes('/special/block'))).toMatch(/brw-rw---- +1 \S+ +\S+ +300, *70000 /);
    });

    test('a large file, sequentially and in pieces', () => {
      expect(
        createHash('sha256')
          .update(run('cat', at('big')))
          .digest('hex'),
      ).toBe(patternDigest(bigBytes));
      const tail = run('dd', `if=${at('big')}`, 'bs=4096', 'iflag=direct,skip_bytes', `skip=${4096 * 5000}`, 'status=none');
      expect(tail.equals(Buffer.concat(patternPieces(4096 * 5000, bigBytes - 4096 * 5000)))).toBe(true);
    });

    ifRoot?.('reads of any length at any offset', () => {
      const fd = openSync(at('big'), 'r');
      const seed = Date.now() & 0x7fffffff;
      let state = seed;
      const random = (below: number): number => {
        state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
        return Math.floor((state / 0x80000000) * below);
      };
      for (let i = 0; i < 300; i += 1) {
        const offset = random(bigBytes + 5000);
        const length = random(i % 10 === 0 ? 3_000_000 : 10_000);
        const buffer = Buffer.alloc(length);
        const got = readSync(fd, buffer, 0, length, offset);
        expect(got, `seed ${seed}`).toBe(Math.max(Math.min(length, bigBytes - offset), 0));
        expect(
          buffer.subarray(0, got).equals(Buffer.concat(patternPieces(offset, got))),
          `seed ${seed}: ${offset} + ${length}`,
        ).toBe(true);
      }
      closeSync(fd);
    });

    test('a file without a size is read to its end, a changing one anew at each open', async () => {
      const expected = options.driver === 'fuse-native' ? '' : 'a report\n';
      expect(run('cat', at('report')).toString()).toBe(expected);
      expect(run('cat', at('changing')).toString()).toBe('before');
      await mounted.ask('change', { text: 'behind' }, 'done');
      expect(run('cat', at('changing')).toString()).toBe('behind');
      await mounted.ask('change', { text: 'before' }, 'done');
    });

    test('20,000 entries: listing, and going on from any place', () => {
      const { all, again, fromStart } = seekInDirectory(at('many'), user);
      expect(all).toHaveLength(manyEntries + 2);
      expect(new Set(all).size).toBe(manyEntries + 2);
      expect(all.slice(0, 2)).toEqual(['.', '..']);
      expect(again).toEqual(all.slice(7777));
      expect(fromStart).toEqual(all);
    });

    test('d_ino and d_type are those of stat', async () => {
      // find believes d_type and ls -i believes d_ino; neither calls stat for these.
      expect(run('find', at('special'), '-type', 's').toString()).toBe(`${at('special/socket')}\n`);
      const inos = run('ls', '-i', at('hard'))
        .toString()
        .trim()
        .split('\n')
        .map((line) => line.trim().split(' ')[0]);
      const { attributes } = (await fileSystem.lookup(fileSystem.root, Buffer.from('hard'))) ?? expect.unreachable();
      const one = await fileSystem.lookup(attributes.ino, Buffer.from('one'));
      expect(inos).toEqual([String(one?.attributes.ino), String(one?.attributes.ino)]);
    });

    ifRoot?.('names of any bytes', () => {
      const directory = mounted.path('odd');
      const tellable = oddNames.filter((name) => capabilities.nonUtf8Names || !name.includes(0xff));
      expect(readdirSync(directory, { encoding: 'buffer' }).length).toBe(tellable.length);
      for (const name of tellable) {
        const path = Buffer.concat([directory, Buffer.from('/'), name]);
        expect(readFileSync(path, 'utf8')).toBe(`odd ${oddNames.indexOf(name)}\n`);
      }
      expect(() => lstatSync(Buffer.concat([directory, Buffer.from('/'), Buffer.alloc(256, 'n')]))).toThrow(
        options.driver === 'fuse-native' ? /ENOENT/ : /ENAMETOOLONG/,
      );
      expect(() => lstatSync(Buffer.concat([directory, Buffer.from('/'), Buffer.from([0xff])]))).toThrow(/ENOENT/);
    });

    ifRoot?.('link targets', () => {
      expect(readlinkSync(at('special/link'))).toBe('../hello');
      expect(readFileSync(at('special/link'), 'utf8')).toBe('Hello world\n');
      expect(readlinkSync(at('special/link-long'))).toBe('x'.repeat(4000));
      if (capabilities.nonUtf8Names) {
        expect(readlinkSync(at('special/link-of-bytes'), { encoding: 'buffer' })).toEqual(Buffer.from([0x2f, 0xff, 0x41]));
      } else {
        expect(() => readlinkSync(at('special/link-of-bytes'))).toThrow(/EILSEQ/);
      }
    });

    ifSeekHoles?.('holes', () => {
      expect(segments(at('sparse'), user)).toEqual(sparseRanges.map(({ start, end }) => [start, end]));
      expect(segments(at('all-hole'), user)).toEqual([]);
      expect(segments(at('hello'), user)).toEqual([[0, 12]]);
    });

    test('a sparse file of 1 TiB', () => {
      expect(run('stat', '-c', '%s %b', at('sparse')).toString().trim()).toBe(`${sparseBytes} 24`);
      const middle = run('dd', `if=${at('sparse')}`, 'bs=4096', `skip=${(512 * 2 ** 30) / 4096 - 1}`, 'count=3', 'status=none');
      expect(middle.subarray(0, 4096).equals(Buffer.alloc(4096))).toBe(true);
      expect(middle.subarray(4096).equals(Buffer.concat(patternPieces(512 * 2 ** 30, 8192)))).toBe(true);
    });

    ifSeekHoles?.('cp of a sparse file of 1 TiB copies what is data', () => {
      const target = mkdtempSync(join(tmpdir(), 'pbsfs-copy-'));
      try {
        execFileSync('chmod', ['777', target]);
        run('cp', '--sparse=auto', at('sparse'), target);
        expect(lstatSync(join(target, 'sparse')).size).toBe(sparseBytes);
        expect(segments(join(target, 'sparse'))).toEqual(sparseRanges.map(({ start, end }) => [start, end]));
      } finally {
        rmSync(target, { recursive: true });
      }
    });

    test.runIf(hasAttr)('extended attributes', () => {
      const get = (name: string): Buffer =>
        run('getfattr', '--absolute-names', '--only-values', '-n', name, at('attributes/xattrs'));
      expect(get('user.empty')).toEqual(Buffer.alloc(0));
      expect(get('user.one')).toEqual(Buffer.from('1'));
      expect(get('user.large').equals(Buffer.concat(patternPieces(0, 65536)))).toBe(true);
      expect(() => get('user.absent')).toThrow(/No such attribute/);
      const names = run('getfattr', '--absolute-names', '-d', '-e', 'hex', '-m', '-', at('attributes/xattrs')).toString('latin1');
      expect(names).toContain('user.empty=');
      expect(names.split('\n').filter((line) => line.includes('='))).toHaveLength(capabilities.nonUtf8Names ? 4 : 3);
      expect(run('getfattr', '--absolute-names', '-m', '-', at('hello')).toString()).toBe('');
      if (options.uid === undefined) {
        const capability = run(
          'getfattr',
          '--absolute-names',
          '-e',
          'hex',
          '-n',
          'security.capability',
          at('attributes/capability'),
        ).toString();
        expect(capability).toContain('0x0100000200200000000000000000000000000000');
      }
    });

    test('an attribute larger than the room for it is ERANGE', () => {
      const number = ({ x64: 191, arm64: 8 } as Partial<Record<string, number>>)[process.arch];
      if (number === undefined) throw new Error(`the number of getxattr is not known for ${process.arch}`);
      const script =
        'my $v = "x" x 100; my $n = syscall($ARGV[0] + 0, $ARGV[1], $ARGV[2], $v, $ARGV[3] + 0); print "$n ", $! + 0';
      const get = (name: string, room: number): string =>
        run('perl', '-e', script, String(number), at('attributes/xattrs'), name, String(room)).toString();
      expect(get('user.large', 100)).toBe('-1 34');
      expect(get('user.one', 100)).toMatch(/^1 /);
      expect(get('user.large', 0)).toMatch(/^65536 /);
    });

    test.runIf(hasAcl)('POSIX ACLs', () => {
      const acl = run('getfacl', '--absolute-names', '-n', at('attributes/acl')).toString();
      expect(acl).toContain('user:65534:r--');
      expect(acl).toContain('mask::r--');
      expect(run('getfacl', '--absolute-names', at('attributes/acl-inherited')).toString()).toContain('default:user::rwx');
    });

    ifInodeFlags?.runIf(hasLsattr)('inode flags', () => {
      const lines = run('lsattr', '-p', at('attributes/flags')).toString().trim().split(/\s+/);
      expect(lines[0]).toBe(String(inodeFlags.projectId));
      expect(
        [...(lines[1] ?? '')]
          .filter((letter) => letter !== '-')
          .sort()
          .join(''),
      ).toBe('Adi');
      const directory = run('lsattr', '-dp', at('attributes/flags-directory')).toString().trim().split(/\s+/);
      expect(directory.slice(0, 2).map((word) => word.replaceAll('-', ''))).toEqual(['78', 'P']);
      expect(run('lsattr', at('hello')).toString()).toMatch(/^-+ /);
    });

    ifInodeFlags?.('ioctl requests', () => {
      const script = `open(my $f, '<', $ARGV[0]) or die $!;
      for my $request (0x80086601, 0x80047210, 0x801c581f, 0x5401) {
        my $out = "\\0" x 64;
        my $status = ioctl($f, $request, $out);
        print defined($status) ? unpack('H56', $out) : 'error ' . ($! + 0), "\\n";
      }`;
      const [flags, fat, extended, terminal] = run('perl', '-e', script, at('attributes/flags')).toString().split('\n');
      expect(flags?.slice(0, 8)).toBe('d0000000');
      expect(fat?.slice(0, 8)).toBe('21000000');
      expect(extended).toBe(`c8000000${'00'.repeat(8)}4d000000${'00'.repeat(12)}`);
      expect(terminal).toBe('error 25');
    });

    ifRoot?.('statfs', () => {
      const { type, bsize, blocks, bfree, bavail, files } = statfsSync(mounted.mountPoint);
      expect({ type, bytes: bsize * blocks, files: files > manyEntries }).toEqual({
        type: 0x65735546,
        bytes: 2 ** 33 * 4096,
        files: true,
      });
      expect(bavail).toBe(bfree);
      expect(run('df', mounted.mountPoint).toString()).toContain('memory:everything');
    });

    test('tar, twice the same', () => {
      const archive = (): string =>
        createHash('sha256')
          .update(
            run(
              'tar',
              'cf',
              '-',
              ...unreadable,
              '--exclude=sparse',
              '--exclude=slow*',
              '--exclude=report',
              '--exclude=private*',
              '--exclude=acl',
              ...(many.length === 0 ? ['--exclude=many'] : []),
              '-C',
              mounted.mountPoint,
              '.',
            ),
          )
          .digest('hex');
      expect(archive()).toBe(archive());
    });

    ifRoot?.('cp -a is the same tree', () => {
      const target = mkdtempSync(join(tmpdir(), 'pbsfs-copy-'));
      try {
        for (const name of ['hello', 'big', 'odd', 'hard', ...many]) run('cp', '-a', at(name), target);
        if (capabilities.nonUtf8Names) run('cp', '-a', at('special'), target);
        else
          run(
            '/bin/sh',
            '-c',
            'mkdir "$2/special" && cd "$1/special" && cp -a [!l]* link "$2/special"',
            'sh',
            mounted.mountPoint,
            target,
          );
        for (const name of ['hello', 'big', 'odd', 'hard', ...many])
          run('diff', '-r', '--no-dereference', at(name), join(target, name));
        const listing = (root: string): string =>
          run(
            'find',
            join(root, 'special'),
            join(root, 'hard'),
            '-mindepth',
            '1',
            '!',
            '-name',
            'link-*',
            '-printf',
            '%P %y %m %U %G %T@ %l %n\n',
          )
            .toString('latin1')
            .split('\n')
            .sort()
            .join('\n');
        expect(listing(target)).toBe(listing(mounted.mountPoint));
      } finally {
        rmSync(target, { recursive: true });
      }
    });

    ifRoot?.runIf(hasRsync)('rsync -aAXH out of the mount compares clean', () => {
      const target = mkdtempSync(join(tmpdir(), 'pbsfs-copy-'));
      const acl = capabilities.timesBefore1970 ? [] : ['--exclude=old'];
      const args = [
        '-aAXH',
        ...unreadable,
        ...acl,
        '--exclude=sparse',
        '--exclude=slow*',
        '--exclude=many',
        '--exclude=report',
        '--exclude=future',
        '--exclude=user.large',
      ];
      try {
        // Not every file system can hold the largest attributes: those are read by getfattr above.
        const more = ['--exclude=xattrs', `${mounted.mountPoint}/`, `${target}/`];
        run('rsync', ...args, ...more);
        expect(run('rsync', '--itemize-changes', '--checksum', '--dry-run', '--delete', ...args, ...more).toString()).toBe('');
      } finally {
        rmSync(target, { recursive: true });
      }
    });

    test('no way to write', () => {
      for (const script of [
        'echo x > "$1/new"',
        'mkdir "$1/new"',
        'rm "$1/hello"',
        'mv "$1/hello" "$1/other"',
        'ln "$1/hello" "$1/other"',
        'touch "$1/hello"',
        'echo x >> "$1/hello"',
        'chmod 777 "$1/hello"',
      ]) {
        expect(() => run('/bin/sh', '-c', script, 'sh', mounted.mountPoint), script).toThrow(/Read-only file system/);
      }
    });

    test('a handler that fails is EIO, and the mount goes on', async () => {
      for (const how of ['throw', 'reject']) {
        await mounted.ask('break', { how }, 'done');
        expect(() => run('dd', `if=${at('cached')}`, 'iflag=direct', 'status=none')).toThrow(/Input\/output error/);
        expect((await mounted.message('log')).line).toContain('broken on purpose');
      }
      await mounted.ask('break', { how: '' }, 'done');
      expect(run('cat', at('cached')).toString()).toBe('before');
    });

    (capabilities.invalidation ? test : undefined)?.('the kernel is told what is old', async () => {
      expect(run('cat', at('cached')).toString()).toBe('before');
      await mounted.ask('change', { text: 'something else' }, 'done');
      await expect.poll(() => run('cat', at('cached')).toString()).toBe('something else');
      expect(run('stat', '-c', '%s', at('cached')).toString()).toBe('14\n');
      expect(run('cat', at('empty')).toString()).toBe('');
      await mounted.ask('remove', {}, 'done');
      await expect.poll(() => run('ls', mounted.mountPoint).toString()).toContain('appeared');
      await expect
        .poll(() => run('/bin/sh', '-c', 'cat "$1" 2>&1 || true', 'sh', at('empty')).toString())
        .toContain('No such file');
      expect(run('cat', at('appeared')).toString()).toBe('new\n');
    });
  }),
);
