/** What only some file systems know, on a loop-mounted ext4 and on a tmpfs. */
import { execFileSync } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync, readSync, statSync, truncateSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { blockDeviceBytes } from '../../src/os/block-device.js';
import { discardRange, nextData, nextHole } from '../../src/os/file-extents.js';
import { syncFileSystem } from '../../src/os/file-sync.js';
import { getFatAttributes, getInodeFlags, getProjectId, setFatAttributes, setInodeFlags, setProjectId } from '../../src/os/inode-flags.js';
import { getXattr, listXattrs, setXattr } from '../../src/os/xattrs.js';
import { canMake, loopDevice, mountedFileSystem } from '../support/file-systems.js';

const FS_NODUMP_FL = 0x40;
const FS_APPEND_FL = 0x20;
const failing = (...codes: string[]): Error => expect.objectContaining({ code: expect.toSatisfy((code: string) => codes.includes(code)) as string }) as Error;

describe('ext4', () => {
  let root: string;
  const open = (name: string, flags = 'w+'): number => openSync(join(root, name), flags);
  beforeAll(() => {
    root = mountedFileSystem('ext4', { megabytes: 16, options: ['-O', 'ea_inode'] });
  });

  test('xattrs of any bytes, empty and long', () => {
    const fd = open('x');
    const values = new Map([['user.empty', Buffer.alloc(0)], ['user.\xff\xfe', Buffer.from([0, 1, 0])], ['trusted.t', Buffer.alloc(60_000, 7)]]);
    for (const [name, value] of values) setXattr(fd, Buffer.from(name, 'latin1'), value);
    expect(listXattrs(fd).map((name) => name.toString('latin1')).sort()).toEqual([...values.keys()].sort());
    for (const [name, value] of values) expect(getXattr(fd, Buffer.from(name, 'latin1'))).toEqual(value);
    expect(getXattr(fd, Buffer.from('user.none'))).toBeUndefined();
    expect(() => setXattr(fd, Buffer.from('nonsense'), Buffer.alloc(1))).toThrow(failing('ENOTSUP', 'EOPNOTSUPP'));
    closeSync(fd);
  });

  test('flags and project ids as lsattr shows them', () => {
    const fd = open('flags');
    const before = getInodeFlags(fd);
    setInodeFlags(fd, before | FS_NODUMP_FL | FS_APPEND_FL);
    expect(getInodeFlags(fd)).toBe(before | FS_NODUMP_FL | FS_APPEND_FL);
    expect(execFileSync('lsattr', [join(root, 'flags')], { encoding: 'utf8' }).split(' ')[0]).toMatch(/ad/);
    setInodeFlags(fd, before);
    expect(getInodeFlags(fd)).toBe(before);
    expect(getProjectId(fd)).toBe(0);
    expect(() => setProjectId(fd, 5)).toThrow(failing('ENOTSUP', 'EOPNOTSUPP'));
    expect(() => getFatAttributes(fd)).toThrow(failing('ENOTTY'));
    closeSync(fd);
  });

  test('data, holes, and making them', () => {
    const fd = open('sparse');
    writeSync(fd, Buffer.alloc(8192, 1), 0, 8192, 1 << 20);
    truncateSync(join(root, 'sparse'), 2 << 20);
    expect(nextData(fd, 0)).toBe(1 << 20);
    expect(nextHole(fd, 1 << 20)).toBe((1 << 20) + 8192);
    expect(nextHole(fd, 5)).toBe(5);
    expect(nextData(fd, (1 << 20) + 8192)).toBeUndefined();
    expect(nextData(fd, 2 << 20)).toBeUndefined();
    expect(discardRange(fd, 1 << 20, 4096)).toBe(true);
    expect(nextData(fd, 0)).toBe((1 << 20) + 4096);
    expect(statSync(join(root, 'sparse')).size).toBe(2 << 20);
    syncFileSystem(fd);
    closeSync(fd);
  });

  test('a full file system', () => {
    const fd = open('big');
    const fill = (): void => {
      for (let at = 0; ; at += 1 << 20) writeSync(fd, Buffer.alloc(1 << 20), 0, 1 << 20, at);
    };
    expect(fill).toThrow(failing('ENOSPC'));
    expect(discardRange(fd, 0, 1 << 20)).toBe(true);
    truncateSync(join(root, 'big'), 0);
    closeSync(fd);
  });
});

test.runIf(canMake('xfs'))('project ids', () => {
  const root = mountedFileSystem('xfs', { megabytes: 300 });
  writeFileSync(join(root, 'f'), '');
  const fd = openSync(join(root, 'f'), 'r');
  setInodeFlags(fd, FS_NODUMP_FL);
  setProjectId(fd, 4_000_000_000);
  expect(getProjectId(fd)).toBe(4_000_000_000);
  expect(getInodeFlags(fd)).toBe(FS_NODUMP_FL);
  setProjectId(fd, 0);
  expect(getProjectId(fd)).toBe(0);
  closeSync(fd);
});

test.runIf(canMake('vfat'))('FAT attributes', () => {
  const root = mountedFileSystem('vfat', { megabytes: 4 });
  writeFileSync(join(root, 'A'), '');
  const fd = openSync(join(root, 'A'), 'r');
  setFatAttributes(fd, getFatAttributes(fd) | 2);
  expect(getFatAttributes(fd) & 2).toBe(2);
  expect(() => listXattrs(fd)).toThrow(failing('ENOTSUP', 'EOPNOTSUPP'));
  closeSync(fd);
});

test('tmpfs', () => {
  const root = mountedFileSystem('tmpfs', { megabytes: 4 });
  mkdirSync(join(root, 'd'));
  writeFileSync(join(root, 'f'), 'x');
  const fd = openSync(join(root, 'f'), 'r+');
  expect(nextData(fd, 0)).toBe(0);
  expect(nextHole(fd, 0)).toBe(1);
  truncateSync(join(root, 'f'), 8192);
  expect(discardRange(fd, 0, 4096)).toBe(true);
  expect(nextData(fd, 0)).toBeUndefined();
  expect(readFileSync(join(root, 'f')).equals(Buffer.alloc(8192))).toBe(true);
  closeSync(fd);
});

test('block devices: size, all data, zeros', () => {
  const device = loopDevice(Buffer.alloc(1 << 20, 1));
  const fd = openSync(device, 'r+');
  expect(blockDeviceBytes(fd)).toBe(1 << 20);
  expect(nextData(fd, 5000)).toBe(5000);
  expect(nextHole(fd, 5000)).toBe(1 << 20);
  expect(nextData(fd, 1 << 20)).toBeUndefined();
  expect(discardRange(fd, 4096, 8192)).toBe(true);
  expect(discardRange(fd, 1, 511)).toBe(false);
  const bytes = Buffer.alloc(16_384);
  readSync(fd, bytes, 0, bytes.length, 0);
  expect(bytes.equals(Buffer.concat([Buffer.alloc(4096, 1), Buffer.alloc(8192), Buffer.alloc(4096, 1)]))).toBe(true);
  closeSync(fd);
  const file = openSync('/etc/passwd', 'r');
  expect(() => blockDeviceBytes(file)).toThrow(failing('ENOTTY'));
  closeSync(file);
});
