import { closeSync, fstatSync, lstatSync, mkdirSync, openSync, readdirSync, readFileSync, readlinkSync, symlinkSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import {
  AT_FDCWD,
  changeModeAt,
  changeOwnerAt,
  linkAt,
  makeDirectoryAt,
  makeNodeAt,
  namesIn,
  openAt,
  readLinkAt,
  removeDirectoryAt,
  renameAt,
  setTimesAt,
  symlinkAt,
  unlinkAt,
} from '../../src/os/directory-calls.js';
import { statAt } from '../../src/os/file-stat.js';
import { openFlags } from '../../src/os/open-flags.js';
import { scratchDirectory } from '../support/scratch.js';

const name = (text: string): Buffer => Buffer.from(text, 'latin1');
const none = Buffer.alloc(0);
const { O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_PATH, O_RDONLY, O_WRONLY } = openFlags;
const failing = (code: string): unknown => expect.objectContaining({ code });

function place(): { path: string; fd: number } {
  const path = scratchDirectory();
  return { path, fd: openSync(path, 'r') };
}

test('a descriptor is made below a directory, closed on exec, and no link is followed', () => {
  const { path, fd } = place();
  const file = openAt(fd, name('f\xff'), O_WRONLY | O_CREAT | O_EXCL, 0o640);
  writeSync(file, 'abc');
  closeSync(file);
  expect(readdirSync(path, { encoding: 'buffer' })).toEqual([name('f\xff')]);
  const again = openAt(fd, name('f\xff'), O_RDONLY);
  expect(readFileSync(again, 'utf8')).toBe('abc');
  expect(fstatSync(again).mode & 0o777).toBe(0o640);
  expect(parseInt(/flags:\s*(\d+)/.exec(readFileSync(`/proc/self/fdinfo/${again}`, 'utf8'))?.[1] ?? '', 8) & 0o2000000).not.toBe(0);
  symlinkSync('/etc', join(path, 'etc'));
  expect(() => openAt(fd, name('etc'), O_RDONLY | O_NOFOLLOW | O_DIRECTORY)).toThrow(failing('ENOTDIR'));
  expect(() => openAt(fd, name('etc'), O_RDONLY | O_NOFOLLOW)).toThrow(failing('ELOOP'));
  expect(() => openAt(fd, name('f\xff'), O_RDONLY | O_NOFOLLOW | O_DIRECTORY)).toThrow(failing('ENOTDIR'));
  closeSync(openAt(AT_FDCWD, Buffer.from(path), O_RDONLY | O_DIRECTORY));
});

test('directories, links and names', () => {
  const { path, fd } = place();
  makeDirectoryAt(fd, name('d'), 0o700);
  expect(() => makeDirectoryAt(fd, name('d'), 0o700)).toThrow(failing('EEXIST'));
  const below = openAt(fd, name('d'), O_RDONLY | O_DIRECTORY);
  symlinkAt(name('../to\xfe'), below, name('s'));
  expect(readLinkAt(below, name('s'))).toEqual(name('../to\xfe'));
  const link = openAt(below, name('s'), O_PATH | O_NOFOLLOW);
  expect(readLinkAt(link, none)).toEqual(name('../to\xfe'));
  expect(readlinkSync(join(path, 'd/s'), 'buffer')).toEqual(name('../to\xfe'));
  writeFileSync(join(path, 'f'), 'x');
  linkAt(fd, name('f'), below, name('f2'));
  expect(statAt(below, name('f2')).nlink).toBe(2);
  linkAt(below, name('s'), fd, name('s2'));
  expect(lstatSync(join(path, 's2')).isSymbolicLink()).toBe(true);
  renameAt(fd, name('f'), below, name('f3'));
  expect(() => renameAt(below, name('f3'), below, name('f2'), { noReplace: true })).toThrow(failing('EEXIST'));
  expect(namesIn(below).map(String).sort()).toEqual(['f2', 'f3', 's']);
  expect(() => removeDirectoryAt(fd, name('d'))).toThrow(failing('ENOTEMPTY'));
  for (const text of ['s', 'f2', 'f3']) unlinkAt(below, name(text));
  removeDirectoryAt(fd, name('d'));
  expect(namesIn(fd)).toEqual([name('s2')]);
});

test('a listing of many names, of any bytes, twice', () => {
  const { path, fd } = place();
  const names = Array.from({ length: 3000 }, (_, i) => Buffer.concat([name(`${i}\xf0`), Buffer.alloc(i % 200, 0x80)]));
  for (const each of names) writeFileSync(Buffer.concat([Buffer.from(`${path}/`), each]), '');
  for (let round = 0; round < 2; round++) {
    expect(namesIn(fd).map((each) => each.toString('latin1')).sort()).toEqual(names.map((each) => each.toString('latin1')).sort());
  }
});

test('nodes of every kind', () => {
  const { path, fd } = place();
  makeNodeAt(fd, name('fifo'), 0o010600);
  makeNodeAt(fd, name('socket'), 0o140600);
  makeNodeAt(fd, name('char'), 0o020600, 4095, 0xf_ffff);
  makeNodeAt(fd, name('block'), 0o060600, 259, 0x1_2345);
  expect(lstatSync(join(path, 'fifo')).isFIFO()).toBe(true);
  expect(lstatSync(join(path, 'socket')).isSocket()).toBe(true);
  expect(statAt(fd, name('char'))).toMatchObject({ rdevMajor: 4095, rdevMinor: 0xf_ffff });
  expect(statAt(fd, name('block'))).toMatchObject({ rdevMajor: 259, rdevMinor: 0x1_2345 });
  expect(() => makeNodeAt(fd, name('big'), 0o020600, 4096, 0)).toThrow(failing('EINVAL'));
});

test('owner, permissions and time, by name and of the descriptor', () => {
  const { path, fd } = place();
  writeFileSync(join(path, 'f'), '');
  makeNodeAt(fd, name('p'), 0o010600);
  symlinkSync('f', join(path, 's'));
  const file = openSync(join(path, 'f'), 'r');
  changeOwnerAt(fd, name('s'), 4_294_967_294, 7);
  changeOwnerAt(file, none, 1, 2);
  expect(lstatSync(join(path, 's'))).toMatchObject({ uid: 4_294_967_294, gid: 7 });
  expect(lstatSync(join(path, 'f'))).toMatchObject({ uid: 1, gid: 2 });
  changeModeAt(file, none, 0o4755);
  changeModeAt(fd, name('p'), 0o7777);
  const opened = openAt(fd, name('p'), O_PATH | O_NOFOLLOW);
  changeModeAt(opened, none, 0o1234);
  expect(lstatSync(join(path, 'f')).mode & 0o7777).toBe(0o4755);
  expect(lstatSync(join(path, 'p')).mode & 0o7777).toBe(0o1234);
  expect(() => changeModeAt(fd, name('s'), 0o600)).toThrow(failing('ENOTSUP'));
  expect(lstatSync(join(path, 'f')).mode & 0o7777).toBe(0o4755);
  const atime = lstatSync(join(path, 's'), { bigint: true }).atimeNs;
  for (const mtime of [{ sec: -1, nsec: 999_999_999 }, { sec: 5_000_000_000, nsec: 1 }, { sec: -2_000_000_000, nsec: 0 }]) {
    setTimesAt(fd, name('s'), mtime);
    setTimesAt(file, none, mtime);
    expect(statAt(fd, name('s')).mtime).toEqual(mtime);
    expect(statAt(fd, name('f')).mtime).toEqual(mtime);
  }
  expect(lstatSync(join(path, 's'), { bigint: true }).atimeNs).toBe(atime);
});

test('names with a NUL in them reach no system call', () => {
  const { path, fd } = place();
  mkdirSync(join(path, 'd'));
  expect(() => removeDirectoryAt(fd, name('d\0'))).toThrow(failing('EINVAL'));
  expect(() => symlinkAt(name('a\0b'), fd, name('s'))).toThrow(failing('EINVAL'));
  expect(readdirSync(path)).toEqual(['d']);
});
