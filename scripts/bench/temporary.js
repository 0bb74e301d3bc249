/** Where the benchmark keeps its stores: in memory where there is room, so that no disk is measured. */
import { mkdtempSync, rmSync, statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const inMemory = '/dev/shm';
const spareBytes = 4 * 1024 ** 3;

/**
 * Calls `use` with a new directory that has room for `bytes`, and removes it afterwards.
 * @template T
 * @param {number} bytes
 * @param {(directory: string) => Promise<T>} use
 * @returns {Promise<T>}
 */
export async function withDirectory(bytes, use) {
  const directory = mkdtempSync(join(freeBytes(inMemory) > bytes + spareBytes ? inMemory : tmpdir(), 'pbsfs-bench-'));
  const remove = () => {
    rmSync(directory, { recursive: true, force: true });
  };
  process.once('exit', remove);
  try {
    return await use(directory);
  } finally {
    process.removeListener('exit', remove);
    remove();
  }
}

/** @param {string} path */
function freeBytes(path) {
  try {
    const { bavail, bsize } = statfsSync(path);
    return bavail * bsize;
  } catch {
    return 0;
  }
}
