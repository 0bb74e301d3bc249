/**
 * The lock of a whole datastore, which all sessions of this process that write have together: other processes collect no garbage meanwhile. A collection
 * of this process may run beside them, as it knows since when they write. Format: datastore, sections 3.5, 3.7 and 7.1.
 */
import { closeSync, constants, fchownSync, fstatSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { tryLockRecords } from '../../os/file-locks.js';
import { fileMode, type StoreOwner } from './ownership.js';

interface Use {
  readonly fd: number;
  readonly writers: Set<WriterLock>;
  isCollected: boolean;
}

/** By device and inode number of `.lock`. */
const uses = new Map<string, Use>();

export class WriterLock {
  /** Seconds since 1970. */
  readonly since = Math.floor(Date.now() / 1000);
  readonly #key: string;

  constructor(key: string) {
    this.#key = key;
  }

  release(): void {
    const use = uses.get(this.#key);
    if (use?.writers.delete(this) === true) endIfUnused(this.#key, use);
  }
}

export class CollectorLock {
  readonly #key: string;
  #isHeld = true;

  constructor(key: string) {
    this.#key = key;
  }

  /** Since when the session of this process that writes for longest does it; undefined if there is none. */
  get oldestWriter(): number | undefined {
    const since = [...(uses.get(this.#key)?.writers ?? [])].map((writer) => writer.since);
    return since.length > 0 ? Math.min(...since) : undefined;
  }

  release(): void {
    const use = uses.get(this.#key);
    if (!this.#isHeld || use === undefined) return;
    this.#isHeld = false;
    use.isCollected = false;
    if (use.writers.size > 0) tryLockRecords(use.fd, 'shared');
    endIfUnused(this.#key, use);
  }
}

/** Undefined while another process collects garbage, or keeps writers out for another reason. */
export function lockForWriting(location: string, owner: StoreOwner | undefined): WriterLock | undefined {
  return lock(location, owner, (key, use) => {
    if (!use.isCollected && use.writers.size === 0 && !tryLockRecords(use.fd, 'shared')) return undefined;
    const writer = new WriterLock(key);
    use.writers.add(writer);
    return writer;
  });
}

/** Undefined while another process writes or collects, or this one collects. */
export function lockForCollecting(location: string, owner: StoreOwner | undefined): CollectorLock | undefined {
  return lock(location, owner, (key, use) => {
    if (use.isCollected || !tryLockRecords(use.fd, 'exclusive')) return undefined;
    use.isCollected = true;
    return new CollectorLock(key);
  });
}

function lock<T>(location: string, owner: StoreOwner | undefined, take: (key: string, use: Use) => T | undefined): T | undefined {
  const fd = openSync(join(location, '.lock'), constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, fileMode);
  let key = '';
  try {
    const { uid, gid, dev, ino } = fstatSync(fd, { bigint: true });
    if (owner !== undefined && (Number(uid) !== owner.uid || Number(gid) !== owner.gid)) fchownSync(fd, owner.uid, owner.gid);
    key = `${dev}:${ino}`;
    const use = uses.get(key) ?? { fd, writers: new Set(), isCollected: false };
    uses.set(key, use);
    return take(key, use);
  } finally {
    const use = uses.get(key);
    if (use?.fd !== fd) closeSync(fd);
    else endIfUnused(key, use);
  }
}

function endIfUnused(key: string, { fd, writers, isCollected }: Use): void {
  if (isCollected || writers.size > 0) return;
  uses.delete(key);
  closeSync(fd);
}
