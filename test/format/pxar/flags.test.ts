import { expect, it, test } from 'vitest';
import { chattrFlags, entryFlags, fatAttributes } from '../../../src/format/pxar/flags.js';

test.each([
  ['append', 0x1_0000, 0x20],
  ['noatime', 0x2_0000, 0x80],
  ['compr', 0x4_0000, 0x04],
  ['nocow', 0x8_0000, 0x80_0000],
  ['nodump', 0x10_0000, 0x40],
  ['dirsync', 0x20_0000, 0x1_0000],
  ['immutable', 0x40_0000, 0x10],
  ['sync', 0x80_0000, 0x08],
  ['nocomp', 0x100_0000, 0x400],
  ['projinherit', 0x200_0000, 0x2000_0000],
])('%s', (_name, lo, chattr) => {
  expect(chattrFlags({ hi: 0, lo })).toBe(chattr);
  expect(fatAttributes({ hi: 0, lo })).toBe(0);
  expect(entryFlags(chattr)).toEqual({ hi: 0, lo });
});

test.each([
  ['hidden', 0x2000, 0x02],
  ['system', 0x4000, 0x04],
  ['archive', 0x8000, 0x20],
])('%s of FAT', (_name, lo, fat) => {
  expect(fatAttributes({ hi: 0, lo })).toBe(fat);
  expect(chattrFlags({ hi: 0, lo })).toBe(0);
  expect(entryFlags(0, fat)).toEqual({ hi: 0, lo });
});

it('leaves out what has no counterpart', () => {
  expect(chattrFlags({ hi: 0xffff_ffff, lo: 0xfc00_1fff })).toBe(0);
  expect(fatAttributes({ hi: 0xffff_ffff, lo: 0xfc00_1fff })).toBe(0);
  // extents, encrypt, casefold and others that file systems set themselves; read-only and volume label of FAT
  expect(entryFlags(0x4008_0800, 0x19)).toEqual({ hi: 0, lo: 0 });
  expect(entryFlags(-1, 0xff)).toEqual({ hi: 0, lo: 0x3ff_e000 });
});
