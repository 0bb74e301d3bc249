/** Groups and namespaces that are made before there is a snapshot in them. Format: datastore, sections 1.1, 1.2, 1.4 and 14. */
import { join } from 'node:path';
import { FormatError, StoreError, codeOf } from '../../errors.js';
import { isNamespaceChild, namespacePath, type Namespace } from '../../format/namespace.js';
import { isBackupId, groupPath, type GroupName } from '../../format/snapshot-name.js';
import { openGroup, removeNewGroup } from './group.js';
import { LockStack } from './locks.js';
import { ensureDirectory, makeDirectory } from './ownership.js';
import { permissionOf } from './permission.js';
import type { ServerPaths } from './server.js';
import { openWritable, type WritableStore } from './writable-store.js';

/** What servers take; longer ones are read. */
const componentLengthMax = 32;

export async function createLocalGroup(location: string, paths: ServerPaths, group: GroupName, warn: (line: string) => void): Promise<void> {
  if (!isBackupId(group.id)) throw new FormatError('BAD_NAME', `'${group.id}' can't name a group`);
  await writing(location, paths, warn, async (store, locks) => {
    const { made } = await openGroup(store, group, undefined, locks);
    if (!made) throw new StoreError('EXISTS', `there is a group ${groupPath(group)}`);
  });
}

/** Nothing happens to a group that has something in it. */
export async function removeLocalGroup(location: string, paths: ServerPaths, group: GroupName, warn: (line: string) => void): Promise<void> {
  await writing(location, paths, warn, async (store, locks) => {
    const { directory } = await openGroup(store, group, undefined, locks);
    await removeNewGroup(store, group, directory);
  });
}

export async function createLocalNamespace(location: string, paths: ServerPaths, namespace: Namespace, warn: (line: string) => void): Promise<void> {
  const parent = namespace.slice(0, -1);
  const component = namespace.at(-1) ?? '';
  if (!isNamespaceChild(parent, component) || component.length > componentLengthMax) {
    throw new FormatError('BAD_NAME', `'${component}' can't name a namespace: up to ${componentLengthMax} letters, digits, '_', '-' and '.'`);
  }
  await writing(location, paths, warn, async (store) => {
    await ensureDirectory(join(store.location, namespacePath(parent), 'ns'), store.owner);
    try {
      await makeDirectory(join(store.location, namespacePath(namespace)), store.owner);
    } catch (cause) {
      if (codeOf(cause) !== 'EEXIST') throw cause;
      throw new StoreError('EXISTS', `there is a namespace '${component}'`, { cause });
    }
  });
}

async function writing(
  location: string,
  paths: ServerPaths,
  warn: (line: string) => void,
  work: (store: WritableStore, locks: LockStack) => Promise<void>,
): Promise<void> {
  const locks = new LockStack();
  try {
    await work(await openWritable(location, paths, warn, locks), locks);
  } catch (error) {
    throw permissionOf(error);
  } finally {
    locks.release();
  }
}
