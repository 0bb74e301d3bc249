import { expect, test } from 'vitest';
import { nativeStat, nativeStatfs } from '../../src/fuse/native-library.js';

test('times in milliseconds, none before 1970', () => {
  const time = (sec: number, nsec: number) => ({ sec, nsec });
  const stat = nativeStat({
    ...{ ino: 5, mode: 0o100644, nlink: 2, uid: 1, gid: 2, rdevMajor: 1, rdevMinor: 3, size: 10, blocks: 8 },
    ...{ atime: time(-1, 999_999_999), mtime: time(1, 234_567_890), ctime: time(2 ** 34, 999_999) },
  });
  expect(stat).toEqual({
    ino: 5,
    mode: 0o100644,
    nlink: 2,
    uid: 1,
    gid: 2,
    rdev: 0x103,
    size: 10,
    blocks: 8,
    atime: 0,
    mtime: 1234,
    ctime: 2 ** 34 * 1000,
  });
});

test('counts that fit into 32 bits', () => {
  const small = nativeStatfs({ blockSize: 4096, blocks: 100, blocksFree: 10, files: 7, nameLengthMax: 255 });
  expect(small).toEqual({ bsize: 4096, frsize: 4096, blocks: 100, bfree: 10, bavail: 10, files: 7, namemax: 255 });
  const large = nativeStatfs({ blockSize: 4096, blocks: 2 ** 40, blocksFree: 2 ** 39, files: 2 ** 40, nameLengthMax: 255 });
  expect(large.blocks).toBeLessThan(2 ** 32);
  expect([large.bsize * large.blocks, large.bsize * large.bfree, large.files]).toEqual([2 ** 52, 2 ** 51, 2 ** 32 - 1]);
});
