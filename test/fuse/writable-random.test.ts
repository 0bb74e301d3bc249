/** Random changes of a file on a mount, against the same changes of one on a tmpfs. */
import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, test } from 'vitest';
import { type MountedEverything, canMount } from '../support/mounted-everything.js';
import { endWritable, mountWritable } from '../support/mounted-writable.js';
import { compareRandomOperations } from '../support/random-file-operations.js';
import { seed } from '../support/random.js';
import { loadSystemCalls } from '../support/system-calls.js';

describe.skipIf(!canMount).each([
  { title: 'at once', promises: false, operations: 40_000 },
  { title: 'through promises', promises: true, operations: 10_000 },
])('$title', ({ promises, operations }) => {
  const calls = loadSystemCalls();
  let mounted: MountedEverything;
  let directory = '';

  beforeAll(async () => {
    directory = mkdtempSync('/dev/shm/pbsfs-random-');
    mounted = await mountWritable({ promises });
  });
  afterAll(async () => {
    rmSync(directory, { recursive: true });
    await endWritable(mounted);
  });

  test.each([
    ['small', 20_000],
    ['larger', 300_000],
  ])(`a %s file, seed ${seed}`, (name, sizeMax) => {
    const [trusted, tested] = [join(directory, name), join(mounted.mountPoint, name)];
    compareRandomOperations({ calls, trusted, tested, seed, operations: operations / 2, sizeMax });
  });
});
