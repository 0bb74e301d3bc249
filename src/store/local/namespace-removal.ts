/** Removes a namespace and all below it. Format: datastore, section 8. */
import { rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { FileError, StoreError, codeOf } from '../../errors.js';
import { formatNamespace, isNamespaceChild, namespacePath, type Namespace } from '../../format/namespace.js';
import { backupTypes, isBackupId } from '../../format/snapshot-name.js';
import type { RemovedCounts } from '../administration.js';
import { subdirectoriesIfAny } from './directory.js';
import { isDirectory } from './group.js';
import { removeGroupDirectory } from './group-removal.js';
import { removeLeftovers } from './hidden.js';
import type { WritableStore } from './writable-store.js';

/**
 * Only empty directories are removed, and groups if `withGroups`. NOT_FOUND; INVALID_ARGUMENT for the root; NOT_EMPTY if something else
 * than protected snapshots is left, when all the rest is gone.
 */
export async function removeNamespaceDirectory(store: WritableStore, namespace: Namespace, withGroups: boolean): Promise<RemovedCounts> {
  if (namespace.length === 0) throw new FileError('INVALID_ARGUMENT', 'the root namespace cannot be removed');
  const directory = join(store.location, namespacePath(namespace));
  if (!(await isDirectory(directory))) throw new StoreError('NOT_FOUND', `there is no namespace ${formatNamespace(namespace)} in ${store.location}`);
  const counts = { groups: 0, snapshots: 0, protectedSnapshots: 0 };
  await removeTree(store, namespace, withGroups, counts);
  if (counts.protectedSnapshots === 0 && (await isDirectory(directory))) {
    const hint = withGroups ? 'what is left is none of a datastore or was made meanwhile' : 'groups are only removed when asked for (--groups)';
    throw new FileError('NOT_EMPTY', `namespace ${formatNamespace(namespace)} is not empty: ${hint}`);
  }
  return counts;
}

async function removeTree(store: WritableStore, namespace: Namespace, withGroups: boolean, counts: { -readonly [Name in keyof RemovedCounts]: number }): Promise<void> {
  const directory = join(store.location, namespacePath(namespace));
  for (const name of await subdirectoriesIfAny(join(directory, 'ns'))) {
    if (isNamespaceChild(namespace, name)) await removeTree(store, [...namespace, name], withGroups, counts);
  }
  for (const type of backupTypes) {
    const path = join(directory, type);
    if (withGroups) {
      for (const id of await subdirectoriesIfAny(path)) {
        if (!isBackupId(id)) continue;
        const removed = await removeGroupDirectory(store, { namespace, type, id });
        counts.groups += removed.groups;
        counts.snapshots += removed.snapshots;
        counts.protectedSnapshots += removed.protectedSnapshots;
      }
    }
    if (await isDirectory(path)) await removeLeftovers(path, store.warn);
    await rmdirIfEmpty(path);
  }
  await rmdirIfEmpty(join(directory, 'ns'));
  await rmdirIfEmpty(directory);
}

async function rmdirIfEmpty(path: string): Promise<void> {
  try {
    await rmdir(path);
  } catch (error) {
    if (!['ENOTEMPTY', 'EEXIST', 'ENOENT', 'ENOTDIR'].includes(codeOf(error) ?? '')) throw error;
  }
}
