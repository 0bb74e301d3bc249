import fc from 'fast-check';
import { expect, test } from 'vitest';
import { findMount, isMounted, parseMountTable, readMountTable } from '../../src/os/mount-table.js';

const text = String.raw`22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda1 rw,errors=remount-ro
36 22 0:57 / /mnt/my\040store ro,nosuid,nodev,relatime - fuse.pbsfs /srv/a\040b\134\043 ro,user_id=0,group_id=0
37 22 0:58 /sub /mnt/\303\274\377 rw master:2 propagate_from:1 - tmpfs none rw
`;

test('fields, options of both kinds, escapes', () => {
  expect(parseMountTable(text)).toEqual([
    {
      mountPoint: '/',
      type: 'ext4',
      source: '/dev/vda1',
      options: ['rw', 'relatime', 'rw', 'errors=remount-ro'],
      deviceMajor: 254,
      deviceMinor: 0,
    },
    {
      ...{ mountPoint: '/mnt/my store', type: 'fuse.pbsfs', source: '/srv/a b\\#', deviceMajor: 0, deviceMinor: 57 },
      options: ['ro', 'nosuid', 'nodev', 'relatime', 'ro', 'user_id=0', 'group_id=0'],
    },
    { mountPoint: '/mnt/\u00fc\ufffd', type: 'tmpfs', source: 'none', options: ['rw', 'rw'], deviceMajor: 0, deviceMinor: 58 },
  ]);
});

test('lines that are none are left out', () => {
  expect(parseMountTable('\n22 1 254:0 / / rw\n1 2 3 4 5 6 - \n - - - - - - - - -\n')).toEqual([]);
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), fc.nat(text.length), (garbage, at) => {
      expect(Array.isArray(parseMountTable(text.slice(0, at) + garbage + text.slice(at)))).toBe(true);
    }),
    { seed: Date.now() & 0x7fffffff },
  );
});

test('the table of this machine', () => {
  expect(readMountTable().length).toBeGreaterThan(1);
  const proc = findMount('/proc') ?? expect.unreachable();
  expect(proc.type).toBe('proc');
  expect(isMounted(proc)).toBe(true);
  expect(isMounted({ ...proc, deviceMinor: proc.deviceMinor + 100_000 })).toBe(false);
  expect(findMount('/proc/')).toBe(undefined);
});
