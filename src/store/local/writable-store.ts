/** A local datastore as one session writes it. */
import { StoreError } from '../../errors.js';
import type { LockStack } from './locks.js';
import { ownerToGive, type StoreOwner } from './ownership.js';
import { lockForWriting } from './process-lock.js';
import { serverOf, type ServerPaths, type Serving, type StoreUse } from './server.js';

export interface WritableStore extends Serving {
  readonly location: string;
  /** Whom to give what is made; undefined if it is theirs anyway. */
  readonly owner: StoreOwner | undefined;
  readonly warn: (line: string) => void;
}

/** As it is, without a lock. NO_PERMISSION, NOT_SUPPORTED; MAINTENANCE. */
export async function findWritable(location: string, paths: ServerPaths, warn: (line: string) => void, use: StoreUse = 'writing'): Promise<WritableStore> {
  const owner = await ownerToGive(location, warn);
  return { location, owner, warn, ...(await serverOf(location, paths, use)) };
}

/** Locks it against garbage collection by others. LOCKED, MAINTENANCE, NO_PERMISSION, NOT_SUPPORTED. */
export async function openWritable(location: string, paths: ServerPaths, warn: (line: string) => void, locks: LockStack): Promise<WritableStore> {
  const store = await findWritable(location, paths, warn);
  const lock = lockForWriting(location, store.owner);
  if (lock === undefined) {
    throw new StoreError('LOCKED', `${location} is locked: garbage collection or another program that keeps writers out is running; try again later`);
  }
  locks.push(lock);
  return store;
}
