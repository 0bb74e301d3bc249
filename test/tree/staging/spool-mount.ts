/** Starts spool-mount-program.js and speaks with it. */
import { fork } from 'node:child_process';
import { chownSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';
import { MountedEverything, type ProgramMessage, makeMountPoint } from '../../support/mounted-everything.js';
import { scratchDirectory } from '../../support/scratch.js';

const program = fileURLToPath(new URL('./spool-mount-program.js', import.meta.url));

export interface SpoolMessage extends ProgramMessage {
  readonly openWriters?: number;
  readonly knownInodes?: number;
  /** Of the process, and what is in use of it. */
  readonly memoryBytes?: number;
  readonly usedBytes?: number;
}

export interface MountedSpool {
  readonly mounted: MountedEverything;
  readonly mountPoint: string;
  readonly directory: string;
}

/** A new directory to be a spool. */
export function spoolDirectory(uid = 0): string {
  const directory = join(scratchDirectory(), 'spool');
  mkdirSync(directory, 0o755);
  chownSync(directory, uid, uid);
  return directory;
}

export async function mountSpool(directory = spoolDirectory(), { uid }: { uid?: number } = {}): Promise<MountedSpool> {
  const mountPoint = makeMountPoint(uid);
  const options = JSON.stringify({ mountPoint, directory, ordinary: uid !== undefined });
  const user = uid === undefined ? {} : { uid, gid: uid };
  const mounted = new MountedEverything(mountPoint, fork(program, [options], { cwd: '/', execArgv: ['--expose-gc'], ...user }));
  const { event, error } = await mounted.message('mounted', 'failed');
  if (event === 'mounted') return { mounted, mountPoint, directory };
  await mounted.clear();
  throw new Error(`not mounted: ${error?.message}`);
}

/** Ends the mount in order: nothing is open, and nothing was logged. */
export async function endSpool({ mounted }: MountedSpool): Promise<void> {
  try {
    if (mounted.child.exitCode === null) {
      mounted.child.kill('SIGTERM');
      const refused = mounted.message('not unmounted').then(({ error }) => error?.message, () => new Promise<never>(() => undefined));
      expect(await Promise.race([mounted.exited, refused]), JSON.stringify(mounted.messages)).toBe(0);
      expect(mounted.messages.filter(({ event }) => event === 'log')).toEqual([]);
      const ended = mounted.messages.find(({ event }) => event === 'ended');
      expect(ended).toMatchObject({ openFiles: 0, openWriters: 0 });
    }
  } finally {
    await mounted.clear();
  }
}

export async function statistics({ mounted }: MountedSpool): Promise<Required<Omit<SpoolMessage, keyof ProgramMessage>> & { openFiles: number }> {
  const message = (await mounted.ask('statistics', {}, 'statistics')) as SpoolMessage;
  const { knownInodes = -1, memoryBytes = -1, usedBytes = -1, openFiles = -1, openWriters = -1 } = message;
  return { knownInodes, memoryBytes, usedBytes, openFiles, openWriters };
}

/** The kernel forgets what it knows of this mount and nobody uses. */
export async function forgetAll({ mounted }: MountedSpool): Promise<void> {
  await mounted.ask('forget', {}, 'done');
}
