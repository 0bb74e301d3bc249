/** What a server on this host, if there is one, says about a datastore: whether it may be written, how, and where its locks are. */
import { readFile, realpath, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { FileError, StoreError, codeOf, messageOf } from '../../errors.js';
import {
  parseServerConfiguration,
  serverConfigurationBytesMax,
  type ConfiguredDatastore,
  type SyncLevel,
} from '../../format/server-configuration.js';

/** Where a server keeps what a writer beside it has to know. */
export interface ServerPaths {
  readonly configuration: string;
  /** Has a directory for each datastore. */
  readonly locks: string;
}

export const serverPaths: ServerPaths = {
  configuration: '/etc/proxmox-backup/datastore.cfg',
  locks: '/run/proxmox-backup/locks',
};

export interface Serving {
  /** For lock files of this datastore; undefined if no server on this host has it. */
  readonly locks: string | undefined;
  readonly syncLevel: SyncLevel;
  readonly gcCutoffSeconds?: number | undefined;
}

/** Locks are for both. */
export type StoreUse = 'reading' | 'writing';

const removableMounts = '/mnt/datastore';
/** The maintenance mode in which reading goes on. */
const readOnlyMode = 'read-only';

/**
 * Format: datastore, section 3.7 (2). `location`: a real path. MAINTENANCE in a mode that does not allow `use`, NOT_SUPPORTED where chunks
 * lie in an object store, NO_PERMISSION if the configuration exists and may not be read.
 */
export async function serverOf(location: string, paths: ServerPaths, use: StoreUse = 'writing'): Promise<Serving> {
  const store = await configuredDatastore(location, paths.configuration);
  if (store === undefined) return { locks: undefined, syncLevel: 'filesystem' };
  if (store.maintenance !== undefined && !(use === 'reading' && store.maintenance === readOnlyMode)) {
    const text = `${location}: the server has its datastore ${store.name} in maintenance mode ${store.maintenance}`;
    throw new StoreError('MAINTENANCE', `${text}: end that first`);
  }
  if (store.backend !== 'filesystem') {
    const text = `${location} is only the cache of datastore ${store.name}, whose chunks are in an object store (backend ${store.backend})`;
    throw new FileError('NOT_SUPPORTED', `${text}: back up through the server`);
  }
  return { locks: join(paths.locks, store.name), syncLevel: store.syncLevel, gcCutoffSeconds: store.gcCutoffSeconds };
}

async function configuredDatastore(location: string, configuration: string): Promise<ConfiguredDatastore | undefined> {
  const text = await textIfAny(location, configuration);
  for (const store of text === undefined ? [] : parseServerConfiguration(text)) {
    const mount = join(removableMounts, store.name);
    const paths = store.removable ? [mount, join(mount, store.path)] : [store.path];
    for (const path of paths) if (path === location || (await realPathIfAny(path)) === location) return store;
  }
  return undefined;
}

async function textIfAny(location: string, path: string): Promise<string | undefined> {
  try {
    const { size } = await stat(path);
    if (size > serverConfigurationBytesMax) throw new StoreError('NO_PERMISSION', `${path} is larger than ${serverConfigurationBytesMax} bytes`);
    return await readFile(path, 'utf8');
  } catch (cause) {
    const code = codeOf(cause);
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    if (code !== 'EACCES') throw cause;
    // A server owns its datastores: one that belongs to another user is not served.
    if ((await stat(join(location, '.chunks'))).uid === process.geteuid?.()) return undefined;
    const hint = 'it says how a server on this host uses the datastore: run this as root or as user backup';
    throw new StoreError('NO_PERMISSION', `${path} may not be read (${messageOf(cause)}); ${hint}`, { cause });
  }
}

async function realPathIfAny(path: string): Promise<string | undefined> {
  return await realpath(path).catch(() => undefined);
}
