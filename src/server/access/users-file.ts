/** The one file that says who may do what: for nobody but its owner, written whole under a lock, read again when it changed. */
import { constants } from 'node:fs';
import { mkdir, open, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { basename, dirname, isAbsolute, join } from 'node:path';
import { StoreError, codeOf, messageOf } from '../../errors.js';
import { writeWhole } from '../../store/local/atomic-file.js';
import { lockFile, waitForLock } from '../../store/local/locks.js';
import type { StoreOwner } from '../../store/local/ownership.js';
import { encodeUsers, parseUsers, usersFileBytesMax, type Users } from './users.js';

const secretMode = 0o600;
const ofOthers = 0o077;
const lockWaitMs = 10_000;
/** Changes count within this time. */
const believedMs = 500;

/** /etc/pbsfs/users.json for root, $XDG_CONFIG_HOME/pbsfs or ~/.config/pbsfs for others. */
export function defaultUsersPath(): string {
  const { XDG_CONFIG_HOME: given = '' } = process.env;
  const base = process.getuid?.() === 0 ? '/etc' : isAbsolute(given) ? given : join(homedir(), '.config');
  return join(base, 'pbsfs', 'users.json');
}

/** NOT_FOUND; NO_PERMISSION if others than its owner may read or write it; what parseUsers() throws. */
export async function readUsers(path: string): Promise<Users> {
  try {
    return parseUsers(await readPrivateFile(path, 'the users file', usersFileBytesMax), path);
  } catch (cause) {
    if (codeOf(cause) !== 'NOT_FOUND') throw cause;
    throw new StoreError('NOT_FOUND', `there are no users: ${path} does not exist; make the first one with pbsfs user add NAME@pbs`, { cause });
  }
}

/** A file that is nobody's else. NOT_FOUND, NO_PERMISSION. */
export async function readPrivateFile(path: string, what: string, bytesMax: number): Promise<Buffer> {
  const file = await openPrivate(path, what);
  try {
    const { mode, size, uid } = await file.stat();
    const isTrusted = uid === 0 || uid === process.geteuid?.();
    if ((mode & ofOthers) !== 0) throw new StoreError('NO_PERMISSION', `${what} ${path} can be read or written by others; chmod 600 ${path}`);
    if (!isTrusted) throw new StoreError('NO_PERMISSION', `${what} ${path} belongs to user ${uid}; it has to be yours`);
    if (size > bytesMax) throw new StoreError('NO_PERMISSION', `${what} ${path} is larger than ${bytesMax} bytes`);
    return await file.readFile();
  } finally {
    await file.close();
  }
}

async function openPrivate(path: string, what: string) {
  try {
    return await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (cause) {
    if (codeOf(cause) === 'ENOENT') throw new StoreError('NOT_FOUND', `${what} ${path} does not exist`, { cause });
    if (codeOf(cause) === 'EACCES') throw new StoreError('NO_PERMISSION', `${what} ${path} can not be read: no permission`, { cause });
    throw cause;
  }
}

/** Replaces the file by what `change` makes of its users; a missing one is made. LOCKED, NO_PERMISSION, and what `change` throws. */
export async function changeUsers(path: string, change: (users: Users) => Users | Promise<Users>): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const owner = await ownerOf(path);
  const lock = await waitForLock(() => lockFile(`${path}.lock`, 'exclusive', owner), lockWaitMs);
  if (lock === undefined) throw new StoreError('LOCKED', `${path} is being changed by another program; ${path}.lock is its lock`);
  try {
    await writePrivateFile(path, encodeUsers(await change(await usersOrNone(path))));
  } finally {
    lock.release();
  }
}

async function usersOrNone(path: string): Promise<Users> {
  try {
    return await readUsers(path);
  } catch (error) {
    if (codeOf(error) === 'NOT_FOUND') return new Map();
    throw error;
  }
}

/** Whole or not at all; it belongs to whom its directory, or the file that was there, belongs to. */
export async function writePrivateFile(path: string, bytes: Uint8Array): Promise<void> {
  const owner = await ownerOf(path);
  await writeWhole(dirname(path), basename(path), bytes, { owner, durable: true, mode: secretMode });
}

async function ownerOf(path: string): Promise<StoreOwner | undefined> {
  if (process.geteuid?.() !== 0) return undefined;
  const { uid, gid } = await stat(path).catch(() => stat(dirname(path)));
  return { uid, gid };
}

/** The users as they are now. A file that went bad is told once, and what was known before holds on. */
export class WatchedUsers {
  #users: Users;
  #version = '';
  #checkedMs = -Infinity;
  #checking: Promise<void> | undefined;

  private constructor(
    private readonly path: string,
    private readonly log: (line: string) => void,
    users: Users,
  ) {
    this.#users = users;
  }

  static async open(path: string, log: (line: string) => void): Promise<WatchedUsers> {
    const version = await versionOf(path);
    const watched = new WatchedUsers(path, log, await readUsers(path));
    watched.#version = version;
    return watched;
  }

  async current(): Promise<Users> {
    if (performance.now() - this.#checkedMs > believedMs) {
      this.#checking ??= this.#check().finally(() => (this.#checking = undefined));
      await this.#checking;
    }
    return this.#users;
  }

  async #check(): Promise<void> {
    const version = await versionOf(this.path);
    this.#checkedMs = performance.now();
    if (version === this.#version) return;
    this.#version = version;
    try {
      this.#users = await readUsers(this.path);
      this.log(`${this.path} is read again: ${this.#users.size} users`);
    } catch (error) {
      this.log(`${this.path} changed and can't be used, the users known before stay: ${messageOf(error)}`);
    }
  }
}

/** Differs after every replacement, and after most changes in place. */
async function versionOf(path: string): Promise<string> {
  try {
    const { ino, size, mtimeNs, ctimeNs } = await stat(path, { bigint: true });
    return [ino, size, mtimeNs, ctimeNs].join(' ');
  } catch (error) {
    return `none: ${codeOf(error)}`;
  }
}
