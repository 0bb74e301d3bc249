/** What is to be mounted, where and how, with every path absolute. It crosses to the daemon's process as it is. */
import { totalmem } from 'node:os';
import { resolve } from 'node:path';
import { archiveModes, type ArchiveMode } from '../backup/backup-request.js';
import { UsageError } from '../errors.js';
import { parseNamespace, type Namespace } from '../format/namespace.js';
import { formatRepository, isRepositoryText, parseRepository } from '../format/repository.js';
import { parseByteSize } from './byte-size.js';
import { cryptModeOf } from './encryption.js';
import { defaultSpoolBase } from './log-file.js';
import type { MountOptions } from './option-string.js';
import { parseTimeoutMs } from './timeout.js';

export const driverNames = ['kernel', 'fuse-native'] as const;
export type DriverName = (typeof driverNames)[number];

export interface MountRequest {
  /** Directory of the datastore, or its repository on a server. */
  readonly source: string;
  /** Of a datastore on a server. */
  readonly server?: ServerAccess;
  readonly mountPoint: string;
  readonly keyFiles: readonly string[];
  /** For key files that need one. */
  readonly password?: Uint8Array;
  /** Decoded chunks that are kept, in bytes. */
  readonly cacheBytesMax: number;
  /** Present if chunk files are kept on a disk of this machine. */
  readonly diskCache?: DiskCacheRequest;
  /** Shown as the root. */
  readonly namespace: Namespace;
  /** Zeros instead of errors where chunks are lost. */
  readonly salvage: boolean;
  /** Present if snapshots can be made in the mount. */
  readonly writing?: WritingRequest;
  readonly driver: DriverName;
  /** Other users see the tree; the kernel checks their permissions. */
  readonly allowOther: boolean;
  readonly defaultPermissions: boolean;
  /** Further flags for the driver, as typed after -o. */
  readonly flags: readonly string[];
}

export interface DiskCacheRequest {
  readonly directory: string;
  readonly bytesMax: number;
}

export interface ServerAccess {
  readonly fingerprint?: string;
  readonly timeoutMs?: number;
  /** Of the user or API token. */
  readonly password?: string;
}

export interface WritingRequest {
  /** Directory that the spools of datastores are in. */
  readonly spoolBase: string;
  /** Of archives. */
  readonly mode?: ArchiveMode;
  readonly cryptMode?: string;
  readonly masterKeyPath?: string;
}

const mebibyte = 1024 * 1024;
export const cacheBytesLeast = 16 * mebibyte;
const cacheBytesUsual = 256 * mebibyte;
/** The largest chunk and some more. */
const diskCacheBytesLeast = 64 * mebibyte;
const diskCacheBytesUsual = 10 * 1024 * mebibyte;

/** From what was typed. USAGE for a size, namespace or driver that is none. */
export function mountRequest(source: string, mountPoint: string, options: MountOptions): MountRequest {
  return {
    ...locationOf(source, options),
    mountPoint: resolve(mountPoint),
    keyFiles: options.keyFiles.map((path) => resolve(path)),
    cacheBytesMax: options.cacheSize === undefined ? defaultCacheBytesMax() : parseCacheSize(options.cacheSize),
    ...diskCacheOf(options),
    namespace: parseNamespace(options.namespace ?? ''),
    salvage: options.salvage,
    ...(writingOf(options) ?? {}),
    driver: parseDriverName(options.driver ?? 'kernel'),
    allowOther: options.allowOther,
    defaultPermissions: options.defaultPermissions,
    flags: options.flags,
  };
}

/** USAGE for what only a server takes, BAD_NAME for a repository that is none. */
function locationOf(source: string, { fingerprint, timeout }: MountOptions): Pick<MountRequest, 'source' | 'server'> {
  if (isRepositoryText(source)) {
    const server = { ...(fingerprint !== undefined && { fingerprint }), ...(timeout !== undefined && { timeoutMs: parseTimeoutMs(timeout) }) };
    return { source: formatRepository(parseRepository(source)), server };
  }
  const given = Object.entries({ fingerprint, timeout }).find(([, value]) => value !== undefined);
  if (given !== undefined) throw new UsageError(`${given[0]}: only a datastore on a server takes it`);
  return { source: resolve(source) };
}

/** USAGE for what only a mount that can be written takes. */
function writingOf(options: MountOptions): { readonly writing: WritingRequest } | undefined {
  const { writable, spool, mode, cryptMode, masterKey } = options;
  if (!writable) {
    const given = Object.entries({ spool, mode, 'crypt-mode': cryptMode, 'master-pubkey': masterKey }).find(([, value]) => value !== undefined);
    if (given !== undefined) throw new UsageError(`${given[0]}: only a mount with --writable takes it`);
    return undefined;
  }
  if (options.salvage) throw new UsageError('salvage shows what is damaged; it has no place beside writable');
  const archiveMode = archiveModes.find((name) => name === mode);
  if (mode !== undefined && archiveMode === undefined) throw new UsageError(`mode: '${mode}' is none of ${archiveModes.join(', ')}`);
  cryptModeOf(cryptMode, options.keyFiles.length > 0);
  return {
    writing: {
      spoolBase: resolve(spool ?? defaultSpoolBase()),
      ...(archiveMode && { mode: archiveMode }),
      ...(cryptMode !== undefined && { cryptMode }),
      ...(masterKey !== undefined && { masterKeyPath: resolve(masterKey) }),
    },
  };
}

/** 256 MiB, or an eighth of the memory of a small machine. */
export function defaultCacheBytesMax(): number {
  return Math.max(cacheBytesLeast, Math.min(cacheBytesUsual, Math.floor(totalmem() / 8)));
}

/** USAGE for a size without a directory, or one that is too small. */
function diskCacheOf({ diskCache, diskCacheSize }: MountOptions): { readonly diskCache?: DiskCacheRequest } {
  if (diskCache === undefined) {
    if (diskCacheSize !== undefined) throw new UsageError('disk-cache-size: there is no disk cache; disk-cache says in which directory it is to be');
    return {};
  }
  const bytesMax = diskCacheSize === undefined ? diskCacheBytesUsual : parseByteSize(diskCacheSize, 'disk-cache-size');
  if (bytesMax < diskCacheBytesLeast) throw new UsageError(`disk-cache-size: ${diskCacheSize} is too small; at least ${diskCacheBytesLeast / mebibyte}M`);
  return { diskCache: { directory: resolve(diskCache), bytesMax } };
}

export function parseCacheSize(text: string): number {
  const bytes = parseByteSize(text, 'cache-size');
  if (bytes < cacheBytesLeast) throw new UsageError(`cache-size: ${text} is too small; at least ${cacheBytesLeast / mebibyte}M`);
  if (bytes > totalmem()) throw new UsageError(`cache-size: ${text} is more memory than this machine has`);
  return bytes;
}

function parseDriverName(text: string): DriverName {
  const name = driverNames.find((known) => known === text);
  if (name === undefined) throw new UsageError(`driver: '${text}' is none; there are ${driverNames.join(' and ')}`);
  return name;
}
