/** Mounts for the benchmark, each served by a process of its own, so that its memory and processor time are those of a daemon. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** @typedef {import('./daemon.js').DaemonSetup} DaemonSetup */

export const cacheBytes = 256 * 1024 * 1024;

export class Mount {
  #process;

  /** @param {import('node:child_process').ChildProcess} process @param {string} path */
  constructor(process, path) {
    this.#process = process;
    this.path = path;
  }

  /**
   * @param {string} store
   * @param {Partial<DaemonSetup>} [options]
   */
  static async open(store, options = {}) {
    const mountPoint = mkdtempSync(join(tmpdir(), 'pbsfs-bench-mount-'));
    const setup = { store, mountPoint, cacheBytes, ...options };
    const profile = process.env['BENCH_PROFILE'];
    const execArgv = profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${profile}`];
    const child = fork(new URL('./daemon.js', import.meta.url), [JSON.stringify(setup)], { execArgv });
    await answerOf(child);
    return new Mount(child, mountPoint);
  }

  /** Unmounts and mounts the same file system again: what the kernel knew of it is gone. */
  async again() {
    this.#process.send('remount');
    await answerOf(this.#process);
  }

  /** Bytes of memory now and at most so far. */
  memory() {
    const status = readFileSync(`/proc/${this.#process.pid}/status`, 'utf8');
    const bytes = (/** @type {string} */ field) => Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(status)?.[1]) * 1024;
    return { now: bytes('VmRSS'), peak: bytes('VmHWM') };
  }

  async close() {
    const end = once(this.#process, 'exit');
    this.#process.send('end');
    await end;
    rmdirSync(this.path);
  }
}

/** @param {import('node:child_process').ChildProcess} child */
async function answerOf(child) {
  const end = new AbortController();
  await Promise.race([
    once(child, 'message', { signal: end.signal }),
    once(child, 'exit', { signal: end.signal }).then(() => {
      throw new Error('the mount ended');
    }),
  ]);
  end.abort();
}

/**
 * Calls `use` with a mount that was never read from.
 * @template T
 * @param {string} store
 * @param {Partial<DaemonSetup>} options
 * @param {(mount: Mount) => Promise<T>} use
 * @returns {Promise<T>}
 */
export async function withMount(store, options, use) {
  const mount = await Mount.open(store, options);
  try {
    return await use(mount);
  } finally {
    await mount.close();
  }
}
