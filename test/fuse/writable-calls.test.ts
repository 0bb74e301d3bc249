/**
 * What system calls that change something do, call by call and error by error, on a mount of the writable reference file system and, to
 * know that the table is right, on a tmpfs.
 */
import { constants as fsConstants, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type MountedEverything, canMount } from '../support/mounted-everything.js';
import { endWritable, mountWritable } from '../support/mounted-writable.js';
import { posixCases, runPosixCase } from '../support/posix-cases.js';
import { loadSystemCalls } from '../support/system-calls.js';

const { O_RDWR } = fsConstants;
const AT_FDCWD = -100;
const WHITEOUT = 4;
const [KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE] = [1, 2, 16];

const fd = (result: number | string): number => {
  if (typeof result === 'string') throw new Error(result);
  return result;
};

describe.skipIf(!canMount).each([
  { title: 'tmpfs', mount: false, promises: false, driver: 'epoll' as const },
  { title: 'kernel driver', mount: true, promises: false, driver: 'epoll' as const },
  { title: 'kernel driver with pumps, promises', mount: true, promises: true, driver: 'pumps' as const },
])('$title', ({ mount, promises, driver }) => {
  const s = loadSystemCalls();
  let mounted: MountedEverything | undefined;
  let root = '';

  beforeAll(async () => {
    s.umask(0o022);
    if (mount) mounted = await mountWritable({ promises, driver });
    root = mounted === undefined ? mkdtempSync('/dev/shm/pbsfs-calls-') : mounted.mountPoint;
    s.chmod(root, 0o755);
  });
  afterAll(async () => {
    if (mounted === undefined) rmSync(root, { recursive: true });
    else await endWritable(mounted);
  });

  describe.each(Object.keys(posixCases) as (keyof typeof posixCases)[])('%s', (group) => {
    test.each(posixCases[group])('%s', (...entry) => runPosixCase(s, join(root, group), entry));
  });

  test('FALLOC_FL_ZERO_RANGE, which tmpfs lacks', () => {
    const path = join(root, 'zeros');
    writeFileSync(path, 'x'.repeat(10_000));
    const f = fd(s.open(path, O_RDWR));
    const results = [
      s.fallocate(f, ZERO_RANGE | KEEP_SIZE, 5000, 10_000),
      statSync(path).size,
      s.fallocate(f, ZERO_RANGE, 5000, 10_000),
    ];
    expect([...results, s.close(f)]).toEqual(mount ? [0, 10_000, 0, 0] : ['EOPNOTSUPP', 10_000, 'EOPNOTSUPP', 0]);
    if (!mount) return;
    expect(readFileSync(path).equals(Buffer.concat([Buffer.alloc(5000, 'x'), Buffer.alloc(10_000)]))).toBe(true);
  });

  test('offsets that no number holds exactly', () => {
    const path = join(root, 'large');
    writeFileSync(path, '');
    const f = fd(s.open(path, O_RDWR));
    const results = [
      s.pwrite(f, Buffer.from('z'), 1, 2 ** 53 - 4096),
      s.pwrite(f, Buffer.from('z'), 1, 2 ** 53),
      s.ftruncate(f, 2 ** 54),
    ];
    results.push(s.fallocate(f, PUNCH_HOLE | KEEP_SIZE, 2 ** 54, 4096), s.ftruncate(f, 0), s.close(f));
    expect(results).toEqual(mount ? [1, 'EFBIG', 'EFBIG', 'EFBIG', 0, 0] : [1, 1, 0, 0, 0, 0]);
  });

  test('RENAME_WHITEOUT', () => {
    writeFileSync(join(root, 'whiteout'), '');
    // tmpfs makes a whiteout; a mount that is no lower layer of anything need not.
    const result = s.renameat2(AT_FDCWD, join(root, 'whiteout'), AT_FDCWD, join(root, 'moved'), WHITEOUT);
    expect(result).toBe(mount ? 'EINVAL' : 0);
  });

  test('nothing is kept of what was removed', async () => {
    if (mounted === undefined) return;
    for (const name of readdirSync(root)) rmSync(join(root, name), { recursive: true });
    await expect
      .poll(async () => {
        const { inodes } = (await mounted?.ask('statistics', {}, 'statistics')) as { inodes?: number };
        return inodes;
      })
      .toBe(1);
  });
});
