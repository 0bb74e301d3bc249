/** A group of a local datastore, opened for one new snapshot. Format: datastore, sections 1.4, 3.6 and 3.7 (4). */
import { lstat, readdir, rm, rmdir, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { StoreError, UsageError, codeOf, messageOf } from '../../errors.js';
import { groupLockName } from '../../format/lock-name.js';
import { formatNamespace, namespacePath, type Namespace } from '../../format/namespace.js';
import { encodeOwner, parseOwner } from '../../format/owner.js';
import { groupPath, type GroupName } from '../../format/snapshot-name.js';
import { isHiddenName } from '../../format/temp-name.js';
import { renameNew, writeWhole } from './atomic-file.js';
import { readWhole } from './directory.js';
import { makeHidden, removeLeftovers } from './hidden.js';
import { lockDirectory, lockFile, type LockStack } from './locks.js';
import { makeDirectory } from './ownership.js';
import type { WritableStore } from './writable-store.js';

export const ownerName = 'owner';
const ownerBytesMax = 4096;
const ownerOfNewGroups = 'root@pam';
/** Times that a group may come and go while it is opened. */
const attemptsMax = 5;

export interface WritableGroup {
  readonly directory: string;
  readonly owner: string;
  /** Whether it was not there before. */
  readonly made: boolean;
}

/** Makes the group if there is none, and locks it. NOT_FOUND without its namespace; LOCKED; NOT_OWNER; USAGE for what is no owner. */
export async function openGroup(store: WritableStore, group: GroupName, wanted: string | undefined, locks: LockStack): Promise<WritableGroup> {
  if (wanted !== undefined) checkOwner(wanted);
  const directory = join(store.location, groupPath(group));
  await makeTypeDirectory(store, group.namespace, dirname(directory));
  await lockGroupFile(store, group, locks);
  await removeLeftovers(dirname(directory), store.warn);
  for (let attempt = 0; attempt < attemptsMax; attempt++) {
    const found = (await openExisting(store, directory, wanted, locks)) ?? (await create(store, directory, wanted, locks));
    if (found !== undefined) return found;
  }
  throw groupInUse(directory);
}

/** Removes a group that was made for a snapshot that did not come into being, if there is nothing else in it. It must be locked. */
export async function removeNewGroup(store: WritableStore, group: GroupName, directory: string): Promise<void> {
  if ((await readdir(directory)).some((name) => name !== ownerName)) return;
  await unlink(join(directory, ownerName));
  await rmdir(directory);
  if (store.locks !== undefined) await rm(join(store.locks, groupLockName(group)), { force: true });
}

/** Locks a group that is there. NOT_FOUND, LOCKED. Gives its directory. */
export async function lockGroup(store: WritableStore, group: GroupName, locks: LockStack): Promise<string> {
  const directory = join(store.location, groupPath(group));
  const missing = (): StoreError => new StoreError('NOT_FOUND', `there is no group ${groupPath(group)} in ${store.location}`);
  if (!(await isDirectory(directory))) throw missing();
  await lockGroupFile(store, group, locks);
  const lock = lockedIfAny(directory);
  if (lock === undefined) throw missing();
  locks.push(lock);
  return directory;
}

async function lockGroupFile(store: WritableStore, group: GroupName, locks: LockStack): Promise<void> {
  if (store.locks === undefined) return;
  const lock = await lockFile(join(store.locks, groupLockName(group)), 'exclusive', store.owner);
  if (lock === undefined) throw groupInUse(join(store.location, groupPath(group)));
  locks.push(lock);
}

async function makeTypeDirectory(store: WritableStore, namespace: Namespace, directory: string): Promise<void> {
  for (const depth of namespace.keys()) {
    const parts = namespace.slice(0, depth + 1);
    const path = join(store.location, namespacePath(parts));
    if (await isDirectory(path)) continue;
    const hint = `a server makes namespaces, or: install -d ${join(store.location, namespacePath(namespace))} (as the owner of the datastore)`;
    throw new StoreError('NOT_FOUND', `${store.location} has no namespace ${formatNamespace(parts)}: ${hint}`);
  }
  try {
    await makeDirectory(directory, store.owner);
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw error;
    if (!(await isDirectory(directory))) throw new StoreError('NOT_FOUND', `${directory} is not a directory: move it away`, { cause: error });
  }
}

/** Undefined if there is none. */
async function openExisting(
  store: WritableStore,
  directory: string,
  wanted: string | undefined,
  locks: LockStack,
): Promise<WritableGroup | undefined> {
  const lock = lockedIfAny(directory);
  if (lock === undefined) return undefined;
  locks.push(lock);
  const owner = await ownerOf(directory);
  if (owner === undefined) {
    // Between two steps of another program that makes groups, or of one that was killed there.
    const newOwner = wanted ?? ownerOfNewGroups;
    await writeOwner(store, directory, newOwner);
    return { directory, owner: newOwner, made: true };
  }
  checkAllowed(directory, owner, wanted);
  return { directory, owner, made: false };
}

function lockedIfAny(directory: string): ReturnType<typeof lockDirectory> {
  try {
    const lock = lockDirectory(directory, 'exclusive');
    if (lock === undefined) throw groupInUse(directory);
    return lock;
  } catch (cause) {
    if (codeOf(cause) === 'ENOENT') return undefined;
    if (codeOf(cause) !== 'ENOTDIR' && codeOf(cause) !== 'ELOOP') throw cause;
    throw new StoreError('NOT_FOUND', `${directory} is not a directory: move it away`, { cause });
  }
}

/** Appears with its owner in it and locked. Undefined if another program was faster. */
async function create(
  store: WritableStore,
  directory: string,
  wanted: string | undefined,
  locks: LockStack,
): Promise<WritableGroup | undefined> {
  const owner = wanted ?? ownerOfNewGroups;
  const hidden = await makeHidden(dirname(directory), store.owner);
  try {
    await writeOwner(store, hidden.path, owner);
    renameNew(hidden.path, directory);
  } catch (error) {
    await rm(hidden.path, { recursive: true, force: true }).catch(() => undefined);
    hidden.lock.release();
    if (codeOf(error) === 'EEXIST') return undefined;
    throw error;
  }
  locks.push(hidden.lock);
  return { directory, owner, made: true };
}

function writeOwner(store: WritableStore, directory: string, owner: string): Promise<void> {
  return writeWhole(directory, ownerName, encodeOwner(owner), { owner: store.owner, durable: store.syncLevel === 'file', noReplace: true });
}

/** Undefined if there is none in a group that is empty but for leftovers. */
async function ownerOf(directory: string): Promise<string | undefined> {
  const path = join(directory, ownerName);
  const hint = "a server refuses it too; write one if you know whose it is: echo 'root@pam' >";
  try {
    return parseOwner(await readWhole(path, ownerBytesMax));
  } catch (cause) {
    const code = codeOf(cause);
    if (code === 'NOT_FOUND') {
      if (!(await readdir(directory)).some((name) => !isHiddenName(name) && !name.startsWith(`${ownerName}.tmp_`))) return undefined;
      throw new StoreError('NOT_OWNER', `the group ${directory} has no owner: ${hint} ${path}`, { cause });
    }
    if (code === 'NO_PERMISSION') throw cause;
    throw new StoreError('NOT_OWNER', `the owner of ${directory} cannot be told (${messageOf(cause)}): ${hint} ${path}`, { cause });
  }
}

/** A group of one of the user's tokens is the user's, too. */
function checkAllowed(directory: string, owner: string, wanted: string | undefined): void {
  if (wanted === undefined || owner === wanted || (!wanted.includes('!') && owner.startsWith(`${wanted}!`))) return;
  throw new StoreError('NOT_OWNER', `${directory} belongs to ${owner}, not to ${wanted}: back up as ${owner}, or under another id`);
}

/** USAGE for what is no owner. */
export function checkOwner(owner: string): void {
  try {
    encodeOwner(owner);
  } catch (cause) {
    throw new UsageError(messageOf(cause), { cause });
  }
}

export async function isDirectory(path: string): Promise<boolean> {
  try {
    return (await lstat(path)).isDirectory();
  } catch (error) {
    if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR') return false;
    throw error;
  }
}

function groupInUse(directory: string): StoreError {
  return new StoreError('LOCKED', `another backup of this group is running, or another program changes it (${directory}): try again when it is done`);
}
