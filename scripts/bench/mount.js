/** Mounts for the benchmark: of a store by the program's own command, and of a copy in memory by memory-daemon.js. */
import { fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const cacheBytes = 256 * 1024 * 1024;
export const program = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
/** How long after it is ready a mount is left alone, so that what it does for itself is not measured. */
const settleMs = 300;

/** @typedef {{ cacheBytes?: number, keyFile?: string | undefined, options?: readonly string[] }} StoreMountOptions */

class Mount {
  /** @param {import('node:child_process').ChildProcess} child @param {string} path */
  constructor(child, path) {
    this.child = child;
    this.path = path;
    this.end = () => child.kill();
    process.once('exit', this.end);
  }

  /** Bytes of memory now and at most so far. */
  memory() {
    const status = readFileSync(`/proc/${this.child.pid}/status`, 'utf8');
    const bytes = (/** @type {string} */ field) => Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(status)?.[1]) * 1024;
    return { now: bytes('VmRSS'), peak: bytes('VmHWM') };
  }

  async close() {
    process.removeListener('exit', this.end);
    const end = once(this.child, 'exit');
    if (this.child.connected) this.child.disconnect();
    else this.child.kill();
    await end;
    rmdirSync(this.path);
  }
}

class MemoryMount extends Mount {
  /** Unmounts and mounts again: what the kernel knew of it is gone. */
  async again() {
    this.child.send('again');
    await mounted(this.child, 'message');
  }
}

/**
 * `pbsfs mount --foreground`.
 * @param {string} store
 * @param {StoreMountOptions} [options]
 */
export async function mountStore(store, options = {}) {
  const path = newMountPoint();
  const profile = process.env['BENCH_PROFILE'];
  const args = ['mount', '--foreground', '--cache-size', String(options.cacheBytes ?? cacheBytes), store, path];
  if (options.keyFile !== undefined) args.push('--keyfile', options.keyFile);
  args.push(...(options.options ?? []));
  const nodeArgs = profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${profile}`];
  const child = spawn(process.execPath, [...nodeArgs, program, ...args], { stdio: ['ignore', 'ignore', 'pipe'] });
  await mounted(child, 'stderr');
  return new Mount(child, path);
}

/**
 * @param {string} store
 * @param {string} path of what is copied
 * @param {string} [keyFile]
 */
export async function mountCopy(store, path, keyFile) {
  const mountPoint = newMountPoint();
  const args = [store, path, mountPoint, ...(keyFile === undefined ? [] : [keyFile])];
  const child = fork(new URL('./memory-daemon.js', import.meta.url), args);
  await mounted(child, 'message');
  return new MemoryMount(child, mountPoint);
}

/**
 * Calls `use` with a mount that was never read from.
 * @template T
 * @param {string} store
 * @param {StoreMountOptions} options
 * @param {(mount: Mount) => Promise<T>} use
 * @returns {Promise<T>}
 */
export async function withMount(store, options, use) {
  const mount = await mountStore(store, options);
  try {
    await new Promise((resolve) => setTimeout(resolve, settleMs));
    return await use(mount);
  } finally {
    await mount.close();
  }
}

export function newMountPoint() {
  return mkdtempSync(join(tmpdir(), 'pbsfs-bench-mount-'));
}

/**
 * Resolves when the process tells that it has mounted.
 * @param {import('node:child_process').ChildProcess} child
 * @param {'message' | 'stderr'} where it tells it
 * @returns {Promise<void>}
 */
function mounted(child, where) {
  return new Promise((resolve, reject) => {
    let said = '';
    const done = () => {
      child.removeListener('exit', ended).removeListener('message', done);
      resolve();
    };
    const ended = () => {
      reject(new Error(`the mount ended: ${said}`));
    };
    child.on('exit', ended);
    if (where === 'message') child.on('message', done);
    child.stderr?.on('data', (/** @type {Buffer} */ data) => {
      said += data.toString();
      if (said.includes('is mounted on')) done();
    });
  });
}
