/** What system calls do in staging directories of a mounted datastore, and that a commit makes of it what a backup makes of a plain copy. */
import { execFileSync } from 'node:child_process';
import { appendFileSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { canMount } from '../support/mounted-everything.js';
import { posixCases, runPosixCase } from '../support/posix-cases.js';
import { Random, seed } from '../support/random.js';
import { compareRandomOperations } from '../support/random-file-operations.js';
import { scratchDirectory } from '../support/scratch.js';
import { beginStaging, mountToStage, rsyncDifferences, type StagedMount } from '../support/staged-mount.js';
import { places } from '../support/store-table.js';
import { loadSystemCalls } from '../support/system-calls.js';

const mebibyte = 1 << 20;

// Calls in archives touch the spool only; a part of them is enough for a store on a server, and images.
describe.skipIf(!canMount).each(places)('in staging for a store %s', (storeAt) => {
  const isServed = storeAt === 'on a server';
  const share = isServed ? 8 : 1;
  const s = loadSystemCalls();
  /** Of a tmpfs, which takes extended attributes of any size. */
  const memory = mkdtempSync('/dev/shm/pbsfs-staging-');
  let mount: StagedMount;
  let staging = '';
  let archive = '';
  const plain = join(memory, 'plain');

  beforeAll(async () => {
    s.umask(0o022);
    mkdirSync(plain);
    mkdirSync(join(memory, 'spool'));
    mount = await mountToStage({ storeAt, spool: join(memory, 'spool'), args: ['--allow-other'] });
    staging = beginStaging(mount, 'host/web1');
    s.chmod(staging, 0o755);
    archive = join(staging, 'x.pxar');
    mkdirSync(archive);
  });
  afterAll(async () => {
    await mount.unmount();
    rmSync(memory, { recursive: true });
  });

  const groups = isServed ? [] : (Object.keys(posixCases) as (keyof typeof posixCases)[]);
  describe.each(groups)('%s', (group) => {
    test.each(posixCases[group])('%s', (...entry) => runPosixCase(s, join(archive, group), entry));
  });

  test(`files that are changed at random are committed as they are, seed ${seed}`, { timeout: 300_000 }, async () => {
    const disk = scratchDirectory();
    const other = await mountToStage({ storeAt, spool: disk });
    const top = beginStaging(other, 'host/random');
    mkdirSync(join(top, 'x.pxar'));
    for (const [name, sizeMax, operations] of [['small', 20_000, Math.ceil(15_000 / share)], ['larger', 300_000, Math.ceil(15_000 / share)]] as const) {
      compareRandomOperations({ calls: s, trusted: join(plain, name), tested: join(top, 'x.pxar', name), seed, operations, sizeMax });
    }
    renameSync(top, join(other.mountPoint, 'host/random/now'));
    for (const name of ['small', 'larger']) {
      expect(readFileSync(join(other.mountPoint, 'host/random/latest/x.pxar', name)).equals(readFileSync(join(plain, name))), name).toBe(true);
    }
    await other.unmount();
  });

  test(`an image that is changed at random is committed as it is, seed ${seed}`, { timeout: 300_000 }, () => {
    const [trusted, tested] = [join(plain, 'disk.img'), join(staging, 'disk.img')];
    compareRandomOperations({ calls: s, trusted, tested, seed, operations: 8000 / share, sizeMax: 13 * mebibyte + 77 });
    // An image has at least one byte.
    for (const path of [trusted, tested]) appendFileSync(path, 'end');
  });

  test(`names that are changed at random, by the thousand, seed ${seed}`, async () => {
    const random = new Random(seed);
    const roots = [join(archive, 'names'), join(plain, 'names')];
    for (const root of roots) mkdirSync(root);
    const name = (): string => ['a', 'b', 'a/c', 'b/c', 'a/d', 'a/c/e'][random.below(6)] ?? 'a';
    const both = (act: (root: string) => number | string): void => {
      const [here, there] = roots.map(act);
      expect(here).toBe(there);
    };
    for (let n = 0; n < 10_000 / share; n++) {
      const [from, to] = [name(), name()];
      const kind = random.below(12);
      const act = (root: string): number | string => {
        const [a, b] = [`${root}/${from}`, `${root}/${to}`];
        if (kind < 4) return s.renameat2(-100, a, -100, b, kind < 2 ? 0 : kind - 1);
        if (kind < 6) return s.mkdir(a, 0o755);
        if (kind === 6) return s.rmdir(a);
        if (kind === 7) return s.unlink(a);
        if (kind === 8) return s.link(a, b);
        if (kind === 9) return s.symlink('target', a);
        return s.mknod(a, 0o100644, 0);
      };
      both(act);
    }
    execFileSync('cp', ['-a', join(plain, 'names'), join(memory, 'copy')]);
    expect(await rsyncDifferencesWithoutTimes(join(memory, 'copy'), join(archive, 'names'))).toEqual([]);
  });

  test('all of that, committed, is what a copy of it was before', async () => {
    // What is open by a name that is gone is not copied.
    writeFileSync(join(archive, 'last'), 'text');
    const copy = join(memory, 'committed');
    execFileSync('cp', ['-a', archive, copy]);
    const image = readFileSync(join(plain, 'disk.img'));
    renameSync(staging, join(mount.mountPoint, 'host/web1/now'));
    const latest = join(mount.mountPoint, 'host/web1/latest');
    const differences = await rsyncDifferences(copy, join(latest, 'x.pxar'));
    // Archives have hard links of regular files only: further names of others are copies.
    expect(differences.filter((line) => !/^h[LDS] /.test(line))).toEqual([]);
    expect(readFileSync(join(latest, 'disk.img')).equals(image)).toBe(true);
  });
});

async function rsyncDifferencesWithoutTimes(original: string, copy: string): Promise<string[]> {
  return (await rsyncDifferences(original, copy)).filter((line) => !/^\.[df]\.\.t\.+ /.test(line) && !/^\.L\.\.t\.+ /.test(line));
}
