/** Starts writable-mount-program.js and speaks with it. */
import { execFileSync, fork } from 'node:child_process';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';
import { MountedEverything, makeMountPoint } from './mounted-everything.js';
import type { WritableMountOptions } from './writable-mount-program.js';

const program = fileURLToPath(new URL('./writable-mount-program.js', import.meta.url));

export interface WritableOptions extends Omit<WritableMountOptions, 'mountPoint'> {
  /** Run the program as this user. */
  readonly uid?: number;
}

export async function mountWritable({ uid, ...options }: WritableOptions = {}): Promise<MountedEverything> {
  const mountPoint = makeMountPoint(uid);
  const user = uid === undefined ? {} : { uid, gid: uid };
  const mounted = new MountedEverything(
    mountPoint,
    fork(program, [JSON.stringify({ ...options, mountPoint })], { ...user, cwd: '/' }),
  );
  const { event, error } = await mounted.message('mounted', 'failed');
  if (event === 'mounted') return mounted;
  await mounted.clear();
  throw new Error(`not mounted: ${error?.message}`);
}

/** Ends the mount in order: nothing is open, nothing was logged, and no inode was given back that was not there. */
export async function endWritable(mounted: MountedEverything): Promise<void> {
  try {
    if (mounted.child.exitCode === null) {
      mounted.child.kill('SIGTERM');
      const late = setTimeout(30_000, 'still mounted after 30 s', { ref: false });
      expect(await Promise.race([mounted.exited, late]), JSON.stringify(mounted.messages)).toBe(0);
      expect(mounted.messages.filter(({ event }) => event === 'log')).toEqual([]);
      const ended = mounted.messages.find(({ event }) => event === 'ended');
      expect(ended).toMatchObject({ openFiles: 0, openDirectories: 0, strayForgets: 0 });
    }
  } finally {
    await mounted.clear();
  }
}

/** A program on the mount, without a way to hang the test for ever. */
export function run(
  program: string,
  args: readonly string[],
  options: { cwd?: string; timeoutMs?: number; uid?: number } = {},
): string {
  return execFileSync(program, args, {
    ...(options.uid === undefined ? {} : { uid: options.uid, gid: options.uid }),
    cwd: options.cwd ?? '/',
    timeout: options.timeoutMs ?? 100_000,
    maxBuffer: 1 << 28,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, LC_ALL: 'C' },
  });
}
