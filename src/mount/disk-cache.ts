/** The disk cache of a mount. */
import { realpath } from 'node:fs/promises';
import { basename, dirname, isAbsolute, join } from 'node:path';
import { DiskCache } from '../codec/disk-cache.js';
import { MountError, UsageError } from '../errors.js';
import type { Datastore } from '../store/datastore.js';
import { contains } from './contains.js';
import type { MountRequest } from './mount-request.js';

/** Undefined if none is asked for. What the cache throws, MOUNT_POINT and USAGE for places that cannot be; the store is closed then. */
export async function openDiskCache({ diskCache, mountPoint }: MountRequest, store: Datastore, log: (line: string) => void): Promise<DiskCache | undefined> {
  if (diskCache === undefined) return undefined;
  try {
    await checkPlace(diskCache.directory, mountPoint, store.location);
    return new DiskCache({ ...diskCache, log });
  } catch (error) {
    await store.close();
    throw error;
  }
}

/** What the daemon reads through its own mount never comes; and nothing is written into a datastore that is only read. */
async function checkPlace(directory: string, mountPoint: string, location: string): Promise<void> {
  const path = await withoutLinks(directory);
  if (contains(await withoutLinks(mountPoint), path)) {
    throw new MountError('MOUNT_POINT', `disk cache ${directory} lies below the mount point ${mountPoint}; choose another directory`);
  }
  if (isAbsolute(location) && contains(await withoutLinks(location), path)) {
    throw new UsageError(`disk-cache: ${directory} lies in the datastore ${location}; choose a directory outside of it`);
  }
}

/** Of what may not be there yet. */
async function withoutLinks(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch {
    return path === dirname(path) ? path : join(await withoutLinks(dirname(path)), basename(path));
  }
}
