/** What writing into a directory by descriptors needs beyond directory-calls.test.ts. */
import {
  closeSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { linkDescriptorAt, openAt, renameAt } from '../../src/os/directory-calls.js';
import { DirectoryListing } from '../../src/os/directory-listing.js';
import { allocateRange, copyRange, seekTo } from '../../src/os/file-extents.js';
import { statAt, statIfThere } from '../../src/os/file-stat.js';
import { syncFileSystemAside } from '../../src/os/file-sync.js';
import { setFileTimes } from '../../src/os/file-times.js';
import { getXattrOf, listXattrsOf, removeXattrOf, setXattrOf } from '../../src/os/named-xattrs.js';
import { openFlags } from '../../src/os/open-flags.js';
import { scratchDirectory } from '../support/scratch.js';

const name = (text: string): Buffer => Buffer.from(text, 'latin1');
const none = Buffer.alloc(0);
const { O_NOFOLLOW, O_PATH, O_RDWR, O_TMPFILE } = openFlags;
const failing = (code: string): Error => expect.objectContaining({ code }) as Error;

function place(): { path: string; fd: number } {
  const path = scratchDirectory();
  return { path, fd: openSync(path, 'r') };
}

test('names change places, and a file without a name gets one', () => {
  const { path, fd } = place();
  writeFileSync(join(path, 'file'), 'text');
  mkdirSync(join(path, 'directory'));
  renameAt(fd, name('file'), fd, name('directory'), { exchange: true });
  expect([statSync(join(path, 'file')).isDirectory(), readFileSync(join(path, 'directory'), 'utf8')]).toEqual([true, 'text']);
  expect(() => renameAt(fd, name('file'), fd, name('none'), { exchange: true })).toThrow(failing('ENOENT'));
  const unnamed = openAt(fd, name('.'), O_TMPFILE | O_RDWR, 0o600);
  writeSync(unnamed, 'unnamed');
  linkDescriptorAt(unnamed, fd, name('named\xff'));
  expect(readFileSync(Buffer.concat([name(`${path}/`), name('named\xff')]), 'utf8')).toBe('unnamed');
  expect(() => linkDescriptorAt(unnamed, fd, name('directory'))).toThrow(failing('EEXIST'));
});

test('a name that is not there has no attributes, and that is no error', () => {
  const { path, fd } = place();
  writeFileSync(join(path, 'file'), 'text');
  expect(statIfThere(fd, name('file'))).toEqual(statAt(fd, name('file')));
  expect(statIfThere(fd, name('none'))).toBeUndefined();
  expect(() => statIfThere(fd, name('file/x'))).toThrow(failing('ENOTDIR'));
});

test('both times, one of them, or now; of links, and through O_PATH', () => {
  const { path, fd } = place();
  const [file, link] = [join(path, 'file'), join(path, 'link')];
  writeFileSync(file, '');
  symlinkSync('file', link);
  setFileTimes(fd, name('file'), { atime: { sec: -3, nsec: 5 }, mtime: { sec: 2 ** 33, nsec: 999_999_999 } });
  expect(lstatSync(file, { bigint: true })).toMatchObject({ atimeNs: -2_999_999_995n, mtimeNs: 2n ** 33n * 1_000_000_000n + 999_999_999n });
  setFileTimes(fd, name('link'), { mtime: { sec: 7, nsec: 0 } });
  setFileTimes(openAt(fd, name('link'), O_PATH | O_NOFOLLOW), none, { atime: { sec: 8, nsec: 0 } });
  expect([lstatSync(link).mtimeMs, lstatSync(link).atimeMs]).toEqual([7000, 8000]);
  setFileTimes(openAt(fd, name('file'), O_PATH), none, { mtime: 'now' });
  expect(Math.abs(lstatSync(file).mtimeMs - Date.now())).toBeLessThan(10_000);
  expect(lstatSync(file, { bigint: true }).atimeNs).toBe(-2_999_999_995n);
});

test('extended attributes by name and through O_PATH, of links too', () => {
  const { path, fd } = place();
  writeFileSync(join(path, 'file'), '');
  symlinkSync('file', join(path, 'link'));
  const pinned = { fd: openAt(fd, name('file'), O_PATH), name: none };
  for (const file of [{ fd, name: name('file') }, pinned]) {
    setXattrOf(file, name('user.a'), name('value'), 'create');
    expect(() => setXattrOf(file, name('user.a'), name('x'), 'create')).toThrow(failing('EEXIST'));
    expect(() => setXattrOf(file, name('user.b'), name('x'), 'replace')).toThrow(failing('ENODATA'));
    expect(listXattrsOf(file)).toEqual([name('user.a')]);
    expect([getXattrOf(file, name('user.a')), getXattrOf(file, name('user.b'))]).toEqual([name('value'), undefined]);
    removeXattrOf(file, name('user.a'));
    expect(() => removeXattrOf(file, name('user.a'))).toThrow(failing('ENODATA'));
  }
  for (const link of [{ fd, name: name('link') }, { fd: openAt(fd, name('link'), O_PATH | O_NOFOLLOW), name: none }]) {
    setXattrOf(link, name('trusted.a'), name('of the link'));
    expect(getXattrOf(link, name('trusted.a'))).toEqual(name('of the link'));
    expect(listXattrsOf(pinned)).toEqual([]);
    removeXattrOf(link, name('trusted.a'));
    expect(() => setXattrOf(link, name('user.a'), name('x'))).toThrow(failing('EPERM'));
  }
  expect(readlinkSync(join(path, 'link'))).toBe('file');
});

test('a listing of many names, whatever their bytes', () => {
  const { path, fd } = place();
  const names = Array.from({ length: 3000 }, (_, i) => `\xff${i}`.padEnd(1 + (i % 254), 'x'));
  mkdirSync(join(path, '..data'));
  writeFileSync(join(path, 'first'), '');
  for (const each of names) linkSync(join(path, 'first'), Buffer.concat([name(`${path}/`), name(each)]));
  const listing = new DirectoryListing(fd);
  const listed = Array.from({ length: listing.length }, (_, i) => listing.at(i));
  expect(new Set(listed.map((entry) => entry?.name.toString('latin1')))).toEqual(new Set([...names, 'first', '..data']));
  expect(listing.length).toBe(new Set(names).size + 2);
  expect(listed.find((entry) => entry?.name.equals(name('..data')))).toMatchObject({ type: 0o040000, ino: statAt(fd, name('..data')).ino });
  expect(listed.find((entry) => entry?.name.equals(name('first')))).toMatchObject({ type: 0o100000, ino: statAt(fd, name('first')).ino });
  expect(listing.at(listing.length)).toBeUndefined();
});

test('ranges are allocated, looked for and copied', () => {
  const { path, fd } = place();
  writeFileSync(join(path, 'file'), 'x'.repeat(20_000));
  const file = openAt(fd, name('file'), O_RDWR);
  allocateRange(file, 'punch', { offset: 4096, length: 8192, keepSize: true });
  expect([seekTo('hole', file, 0), seekTo('data', file, 5000)]).toEqual([4096, 12_288]);
  expect(() => seekTo('data', file, 20_000)).toThrow(failing('ENXIO'));
  allocateRange(file, 'zero', { offset: 12_288, length: 10_000, keepSize: true });
  allocateRange(file, 'reserve', { offset: 0, length: 30_000, keepSize: false });
  expect(statSync(join(path, 'file')).size).toBe(30_000);
  expect(readFileSync(join(path, 'file'), 'latin1')).toBe(`${'x'.repeat(4096)}${'\0'.repeat(25_904)}`);
  truncateSync(join(path, 'file'), 10);
  writeFileSync(join(path, 'to'), '0123456789');
  expect(copyRange(file, { offset: 4, length: 100 }, openAt(fd, name('to'), O_RDWR), 2)).toBe(6);
  expect(readFileSync(join(path, 'to'), 'utf8')).toBe('01xxxxxx89');
  expect(copyRange(file, { offset: 10, length: 5 }, file, 0)).toBe(0);
});

test('a file system is synchronized on another thread', async () => {
  const { fd } = place();
  await expect(syncFileSystemAside(fd)).resolves.toBeUndefined();
  closeSync(fd);
  await expect(syncFileSystemAside(fd)).rejects.toThrow(failing('EIO'));
});
