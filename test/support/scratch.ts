/** Temporary directories and copies of the fixture stores that a test may damage; they go when the test file ends. */
import { chmodSync, cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import { storePath, type FixtureStore } from './fixtures.js';

const made: string[] = [];
// Here, as a hook that a running test adds would not be called.
afterAll(() => {
  for (const path of made.splice(0)) rmSync(path, { recursive: true, force: true });
});

/** A new directory that ordinary users can look into. */
export function scratchDirectory(): string {
  const path = mkdtempSync(join(tmpdir(), 'pbsfs-scratch-'));
  chmodSync(path, 0o755);
  made.push(path);
  return path;
}

export function copyOfStore(name: FixtureStore): string {
  const path = join(scratchDirectory(), 'store');
  cpSync(storePath(name), path, { recursive: true, preserveTimestamps: true });
  return path;
}
