/**
 * Random changes of names, files and attributes, done in the same way to a mounted spool and to a plain directory of the same file system:
 * each call has the same result, and the trees are the same in the end, also after the spool was mounted anew.
 */
import { execFileSync } from 'node:child_process';
import {
  type Stats,
  closeSync,
  constants as fsConstants,
  fstatSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  readdirSync,
  readlinkSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { canMount, nobody } from '../../support/mounted-everything.js';
import { Random, seed } from '../../support/random.js';
import { scratchDirectory } from '../../support/scratch.js';
import { loadSystemCalls, timesOf } from '../../support/system-calls.js';
import { type MountedSpool, endSpool, forgetAll, mountSpool, statistics } from './spool-mount.js';
import { treeDigest, treeListing } from './tree-digest.js';

const operations = 30_000;
const { O_APPEND, O_CREAT, O_DIRECTORY, O_EXCL, O_NONBLOCK, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY } = fsConstants;
const O_TMPFILE = 0o20000000 | O_DIRECTORY;
const AT_FDCWD = -100;
const names = ['a', 'b', 'c', 'd', 'e', 'f', `${'n'.repeat(251)}\u00e9x0`.slice(0, 253), '.hidden'];
const modes = [0o644, 0o600, 0o755, 0o4755, 0o2755, 0o1777, 0o666, 0o777, 0o000];
const openFilesMax = 40;

type Result = unknown;

/** A descriptor in each of the two trees. */
interface Pair {
  readonly mounted: number;
  readonly plain: number;
  readonly isDirectory: boolean;
}

/** The value, or the name of the error. */
function outcome(run: () => Result): Result {
  try {
    return run();
  } catch (error) {
    const { code } = error as { code?: string };
    if (code === undefined) throw error;
    return code;
  }
}

/** Sizes of directories are those of their own file system, and not of interest. */
function facts({ mode, nlink, uid, gid, size, rdev }: Stats): Result {
  return { mode, nlink, uid, gid, rdev, size: (mode & 0o170000) === 0o040000 ? 0 : size };
}

/** What is there may be a fifo. */
function writeWithoutWaiting(path: string, bytes: Buffer): number {
  const fd = openSync(path, O_CREAT | O_TRUNC | O_WRONLY | O_NONBLOCK, 0o666);
  try {
    return writeSync(fd, bytes);
  } finally {
    closeSync(fd);
  }
}

describe.skipIf(!canMount)(`seed ${seed}`, () => {
  const s = loadSystemCalls();
  const random = new Random(seed);
  const plain = join(scratchDirectory(), 'plain');
  const open: Pair[] = [];
  let spool: MountedSpool;
  let done = 0;

  beforeAll(async () => {
    s.umask(0o022);
    mkdirSync(plain);
    spool = await mountSpool();
  });
  afterAll(async () => {
    await endSpool(spool);
    rmSync(plain, { recursive: true });
  });

  const where = (): string => {
    const depth = 1 + random.below(random.below(4) === 0 ? 6 : 3);
    return Array.from({ length: depth }, () => random.pick(names)).join('/');
  };

  /** Does the same in both trees, and compares. */
  const both = (title: string, run: (root: string, which: 'mounted' | 'plain') => Result): void => {
    done += 1;
    const results = [run(spool.mountPoint, 'mounted'), run(plain, 'plain')];
    expect(results[0], `operation ${done}: ${title}`).toEqual(results[1]);
  };

  const keepOpen = (path: string, flags: number, mode: number): void => {
    const fds: Partial<Record<'mounted' | 'plain', number>> = {};
    both(`open ${path} ${flags.toString(8)} ${mode.toString(8)}`, (root, which) => {
      const fd = s.open(join(root, path), flags | O_NONBLOCK, mode);
      if (typeof fd !== 'number') return fd;
      fds[which] = fd;
      return 'open';
    });
    if (fds.mounted === undefined || fds.plain === undefined) return;
    open.push({ mounted: fds.mounted, plain: fds.plain, isDirectory: (flags & O_DIRECTORY) !== 0 });
    if (open.length > openFilesMax) closeOne(random.below(open.length));
  };

  const closeOne = (at: number): void => {
    const [pair] = open.splice(at, 1);
    if (pair !== undefined) both('close', (_, which) => s.close(pair[which]));
  };

  /** A place, by its path or in a directory that is open and may have been moved or removed. */
  const place = (): ((root: string, which: 'mounted' | 'plain') => string) => {
    const directories = open.filter(({ isDirectory }) => isDirectory);
    if (directories.length > 0 && random.below(4) === 0) {
      const pair = random.pick(directories);
      const name = random.pick(names);
      return (_, which) => `/proc/self/fd/${pair[which]}/${name}`;
    }
    const path = where();
    return (root) => join(root, path);
  };

  const change = (): void => {
    const [one, two] = [place(), place()];
    const mode = random.pick(modes);
    const bytes = Buffer.from(`${done}`.repeat(1 + random.below(3000)));
    // Never upwards: out of the trees.
    const target = `${random.pick(names)}/${random.pick(names)}`;
    const kind = random.below(31);
    const asUser = random.below(5) === 0;
    const title = `${kind} ${one('', 'plain')} ${two('', 'plain')} ${mode.toString(8)} ${asUser}`;
    const act = (run: (a: string, b: string) => Result): void =>
      both(title, (root, which) => {
        const [a, b] = [one(root, which), two(root, which)];
        const guarded = (): Result => outcome(() => run(a, b));
        return asUser ? s.as(nobody, nobody, guarded) : guarded();
      });
    if (kind < 3) return act((a) => writeWithoutWaiting(a, bytes));
    if (kind < 6) return act((a) => s.mkdir(a, mode | 0o700));
    if (kind < 10) return act((a, b) => s.rename(a, b));
    switch (kind) {
      case 10:
        return act((a, b) => s.renameat2(AT_FDCWD, a, AT_FDCWD, b, 1));
      case 11:
        return act((a, b) => s.renameat2(AT_FDCWD, a, AT_FDCWD, b, 2));
      case 12:
      case 13:
        return act((a, b) => s.link(a, b));
      case 14:
        return act((a) => s.symlink(target, a));
      case 15:
      case 16:
        return act((a) => s.unlink(a));
      case 17:
        return act((a) => s.rmdir(a));
      case 18:
        return act((a) => s.chmod(a, mode));
      case 19:
        return act((a) => s.lchown(a, nobody, 7));
      case 20:
        return act((a) => s.truncate(a, bytes.length));
      case 21:
        return act((a) => s.lsetxattr(a, 'user.x', bytes, Math.min(bytes.length, 900), 0));
      case 22:
        return act((a) => s.lremovexattr(a, 'user.x'));
      case 23:
        return act((a) => s.mkfifo(a, mode));
      case 24:
        return act((a) => (s.utimensat(AT_FDCWD, a, timesOf([done, 5], [done, 7]), 0x100) === 0 ? lstatSync(a).mtimeMs : 0));
      case 25:
        return act((a) => facts(lstatSync(a)));
      case 26:
        return act((a) => readdirSync(a).sort());
      case 27:
        return act((a) => readlinkSync(a));
      case 28:
        return act((a) => s.mknod(a, 0o020644, 0x103));
      default:
        return onOpenFile(where(), mode, bytes);
    }
  };

  const onOpenFile = (path: string, mode: number, bytes: Buffer): void => {
    const choice = random.below(8);
    if (choice === 0) return keepOpen(path, O_RDWR | O_CREAT | random.pick([0, O_EXCL, O_TRUNC, O_APPEND]), mode);
    if (choice === 1) return keepOpen(path, O_RDONLY | O_DIRECTORY, 0);
    if (choice === 2 && random.below(3) === 0) return keepOpen(dirname(path), O_RDWR | O_TMPFILE, mode);
    const files = open.filter(({ isDirectory }) => !isDirectory);
    if (files.length === 0) return;
    const pair = random.pick(files);
    const offset = random.below(20_000);
    if (choice === 3) both('fstat', (_, which) => facts(fstatSync(pair[which])));
    if (choice === 4) both('pwrite', (_, which) => s.pwrite(pair[which], bytes, bytes.length, offset));
    if (choice === 5) both('ftruncate', (_, which) => s.ftruncate(pair[which], offset));
    if (choice === 6) closeOne(open.indexOf(pair));
    if (choice === 7) {
      both('pread', (_, which) => {
        const read = Buffer.alloc(5000);
        const length = outcome(() => readSync(pair[which], read, 0, read.length, offset));
        return [length, read.toString('latin1')];
      });
    }
    if (choice === 2) both('linkat', (root, which) => s.linkat(AT_FDCWD, `/proc/self/fd/${pair[which]}`, AT_FDCWD, join(root, path), 0x400));
  };

  const compare = (): void => {
    if (treeDigest(spool.mountPoint, { times: false }) !== treeDigest(plain, { times: false })) {
      expect(treeListing(spool.mountPoint)).toEqual(treeListing(plain));
      expect.unreachable('the trees differ');
    }
    expect(treeDigest(spool.mountPoint)).toBe(treeDigest(spool.directory));
  };

  test(`${operations} operations`, { timeout: 300_000 }, async () => {
    s.chmod(spool.mountPoint, 0o777);
    s.chmod(plain, 0o777);
    while (done < operations) {
      const before = done;
      change();
      // The kernel forgets what it does not use, and looks it up again.
      if (Math.floor(done / 7000) > Math.floor(before / 7000)) {
        await forgetAll(spool);
        compare();
      }
    }
    while (open.length > 0) closeOne(0);
    compare();
    expect((await statistics(spool)).openFiles).toBe(0);
  });

  test('mounted anew it is the same', async () => {
    const before = treeDigest(spool.mountPoint);
    await endSpool(spool);
    spool = await mountSpool(spool.directory);
    expect(treeDigest(spool.mountPoint)).toBe(before);
    compare();
  });

  test('nothing is known of what was removed', async () => {
    execFileSync('sh', ['-c', 'cd "$1" && rm -rf ./* ./.[!.]*', 'sh', spool.mountPoint]);
    expect(readdirSync(spool.directory)).toEqual([]);
    await expect.poll(async () => (await statistics(spool)).knownInodes, { timeout: 10_000 }).toBe(1);
    expect(readFileSync(`/proc/${spool.mounted.child.pid}/maps`, 'utf8')).not.toBe('');
    expect(readdirSync(`/proc/${spool.mounted.child.pid}/fd`).length).toBeLessThan(60);
  });
});
