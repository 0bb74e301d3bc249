/** Starts mount-program.js and speaks with it. */
import { type ChildProcess, execFileSync, fork, spawn } from 'node:child_process';
import { accessSync, chmodSync, chownSync, constants, mkdtempSync, readFileSync, rmdirSync, statSync } from 'node:fs';
import { once } from 'node:events';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { OperationStatistics } from '../../src/vfs/driver.js';
import type { MountProgramOptions } from './mount-program.js';

const program = fileURLToPath(new URL('./mount-program.js', import.meta.url));
export const nobody = 65534;

export interface ProgramMessage {
  readonly event: string;
  readonly line?: string;
  readonly error?: { readonly code: string; readonly message: string };
  readonly list?: readonly OperationStatistics[];
  readonly openFiles?: number;
  readonly openDirectories?: number;
}

export interface StartOptions extends Omit<MountProgramOptions, 'mountPoint'> {
  readonly mountPoint?: string;
  /** Run the program as this user. */
  readonly uid?: number;
  /** A module that the program loads first, as text. */
  readonly preload?: string;
  /** A file of this mode is where the program looks for /dev/fuse. */
  readonly deviceMode?: string;
}

function isUsable(path: string): boolean {
  try {
    accessSync(path, constants.R_OK | constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

/** Whether mounts can be made here at all; says so if not. */
export const canMount = process.getuid?.() === 0 && isUsable('/dev/fuse');
if (!canMount) console.warn('not root, or no /dev/fuse: tests that mount are skipped');

export function hasProgram(name: string): boolean {
  try {
    execFileSync('/bin/sh', ['-c', `command -v ${name}`], { stdio: 'ignore' });
    return true;
  } catch {
    console.warn(`${name} is not installed: tests that use it are skipped`);
    return false;
  }
}

function canLoad(name: string): boolean {
  try {
    createRequire(import.meta.url)(name);
    return true;
  } catch (error) {
    console.warn(`${name} does not load: tests that use it are skipped (${String(error).split('\n')[0]})`);
    return false;
  }
}

const canMountAsUser = canMount && hasProgram('fusermount3') && canLoad('koffi');
const canMountNative = canMount && canLoad('fuse-native');

/** Whether this machine has what such a mount needs. */
export function isPossible({ driver, uid }: { readonly driver: StartOptions['driver']; readonly uid?: number }): boolean {
  return canMount && (driver !== 'fuse-native' || canMountNative) && (uid === undefined || canMountAsUser);
}

/**
 * The device as udev leaves it on real systems. Returns what restores it. One at a time, in all test files and runs on this
 * machine: waits for others, who are done in minutes.
 */
export async function openDeviceForUsers(): Promise<() => Promise<void>> {
  const lock = spawn('flock', [join(tmpdir(), 'pbsfs-test-device.lock'), 'sh', '-c', 'echo locked; cat'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  await once(lock.stdout, 'data');
  const { mode } = statSync('/dev/fuse');
  chmodSync('/dev/fuse', 0o666);
  return async () => {
    chmodSync('/dev/fuse', mode & 0o7777);
    lock.stdin.end();
    await once(lock, 'exit');
  };
}

export function makeMountPoint(uid = 0): string {
  const directory = mkdtempSync(join(tmpdir(), 'pbsfs-mount-'));
  chmodSync(directory, 0o755);
  chownSync(directory, uid, uid);
  return directory;
}

export function isInMountTable(mountPoint: string): boolean {
  return readFileSync('/proc/self/mountinfo', 'utf8').includes(` ${mountPoint} `);
}

/** Leaves it to the crash watcher for a while, and then unmounts itself. */
export async function clearMountPoint(mountPoint: string): Promise<void> {
  for (let i = 0; i < 40 && isInMountTable(mountPoint); i += 1) await setTimeout(50);
  while (isInMountTable(mountPoint)) execFileSync('umount', ['-c', '-l', mountPoint]);
}

export class MountedEverything {
  readonly mountPoint: string;
  readonly child: ChildProcess;
  readonly messages: ProgramMessage[] = [];
  readonly exited: Promise<number | string>;

  constructor(mountPoint: string, child: ChildProcess) {
    this.mountPoint = mountPoint;
    this.child = child;
    child.on('message', (message) => this.messages.push(message as ProgramMessage));
    this.exited = once(child, 'exit').then(([code, signal]) => (code ?? signal) as number | string);
  }

  path(name: string | Buffer): Buffer {
    return Buffer.concat([Buffer.from(`${this.mountPoint}/`), Buffer.from(name)]);
  }

  /** The next message of one of these kinds that has not been waited for. */
  async message(...events: string[]): Promise<ProgramMessage> {
    for (;;) {
      const at = this.messages.findIndex(({ event }) => events.includes(event));
      const [found] = at < 0 ? [] : this.messages.splice(at, 1);
      if (found !== undefined) return found;
      if (this.child.exitCode !== null || this.child.signalCode !== null) throw new Error(`ended without ${events.join(' or ')}`);
      await Promise.race([once(this.child, 'message'), this.exited]);
    }
  }

  async ask(command: string, more: object, ...events: string[]): Promise<ProgramMessage> {
    this.child.send({ command, ...more });
    return this.message(...events);
  }

  async counts(): Promise<Map<string, number>> {
    const { list = [] } = await this.ask('statistics', {}, 'statistics');
    return new Map(list.map(({ name, count }) => [name, count]));
  }

  /** For the end of a test: nothing is left, whatever happened. */
  async clear(): Promise<void> {
    if (this.child.exitCode === null && this.child.signalCode === null) this.child.kill('SIGKILL');
    await this.exited;
    await clearMountPoint(this.mountPoint);
    rmdirSync(this.mountPoint);
  }
}

/** In a mount namespace of its own with another /dev/fuse, as the user of the two numbers, then node with the arguments. */
const withDevice = `device=$(mktemp -u /tmp/pbsfs-device-XXXXXX) && mknod -m "$1" "$device" c 10 229 &&
  mount --bind "$device" /dev/fuse &&
  rm "$device" && uid=$2 && shift 2 && exec setpriv --reuid "$uid" --regid "$uid" --clear-groups "$@"`;

/** Without waiting for the mount. */
export function startProgram(options: StartOptions): MountedEverything {
  const { uid, mountPoint = makeMountPoint(uid), preload, deviceMode, ...rest } = options;
  const args = [JSON.stringify({ ...rest, mountPoint })];
  if (deviceMode !== undefined) {
    const execArgv = ['-m', 'sh', '-c', withDevice, 'sh', deviceMode, String(uid ?? 0), process.execPath];
    return new MountedEverything(mountPoint, fork(program, args, { execPath: '/usr/bin/unshare', execArgv, cwd: '/' }));
  }
  const user = uid === undefined ? {} : { uid, gid: uid };
  const execArgv = preload === undefined ? [] : ['--import', `data:text/javascript,${encodeURIComponent(preload)}`];
  return new MountedEverything(mountPoint, fork(program, args, { ...user, execArgv, cwd: '/' }));
}

export async function mountEverything(options: StartOptions): Promise<MountedEverything> {
  const mounted = startProgram(options);
  const { event, error } = await mounted.message('mounted', 'failed');
  if (event === 'mounted') return mounted;
  await mounted.clear();
  throw new Error(`not mounted: ${error?.message}`);
}
