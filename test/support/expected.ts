/** The lines of expected/<store>/<snapshot>/NAME.pxar.jsonl and NAME.img.json; test/fixtures/README.md explains them. */
import { readdirSync } from 'node:fs';
import { expectedPath, type FixtureStore } from './fixtures.js';

export interface ExpectedEntry {
  path: string;
  name: string;
  type: 'dir' | 'file' | 'symlink' | 'fifo' | 'socket' | 'blockdev' | 'chardev';
  mode: string;
  uid: number;
  gid: number;
  mtime: [number, number];
  size?: number;
  sha256?: string;
  link?: number;
  nlink?: number;
  link_to?: string;
  target?: string;
  rdev?: [number, number];
  xattrs?: Record<string, string | { size: number; sha256: string }>;
  acl?: { access?: { raw: string; text: string[] }; default?: { raw: string; text: string[] } };
  flags?: string[];
  pxar_flags?: number | string;
  projid?: number;
}

export interface ExpectedImage {
  size: number;
  sha256: string;
  chunks: number;
  zero_chunks: number[];
  partition_table: string | null;
  partitions: { number: number; start: number; length: number; sha256: string }[];
}

export const typeBits: Record<ExpectedEntry['type'], number> = {
  dir: 0o040000,
  file: 0o100000,
  symlink: 0o120000,
  fifo: 0o010000,
  socket: 0o140000,
  blockdev: 0o060000,
  chardev: 0o020000,
};

/** Paths, relative to expected/<store>/, of the files with this ending. */
export function expectedFiles(store: FixtureStore, ending: string): string[] {
  const names = readdirSync(expectedPath(store), { recursive: true, encoding: 'utf8' });
  return names.filter((name) => name.endsWith(ending)).sort();
}

/** FS_*_FL bit of a flag as lsattr names it in the fixtures. */
export const chattrBits: Record<string, number> = {
  append: 0x20,
  noatime: 0x80,
  compr: 0x04,
  nocow: 0x800000,
  nodump: 0x40,
  dirsync: 0x10000,
  immutable: 0x10,
  sync: 0x08,
  nocomp: 0x400,
  projinherit: 0x20000000,
};
