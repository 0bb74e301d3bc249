/** Removing what was staged, whatever it is. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { removeTree } from '../../../src/tree/staging/spool-removal.js';
import { mountedFileSystem } from '../../support/file-systems.js';
import { makeOddTree } from '../../support/odd-trees.js';
import { Random, seed } from '../../support/random.js';
import { scratchDirectory } from '../../support/scratch.js';

const isRoot = process.getuid?.() === 0;
const never = new AbortController().signal;

function sh(script: string, ...args: string[]): void {
  execFileSync('sh', ['-euc', script, 'sh', ...args], { cwd: '/' });
}

function newTree(): string {
  const path = join(scratchDirectory(), 'tree');
  mkdirSync(path);
  return path;
}

test('paths longer than any that can be opened, and more levels than there may be descriptors', async () => {
  const path = newTree();
  execFileSync('perl', ['-e', 'chdir $ARGV[0]; for (1..5000) { mkdir "directory"; chdir "directory" or die } open F, ">leaf"', path]);
  sh('cd "$1"; mkdir -p a/removed-0/b removed-0/c removed-7', path);
  await removeTree(path, never);
  expect(existsSync(path)).toBe(false);
});

test.skipIf(!isRoot)(`everything that there can be, seed ${seed}`, async () => {
  const path = newTree();
  makeOddTree(path, new Random(seed), { entries: 300 });
  await removeTree(path, never);
  expect(existsSync(path)).toBe(false);
});

test.skipIf(!isRoot)('what chattr keeps from being changed, on file systems that have it and that have not', async () => {
  for (const type of ['ext4', 'tmpfs'] as const) {
    const path = join(mountedFileSystem(type, { megabytes: 8 }), 'tree');
    sh('mkdir -p "$1/a/b/c"; touch "$1/file" "$1/a/b/file"', path);
    if (type === 'ext4') sh('cd "$1"; chattr +i file a/b/file a/b/c; chattr +a a; chattr +i a/b .', path);
    await removeTree(path, never).catch(async (error: unknown) => {
      // Its own name is above it.
      expect((error as NodeJS.ErrnoException).code).toBe('EPERM');
      sh('chattr -i "$1"', path);
      await removeTree(path, never);
    });
    expect(existsSync(path)).toBe(false);
  }
});

test.skipIf(!isRoot)('modes that keep an ordinary user out of what is his', () => {
  const path = newTree();
  sh('mkdir -p "$1/a/b/c"; touch "$1/a/b/file"; chown -R 65534:65534 "$1" "$1/.."; chmod 000 "$1/a/b/c" "$1/a/b" "$1/a"', path);
  const program = `import { removeTree } from ${JSON.stringify(new URL('../../../dist/tree/staging/spool-removal.js', import.meta.url).href)};
    await removeTree(${JSON.stringify(path)}, new AbortController().signal);`;
  execFileSync(process.execPath, ['--input-type=module', '-e', program], { uid: 65534, gid: 65534, cwd: '/' });
  expect(existsSync(path)).toBe(false);
});

test('others have their turn meanwhile, and what is left when it is to end is removed the next time', async () => {
  const path = newTree();
  for (let n = 0; n < 3000; n++) writeFileSync(join(path, String(n)), '');
  const controller = new AbortController();
  const removal = removeTree(path, controller.signal);
  for (let turns = 0; turns < 5; turns++) await setImmediate();
  controller.abort();
  await expect(removal).rejects.toThrow(/abort/i);
  expect(readdirSync(path).length).toBeGreaterThan(1000);
  await removeTree(path, never);
  expect(existsSync(path)).toBe(false);
});
