/** What system calls do to a mounted spool: the table that every writable file system is held to, and random changes of files. */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { canMount } from '../../support/mounted-everything.js';
import { posixCases, runPosixCase } from '../../support/posix-cases.js';
import { compareRandomOperations } from '../../support/random-file-operations.js';
import { seed } from '../../support/random.js';
import { loadSystemCalls } from '../../support/system-calls.js';
import { type MountedSpool, endSpool, mountSpool, spoolDirectory, statistics } from './spool-mount.js';

/** More than the blocks of most file systems hold: the spool's own limit is what counts. */
const largeXattr = /^a large xattr/;

describe.skipIf(!canMount).each([
  { title: 'over a tmpfs', inMemory: true },
  { title: 'over the file system of the machine', inMemory: false },
])('$title', ({ inMemory }) => {
  const s = loadSystemCalls();
  const memory = mkdtempSync('/dev/shm/pbsfs-spool-');
  let spool: MountedSpool;

  beforeAll(async () => {
    s.umask(0o022);
    mkdirSync(join(memory, 'spool'), 0o755);
    spool = await mountSpool(inMemory ? join(memory, 'spool') : spoolDirectory());
  });
  afterAll(async () => {
    await endSpool(spool);
    rmSync(memory, { recursive: true });
  });

  describe.each(Object.keys(posixCases) as (keyof typeof posixCases)[])('%s', (group) => {
    const cases = posixCases[group].filter(([title]) => inMemory || !largeXattr.test(title));
    test.each(cases)('%s', (...entry) => runPosixCase(s, join(spool.mountPoint, group), entry));
  });

  // A tmpfs has no FALLOC_FL_ZERO_RANGE.
  test.runIf(!inMemory).each([
    ['small', 20_000],
    ['larger', 300_000],
  ])(`a %s file, seed ${seed}`, { timeout: 200_000 }, (name, sizeMax) => {
    const [trusted, tested] = [join(memory, name), join(spool.mountPoint, name)];
    compareRandomOperations({ calls: s, trusted, tested, seed, operations: 12_000, sizeMax });
    rmSync(tested);
  });

  test('nothing is known of what was removed', async () => {
    await expect.poll(async () => (await statistics(spool)).knownInodes, { timeout: 10_000 }).toBe(1);
  });
});
