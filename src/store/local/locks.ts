/**
 * Format: datastore, sections 3.5 and 3.6. Locks that a server on the same host honours, and honours theirs. Each belongs to an open
 * description that no child inherits, so it ends with this process at the latest.
 */
import { closeSync, constants, fchmodSync, fchownSync, fstatSync, lstatSync, openSync, unlinkSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { codeOf } from '../../errors.js';
import { replacementTempName } from '../../format/temp-name.js';
import { tryLock } from '../../os/file-locks.js';
import { renameNew } from './atomic-file.js';
import { ensureDirectory, type StoreOwner } from './ownership.js';

export type LockKind = 'shared' | 'exclusive';

const lockFileMode = 0o660;
/** Times that what is locked may be replaced in between. */
const attemptsMax = 5;
const pollMs = 50;

export class HeldLock {
  readonly path: string;
  #fd: number | undefined;

  constructor(path: string, fd: number) {
    this.path = path;
    this.#fd = fd;
  }

  release(): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
  }
}

interface Releasable {
  release(): void;
}

/** Locks in the order of taking them; they are released in the reverse one. */
export class LockStack {
  readonly #held: Releasable[] = [];

  push(lock: Releasable): void {
    this.#held.push(lock);
  }

  release(): void {
    for (const lock of this.#held.splice(0).reverse()) lock.release();
  }
}

/** A directory itself, which is the lock of a group or snapshot before 4.0. Undefined if others hold it; ENOENT, ENOTDIR. */
export function lockDirectory(path: string, kind: LockKind): HeldLock | undefined {
  const flags = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;
  return lockNamed(path, () => openSync(path, flags), kind);
}

/** A file that is replaced by who holds its lock. Undefined if others hold it; ENOENT. */
export function lockExistingFile(path: string, kind: LockKind): HeldLock | undefined {
  return lockNamed(path, () => openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK), kind);
}

/** A lock file of 4.x, made if need be. Undefined if others hold it. */
export async function lockFile(path: string, kind: LockKind, owner: StoreOwner | undefined): Promise<HeldLock | undefined> {
  await ensureDirectory(dirname(path), owner);
  return lockNamed(path, () => openLockFile(path, owner), kind);
}

/** Tries for `waitMs`. */
export async function waitForLock(take: () => HeldLock | undefined | Promise<HeldLock | undefined>, waitMs: number): Promise<HeldLock | undefined> {
  const end = performance.now() + waitMs;
  for (;;) {
    const lock = await take();
    if (lock !== undefined || performance.now() >= end) return lock;
    await setTimeout(pollMs);
  }
}

/** What is locked must still be what has the name afterwards: whoever removes it does so while holding the lock. */
function lockNamed(path: string, openIt: () => number, kind: LockKind): HeldLock | undefined {
  for (let attempt = 0; attempt < attemptsMax; attempt++) {
    const fd = openIt();
    const lock = lockOrClose(path, fd, () => tryLock(fd, kind));
    if (lock === undefined || isNamed(fd, path)) return lock;
    lock.release();
  }
  return undefined;
}

function lockOrClose(path: string, fd: number, take: () => boolean): HeldLock | undefined {
  let taken = false;
  try {
    taken = take();
  } finally {
    if (!taken) closeSync(fd);
  }
  return taken ? new HeldLock(path, fd) : undefined;
}

function isNamed(fd: number, path: string): boolean {
  const [opened, named] = [fstatSync(fd, { bigint: true }), lstatSync(path, { bigint: true, throwIfNoEntry: false })];
  return named !== undefined && opened.ino === named.ino && opened.dev === named.dev;
}

function openLockFile(path: string, owner: StoreOwner | undefined): number {
  for (;;) {
    try {
      return openSync(path, constants.O_RDWR | constants.O_APPEND | constants.O_NOFOLLOW);
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') throw error;
    }
    try {
      return createLockFile(path, owner);
    } catch (error) {
      if (codeOf(error) !== 'EEXIST') throw error;
    }
  }
}

/** It has mode and owner before anyone can open it. EEXIST if another program made it meanwhile. */
function createLockFile(path: string, owner: StoreOwner | undefined): number {
  const temporary = join(dirname(path), replacementTempName(basename(path)));
  const fd = openSync(temporary, constants.O_RDWR | constants.O_APPEND | constants.O_CREAT | constants.O_EXCL, 0o600);
  try {
    fchmodSync(fd, lockFileMode);
    if (owner !== undefined) fchownSync(fd, owner.uid, owner.gid);
    renameNew(temporary, path);
    return fd;
  } catch (error) {
    closeSync(fd);
    unlinkSync(temporary);
    throw error;
  }
}
