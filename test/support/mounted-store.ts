/** Mounts of fixture stores by the built command; whatever a test leaves is unmounted when its file ends. */
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import { pbsfs, type Ended, type RunOptions } from './command.js';

export interface MountPlace {
  readonly directory: string;
  readonly mountPoint: string;
  readonly log: string;
}

const made: MountPlace[] = [];
// Here, as a hook that a running test adds would not be called.
afterAll(() => {
  for (const { directory, mountPoint } of made.splice(0)) {
    while (mountLines(mountPoint).length > 0) execFileSync('umount', ['-c', '-l', mountPoint]);
    rmSync(directory, { recursive: true, force: true });
  }
});

/** A directory with an empty mount point in it. */
export function mountPlace(): MountPlace {
  const directory = mkdtempSync(join(tmpdir(), 'pbsfs-e2e-'));
  chmodSync(directory, 0o755);
  const mountPoint = join(directory, 'mnt');
  mkdirSync(mountPoint);
  const place = { directory, mountPoint, log: join(directory, 'log') };
  made.push(place);
  return place;
}

/** Lines of the mount table for what is mounted there. */
export function mountLines(mountPoint: string): string[] {
  return readFileSync('/proc/self/mountinfo', 'utf8').split('\n').filter((line) => line.split(' ')[4] === mountPoint);
}

/** In the background, logging into the place. */
export function mountAt({ mountPoint, log }: MountPlace, store: string, args: readonly string[] = [], options: RunOptions = {}): Promise<Ended> {
  return pbsfs(['mount', store, mountPoint, '--log', log, ...args], options);
}

/** The daemon's process id, as `pbsfs status` has it. */
export async function daemonOf(mountPoint: string): Promise<number> {
  const { stdout, stderr } = await pbsfs(['status', '--json', mountPoint]);
  if (stdout === '') throw new Error(stderr);
  return (JSON.parse(stdout) as { status: { driver: { pid: number } } }).status.driver.pid;
}
