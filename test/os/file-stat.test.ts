import { execFileSync } from 'node:child_process';
import { closeSync, linkSync, lstatSync, openSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { AT_FDCWD, openAt } from '../../src/os/directory-calls.js';
import { statAt } from '../../src/os/file-stat.js';
import { openFlags } from '../../src/os/open-flags.js';
import { readMountTable } from '../../src/os/mount-table.js';
import { scratchDirectory } from '../support/scratch.js';

const none = Buffer.alloc(0);
const directory = scratchDirectory();
const fd = openSync(directory, 'r');

test('says what lstat says, to the nanosecond', () => {
  const path = join(directory, 'file');
  writeFileSync(path, 'x'.repeat(10_000));
  linkSync(path, join(directory, 'link'));
  execFileSync('touch', ['-m', '-d', '2001-02-03T04:05:06.123456789Z', path]);
  const stat = lstatSync(path, { bigint: true });
  const found = statAt(fd, Buffer.from('file'));
  expect(found).toMatchObject({ mode: 0o100644, nlink: 2, uid: 0, gid: 0, size: 10_000, ino: stat.ino, rdevMajor: 0, rdevMinor: 0 });
  expect(found.blocks).toBe(Number(stat.blocks));
  expect(found.mtime).toEqual({ sec: 981_173_106, nsec: 123_456_789 });
  expect(BigInt(found.atime.sec) * 1_000_000_000n + BigInt(found.atime.nsec)).toBe(stat.atimeNs);
  expect(BigInt(found.ctime.sec) * 1_000_000_000n + BigInt(found.ctime.nsec)).toBe(stat.ctimeNs);
  const [major, minor] = found.dev.split(':').map(BigInt);
  expect(((major ?? 0n) << 8n) | ((minor ?? 0n) & 0xffn)).toBe(stat.dev & 0xfffffn);
});

test('times before 1970, sizes beyond 32 bits', () => {
  const path = join(directory, 'old');
  writeFileSync(path, '');
  truncateSync(path, 0x12_3456_789a);
  execFileSync('touch', ['-m', '-d', '@-1.5', path]);
  const { mtime, size } = statAt(fd, Buffer.from('old'));
  expect(mtime).toEqual({ sec: -2, nsec: 500_000_000 });
  expect(size).toBe(0x12_3456_789a);
});

test('a link is a link; an empty name is the descriptor itself', () => {
  symlinkSync('nowhere', join(directory, 'to'));
  expect(statAt(fd, Buffer.from('to')).mode & 0o170000).toBe(0o120000);
  expect(statAt(fd, none).ino).toBe(lstatSync(directory, { bigint: true }).ino);
  const link = openAt(fd, Buffer.from('to'), openFlags.O_PATH | openFlags.O_NOFOLLOW);
  expect(statAt(link, none).mode & 0o170000).toBe(0o120000);
  closeSync(link);
});

test('devices and mounts', () => {
  expect(statAt(AT_FDCWD, Buffer.from('/dev/null'))).toMatchObject({ rdevMajor: 1, rdevMinor: 3 });
  const proc = statAt(AT_FDCWD, Buffer.from('/proc'));
  expect(readMountTable().some((entry) => entry.type === 'proc' && `${entry.deviceMajor}:${entry.deviceMinor}` === proc.dev)).toBe(true);
  expect(proc.mountId).not.toBe(statAt(AT_FDCWD, Buffer.from('/')).mountId);
});

test('errors are those of Node', () => {
  const node = (run: () => void): unknown => {
    try {
      return run();
    } catch (error) {
      return { ...(error as object) };
    }
  };
  expect(node(() => statAt(fd, Buffer.from('none')))).toEqual({ code: 'ENOENT', errno: -2, syscall: 'statx', path: 'none' });
  expect(() => statAt(fd, Buffer.from('none'))).toThrow("ENOENT: no such file or directory, statx 'none'");
  expect(node(() => statAt(-1, none))).toEqual({ code: 'EBADF', errno: -9, syscall: 'statx' });
  expect(node(() => statAt(fd, Buffer.from('file\0x')))).toMatchObject({ code: 'EINVAL' });
  expect(node(() => statAt(fd, Buffer.alloc(4096, 0x61)))).toMatchObject({ code: 'ENAMETOOLONG', errno: -36 });
});
