/** Files and images that are open still when their staging directory is removed, or another one gets their name. */
import { execFileSync } from 'node:child_process';
import { closeSync, fstatSync, fsyncSync, ftruncateSync, mkdirSync, openSync, readFileSync, readSync, renameSync, rmSync, statSync, truncateSync, unlinkSync, utimesSync, writeFileSync, writeSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { eventually } from '../support/command.js';
import { canMount } from '../support/mounted-everything.js';
import { noise } from '../support/random.js';
import { beginStaging, isMounted, mountToStage, type StagedMount } from '../support/staged-mount.js';

const mebibyte = 1 << 20;
const stale = expect.objectContaining({ errno: -constants.errno.ESTALE }) as unknown;

function codeOf(act: () => unknown): unknown {
  try {
    return act();
  } catch (error) {
    return error;
  }
}

/** Closed when the test ends, whatever became of it. */
function opened(path: string, flags: string): number {
  const fd = openSync(path, flags);
  onTestFinished(() => {
    codeOf(() => {
      closeSync(fd);
    });
  });
  return fd;
}

describe.skipIf(!canMount)('what is open while its name or directory goes', () => {
  let mount: StagedMount;
  beforeAll(async () => {
    mount = await mountToStage();
  });
  afterAll(() => mount.unmount());

  test('files of a removed staging directory are stale; those of the next one have nothing of them', () => {
    const staging = beginStaging(mount, 'host/files');
    const archive = join(staging, 'x.pxar');
    mkdirSync(archive);
    writeFileSync(join(archive, 'old'), noise('old', mebibyte));
    const old = opened(join(archive, 'old'), 'r+');
    rmSync(staging, { recursive: true });
    mkdirSync(archive, { recursive: true });
    const names = Array.from({ length: 20 }, (_, n) => join(archive, `n${n}`));
    for (const name of names) opened(name, 'w+');
    expect(codeOf(() => writeSync(old, 'corrupt', 0))).toEqual(stale);
    expect(codeOf(() => ftruncateSync(old, 5))).toEqual(stale);
    // What the kernel has still is the file's own.
    const read = Buffer.alloc(10);
    if (codeOf(() => readSync(old, read, 0, 10, 500_000)) === 10) expect(read.equals(noise('old', mebibyte).subarray(500_000, 500_010))).toBe(true);
    expect(names.map((name) => statSync(name).size)).toEqual(names.map(() => 0));
    rmSync(staging, { recursive: true });
  });

  test('a directory in which somebody is when it is committed is stale', () => {
    const staging = beginStaging(mount, 'host/inside');
    mkdirSync(join(staging, 'x.pxar'));
    const script = `cd ${staging}/x.pxar && mv ../../staging ../../now && ls . 2>&1; true`;
    expect(execFileSync('sh', ['-c', script], { encoding: 'utf8' })).toMatch(/Stale file handle/);
  });

  test('images of a removed staging directory are stale; others go on', () => {
    for (let round = 0; round < 3; round++) {
      const staging = beginStaging(mount, 'vm/1');
      const fd = opened(join(staging, 'a.img'), 'w');
      for (let n = 0; n < 12; n++) writeSync(fd, noise(`${round}`, 100_000), 0, 100_000, n * 4 * mebibyte);
      rmSync(staging, { recursive: true });
      for (let n = 0; n < 12; n++) expect(codeOf(() => writeSync(fd, noise('late', 100_000), 0, 100_000, n * 4 * mebibyte))).toEqual(stale);
      const other = join(beginStaging(mount, 'vm/2'), 'b.img');
      const content = noise(`other ${round}`, 9 * mebibyte);
      writeFileSync(other, content);
      expect(readFileSync(other).equals(content)).toBe(true);
      rmSync(join(mount.mountPoint, 'vm/2/staging'), { recursive: true });
    }
  });

  test.each(['removed', 'replaced'])('an image that was %s is another one than that with its name', (how) => {
    const staging = beginStaging(mount, `vm/${how}`);
    const [path, other] = [join(staging, 'b.img'), join(staging, 'c.img')];
    const old = opened(path, 'w+');
    writeSync(old, noise('old', 3000));
    if (how === 'removed') unlinkSync(path);
    writeFileSync(how === 'removed' ? path : other, noise('new', 6_000_000));
    if (how === 'replaced') renameSync(other, path);
    expect(fstatSync(old)).toMatchObject({ size: 3000, nlink: 0 });
    ftruncateSync(old, 10);
    fsyncSync(old);
    expect(fstatSync(old).size).toBe(10);
    const read = Buffer.alloc(20);
    expect(readSync(old, read, 0, 20, 0)).toBe(10);
    expect(read.subarray(0, 10).equals(noise('old', 10))).toBe(true);
    expect(readFileSync(path).equals(noise('new', 6_000_000))).toBe(true);
    unlinkSync(path);
    closeSync(openSync(path, 'wx'));
    expect(statSync(path).size).toBe(0);
    rmSync(staging, { recursive: true });
  });

  test('a renamed image is synchronized', () => {
    const staging = beginStaging(mount, 'vm/renamed');
    writeFileSync(join(staging, 'a.img'), noise('a', 5 * mebibyte));
    renameSync(join(staging, 'a.img'), join(staging, 'b.img'));
    const fd = opened(join(staging, 'b.img'), 'r+');
    fsyncSync(fd);
    writeSync(fd, 'more', 10);
    fsyncSync(fd);
    rmSync(staging, { recursive: true });
  });

  test('the modification time of an image: when it was written, or what was set since', async () => {
    const staging = beginStaging(mount, 'vm/times');
    const path = join(staging, 'a.img');
    const fd = openSync(path, 'w');
    utimesSync(path, 1000, 1000);
    expect(fstatSync(fd).mtimeMs).toBe(1_000_000);
    writeSync(fd, 'text');
    const seen = fstatSync(fd).mtimeMs;
    expect(seen).toBeGreaterThan(Date.now() - 60_000);
    closeSync(fd);
    // Close is told a little after it.
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(statSync(path).mtimeMs).toBe(seen);
    const again = openSync(path, 'r+');
    writeSync(again, 'more');
    utimesSync(path, 2000, 2000);
    closeSync(again);
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(statSync(path).mtimeMs).toBe(2_000_000);
    rmSync(staging, { recursive: true });
  });
});

test.skipIf(!canMount)('an image that was made larger by its name has its size after a kill', async () => {
  const mount = await mountToStage();
  const path = join(beginStaging(mount, 'vm/1'), 'a.img');
  writeFileSync(path, noise('a', 100));
  truncateSync(path, 5 * mebibyte);
  process.kill(await mount.daemon(), 'SIGKILL');
  await eventually(() => !isMounted(mount), 'the mount is gone');
  await mount.again();
  expect(statSync(path).size).toBe(5 * mebibyte);
  await mount.unmount();
});
