import { totalmem } from 'node:os';
import { describe, expect, test } from 'vitest';
import { parseByteSize } from '../../src/mount/byte-size.js';
import { cacheBytesLeast, defaultCacheBytesMax, mountRequest } from '../../src/mount/mount-request.js';
import { parseOptionString } from '../../src/mount/option-string.js';

const request = (words = '') => mountRequest('store', 'mnt', parseOptionString([words], { fromMountHelper: false }));

describe('sizes', () => {
  test.each([
    ['0', 0],
    ['1048576', 1048576],
    ['512M', 536870912],
    ['512m', 536870912],
    ['2GiB', 2147483648],
    ['2GB', 2147483648],
    ['1T', 1099511627776],
    ['16K', 16384],
  ])('%s', (text, bytes) => {
    expect(parseByteSize(text, 'cache-size')).toBe(bytes);
  });

  test.each(['', 'M', '1.5G', '-1', '1X', '1 G', '999999999999999T', '1e9', '0x10'])('%s is none', (text) => {
    expect(() => parseByteSize(text, 'cache-size')).toThrow(/cache-size: .* is not a size/);
  });
});

test('paths become absolute, the rest has defaults', () => {
  expect(request()).toMatchObject({
    source: `${process.cwd()}/store`,
    mountPoint: `${process.cwd()}/mnt`,
    cacheBytesMax: defaultCacheBytesMax(),
    namespace: [],
    driver: 'kernel',
    salvage: false,
    allowOther: false,
  });
  expect(request('keyfile=k').keyFiles).toEqual([`${process.cwd()}/k`]);
  expect(request('ns=prod/eu').namespace).toEqual(['prod', 'eu']);
  expect(request('cache-size=16M').cacheBytesMax).toBe(cacheBytesLeast);
  expect(request()).not.toHaveProperty('diskCache');
  expect(request('disk-cache=c').diskCache).toEqual({ directory: `${process.cwd()}/c`, bytesMax: 10 * 2 ** 30 });
  expect(request('disk-cache=/c,disk-cache-size=64M').diskCache).toEqual({ directory: '/c', bytesMax: 64 * 2 ** 20 });
});

test.each([
  ['cache-size=15M', 'USAGE', /at least 16M/],
  [`cache-size=${totalmem() + 1}`, 'USAGE', /more memory than/],
  ['disk-cache-size=1G', 'USAGE', /disk-cache says in which directory/],
  ['disk-cache=/c,disk-cache-size=63M', 'USAGE', /at least 64M/],
  ['disk-cache=/c,disk-cache-size=much', 'USAGE', /disk-cache-size: 'much' is not a size/],
  ['driver=floppy', 'USAGE', /kernel and fuse-native/],
  ['ns=/prod', 'BAD_NAME', /namespace/],
  ['ns=a/b/c/d/e/f/g/h', 'BAD_NAME', /namespace/],
])('%s is refused', (words, code, message) => {
  expect(() => request(words)).toThrow(expect.objectContaining({ code, message: expect.stringMatching(message) }) as Error);
});
