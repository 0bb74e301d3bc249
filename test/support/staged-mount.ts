/** Writable mounts of datastores by the built command, and what is done in their staging directories. */
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import { eventually, isAlive, pbsfs, runProgram, type Ended } from './command.js';
import { daemonOf, mountAt, mountLines, mountPlace, type MountPlace } from './mounted-store.js';
import { emptyStore } from './new-snapshots.js';
import { scratchDirectory } from './scratch.js';
import { locationOf, type Place } from './store-table.js';

export interface StagedMountOptions {
  /** A directory, or a repository. */
  readonly store?: string;
  /** Whether the directory is served, and the repository mounted. */
  readonly storeAt?: Place;
  readonly spool?: string;
  readonly args?: readonly string[];
}

export interface StagedMount extends MountPlace {
  /** As given: the directory also of a store on a server. */
  readonly store: string;
  readonly spool: string;
  /** Mounts again what was unmounted or killed. */
  again(args?: readonly string[]): Promise<void>;
  daemon(): Promise<number>;
  /** Waits until the daemon has ended. */
  unmount(): Promise<void>;
  logged(): string;
}

export async function mountToStage({ store = emptyStore(), storeAt = 'in a directory', spool = scratchDirectory(), args = [] }: StagedMountOptions = {}): Promise<StagedMount> {
  const place = mountPlace();
  const location = await locationOf(store, storeAt);
  const again = async (more = args): Promise<void> => {
    const { status, stderr } = await mountAt(place, location, ['--writable', '--spool', spool, ...more]);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  };
  await again();
  const daemon = (): Promise<number> => daemonOf(place.mountPoint);
  const unmount = async (): Promise<void> => {
    const pid = await daemon();
    // Whoever looked at what was mounted, udev for one, lets go of it soon.
    for (let tries = 0; ; tries++) {
      const { status, stderr } = await pbsfs(['umount', place.mountPoint]);
      if (status === 0) break;
      if (tries === 20) throw new Error(stderr);
    }
    await eventually(() => !isAlive(pid), 'the daemon ends');
  };
  return { ...place, store, spool, again, daemon, unmount, logged: () => readFileSync(place.log, 'utf8') };
}

/** The directory `staging` of a group, made with everything above it. */
export function beginStaging({ mountPoint }: Pick<MountPlace, 'mountPoint'>, group: string): string {
  const staging = join(mountPoint, group, 'staging');
  mkdirSync(staging, { recursive: true });
  return staging;
}

/** What rsync would change in `copy` to make it like `original`, line by line, but for the attributes of their roots. */
export async function rsyncDifferences(original: string, copy: string): Promise<string[]> {
  const all = await runProgram('rsync', ['-naAXHi', '--checksum', '--delete', `${original}/`, `${copy}/`]);
  if (all.status !== 0) throw new Error(all.stderr);
  // The root of an archive shows facts about it as attributes.
  return all.stdout.split('\n').filter((line) => line !== '' && line !== '.d........x ./');
}

export function commit(group: string, args: readonly string[] = []): Promise<Ended> {
  return pbsfs(['commit', group, '--json', ...args]);
}

export interface CommitEvent {
  readonly event: string;
  readonly [member: string]: unknown;
}

export function eventsOf({ stdout }: Ended): CommitEvent[] {
  return stdout.split('\n').filter((line) => line !== '').map((line) => JSON.parse(line) as CommitEvent);
}

/** What the mount table has still. */
export function isMounted({ mountPoint }: Pick<MountPlace, 'mountPoint'>): boolean {
  return mountLines(mountPoint).length > 0;
}
