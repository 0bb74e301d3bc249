/** Puts a store, its tree and a driver together: the library's way to mount. */
import { realpath } from 'node:fs/promises';
import { basename, dirname, isAbsolute, join } from 'node:path';
import { MountError } from '../errors.js';
import { kernelDriver } from '../fuse/kernel-driver.js';
import { findMount } from '../os/mount-table.js';
import { openDatastore } from '../store/open.js';
import { openDatastoreTree, openWritableTree, type DatastoreTree, type TreeOptions } from '../tree/datastore-tree.js';
import type { Driver, Mounted } from '../vfs/driver.js';
import { contains } from './contains.js';
import { openDiskCache } from './disk-cache.js';
import { encryptionOf } from './encryption.js';
import { readKeyFiles, unlockKeyFiles, type FoundKeyFile } from './keys.js';
import { openOptionsOf } from './server-access.js';
import type { DriverName, MountRequest, WritingRequest } from './mount-request.js';

export interface MountedDatastore {
  readonly tree: DatastoreTree;
  readonly mounted: Mounted;
  /** Settles when the mount is gone and the store closed; rejected when the connection to the kernel broke. */
  readonly done: Promise<void>;
}

/**
 * Resolves when the tree can be used. Whoever calls must not wait synchronously for anything below the mount point, nor have
 * its working directory there. Throws any code of StoreError, CryptoError and MountError.
 */
export async function mountDatastore(request: MountRequest, log: (line: string) => void): Promise<MountedDatastore> {
  const found = await readKeyFiles(request.keyFiles, log);
  const keys = unlockKeyFiles(found, request.password);
  const store = await openDatastore(request.source, openOptionsOf(request.server, log));
  const { namespace, cacheBytesMax, salvage } = request;
  const diskCache = await openDiskCache(request, store, log);
  const options: TreeOptions = { store, keys, namespace, cacheBytesMax, diskCache, salvage, log };
  const tree = await openTree(options, request.writing, found[0]);
  try {
    await store.groups(request.namespace);
    if (isAbsolute(store.location)) await checkApart(store.location, request.mountPoint);
    const driver = await loadDriver(request.driver);
    const { mountPoint, allowOther, defaultPermissions, flags } = request;
    const mounted = await driver.mount(tree, { mountPoint, source: store.location, allowOther, defaultPermissions, flags, log });
    tree.reportDriver(() => ({
      name: driver.name,
      mountPoint,
      pid: process.pid,
      capabilities: driver.capabilities,
      operations: mounted.statistics(),
    }));
    tree.followChanges((parent, name) => {
      mounted.invalidateEntry(parent, name);
    });
    const done = mounted.done.finally(() => tree.close());
    done.catch(() => undefined);
    return { tree, mounted, done };
  } catch (error) {
    await tree.close();
    throw error;
  }
}

/** The first key is the one that new snapshots are encrypted with. */
async function openTree(options: TreeOptions, writing: WritingRequest | undefined, first: FoundKeyFile | undefined): Promise<DatastoreTree> {
  if (writing === undefined) return openDatastoreTree(options);
  const { spoolBase, mode, cryptMode, masterKeyPath } = writing;
  try {
    const [key] = options.keys;
    const encryption = await encryptionOf(key, first, { cryptMode, masterKeyPath });
    return await openWritableTree(options, { spoolBase, mode, encryption });
  } catch (error) {
    await Promise.all([options.store.close(), options.diskCache?.close()]);
    throw error;
  }
}

/** The second driver brings native code along and is loaded only when asked for. */
async function loadDriver(name: DriverName): Promise<Driver> {
  return name === 'kernel' ? kernelDriver : (await import('../fuse/native-driver.js')).nativeDriver;
}

/** Of a store in a directory: a mount over it would hide it from the daemon, and one inside would be found in its own tree. */
async function checkApart(store: string, mountPoint: string): Promise<void> {
  const path = await resolvedMountPoint(mountPoint);
  if (path === undefined) return;
  if (contains(store, path)) {
    throw new MountError('MOUNT_POINT', `mount point ${mountPoint} lies in the datastore ${store}; choose a directory outside of it`);
  }
  if (contains(path, store)) {
    throw new MountError('MOUNT_POINT', `the datastore ${store} lies below the mount point ${mountPoint} and would be hidden; choose another directory`);
  }
}

/** Without links; undefined for what can't be resolved, which the driver explains. What is mounted there already is not touched. */
async function resolvedMountPoint(path: string): Promise<string | undefined> {
  try {
    const unseen = join(await realpath(dirname(path)), basename(path));
    return findMount(unseen) === undefined ? await realpath(unseen) : unseen;
  } catch {
    return undefined;
  }
}
