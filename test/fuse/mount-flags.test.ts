import { describe, expect, test } from 'vitest';
import { checkMountFlags, parseMountFlags } from '../../src/fuse/mount-flags.js';

const asRoot = { root: true, program: 'mount' } as const;
const asUser = { root: false, program: 'libfuse' } as const;

test('read-only, without suid and devices', () => {
  expect(parseMountFlags([], asRoot)).toEqual({ options: ['ro', 'nosuid', 'nodev'], nonempty: false });
  expect(parseMountFlags([], asUser)).toEqual({ options: ['ro', 'nosuid', 'nodev'], nonempty: false });
});

test('what can be written is rw, unless ro was typed', () => {
  const rw = { options: ['rw', 'nosuid', 'nodev'], nonempty: false };
  expect(parseMountFlags([], { ...asRoot, writable: true })).toEqual(rw);
  expect(parseMountFlags(['rw', 'nosuid'], { ...asUser, writable: true })).toEqual(rw);
  expect(parseMountFlags(['ro'], { ...asRoot, writable: true }).options[0]).toBe('ro');
  expect(parseMountFlags(['rw'], { ...asRoot, writable: false }).options[0]).toBe('ro');
});

test('what is generic is passed once, and what means nothing to libfuse is left out there', () => {
  const flags = ['noexec', 'noatime', 'relatime', 'noexec', 'nodiratime'];
  expect(parseMountFlags(flags, asRoot).options).toEqual([
    'ro',
    'nosuid',
    'nodev',
    'noexec',
    'noatime',
    'relatime',
    'nodiratime',
  ]);
  expect(parseMountFlags(flags, asUser).options).toEqual(['ro', 'nosuid', 'nodev', 'noexec', 'noatime']);
  expect(parseMountFlags(flags, { root: true, program: 'libfuse' }).options).toEqual([
    'ro',
    'nosuid',
    'nodev',
    'noexec',
    'noatime',
  ]);
});

test('what others read is ignored', () => {
  const flags = [
    'rw',
    'ro',
    'defaults',
    'auto',
    'noauto',
    'user',
    'nofail',
    '_netdev',
    'x-systemd.automount',
    'X-mount.mkdir',
    'comment=my store',
    'nosuid',
    'nodev',
  ];
  expect(parseMountFlags(flags, asUser)).toEqual({ options: ['ro', 'nosuid', 'nodev'], nonempty: false });
});

test('a mount point that is not empty', () => {
  expect(parseMountFlags(['nonempty'], asUser)).toEqual({ options: ['ro', 'nosuid', 'nodev'], nonempty: true });
});

describe('suid and dev', () => {
  test('for root', () => {
    expect(parseMountFlags(['suid'], asRoot).options).toEqual(['ro', 'suid', 'nodev']);
    expect(parseMountFlags(['dev', 'suid'], asRoot).options).toEqual(['ro', 'suid', 'dev']);
  });

  test.each(['suid', 'dev'])('%s not for users', (flag) => {
    expect(() => parseMountFlags([flag], asUser)).toThrow(
      expect.objectContaining({ code: 'NO_PRIVILEGE', message: expect.stringContaining(`'${flag}'`) as string }) as Error,
    );
  });
});

test.each(['foo', 'max_read=4096', 'fsname=x', 'allow_other', '', 'noexec '])("'%s' is refused by name", (flag) => {
  for (const check of [() => checkMountFlags([flag]), () => parseMountFlags(['noexec', flag], asRoot)]) {
    expect(check).toThrow(expect.objectContaining({ code: 'MOUNT_FAILED', message: `unknown mount option '${flag}'` }) as Error);
  }
});
