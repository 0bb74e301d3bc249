import { spawnSync } from 'node:child_process';
import { closeSync, lstatSync, openSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { touchAccessTime } from '../../src/os/access-time.js';
import { tryLock, tryLockRecords } from '../../src/os/file-locks.js';
import { scratchDirectory } from '../support/scratch.js';

const directory = scratchDirectory();
function file(name: string): string {
  const path = join(directory, name);
  writeFileSync(path, '');
  return path;
}

test('flock: shared beside shared, exclusive alone, seen by flock(1)', () => {
  const path = file('flock');
  const [a, b] = [openSync(path, 'r+'), openSync(path, 'r+')];
  expect(tryLock(a, 'shared')).toBe(true);
  expect(tryLock(b, 'shared')).toBe(true);
  expect(tryLock(b, 'exclusive')).toBe(false);
  closeSync(b);
  expect(tryLock(a, 'exclusive')).toBe(true);
  expect(spawnSync('flock', ['-n', '-s', path, 'true']).status).toBe(1);
  closeSync(a);
  expect(spawnSync('flock', ['-n', path, 'true']).status).toBe(0);
  expect(() => tryLock(-1, 'shared')).toThrow(expect.objectContaining({ code: 'EBADF', syscall: 'flock' }) as Error);
});

/** A lock of fcntl in another process: perl packs struct flock. */
function otherProcess(path: string, type: 'read' | 'write'): boolean {
  const script = `use Fcntl; open(my $f, '+<', $ARGV[0]) or die; exit(fcntl($f, F_SETLK, pack('s s x4 q q l x4', $ARGV[1], 0, 0, 0, 0)) ? 0 : 1);`;
  return spawnSync('perl', ['-e', script, path, type === 'read' ? '0' : '1']).status === 0;
}

test('record locks keep other processes out, and other descriptors of this one', () => {
  const path = file('fcntl');
  const [a, b] = [openSync(path, 'r+'), openSync(path, 'r+')];
  expect(tryLockRecords(a, 'shared')).toBe(true);
  expect(otherProcess(path, 'read')).toBe(true);
  expect(otherProcess(path, 'write')).toBe(false);
  expect(tryLockRecords(b, 'exclusive')).toBe(false);
  expect(tryLockRecords(a, 'exclusive')).toBe(true);
  expect(otherProcess(path, 'read')).toBe(false);
  closeSync(b);
  expect(otherProcess(path, 'read')).toBe(false);
  closeSync(a);
  expect(otherProcess(path, 'write')).toBe(true);
});

test('the access time becomes now, the modification time stays', () => {
  const path = file('chunk');
  utimesSync(path, 1000, 2000);
  const before = Date.now();
  expect(touchAccessTime(path)).toBe(true);
  const { atimeMs, mtimeMs } = lstatSync(path);
  expect(atimeMs).toBeGreaterThan(before - 1000);
  expect(mtimeMs).toBe(2_000_000);
  expect(touchAccessTime(join(directory, 'none'))).toBe(false);
  expect(() => touchAccessTime(join(path, 'x'))).toThrow(expect.objectContaining({ code: 'ENOTDIR' }) as Error);
});
