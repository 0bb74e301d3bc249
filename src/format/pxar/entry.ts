/** One entry of an archive as values. Names are elsewhere: the root has none. Format: pxar, sections 1.3, 1.4 */
import { FormatError } from '../../errors.js';
import type { U64 } from './u64.js';

export type PxarKind = 'directory' | 'file' | 'symlink' | 'device' | 'fifo' | 'socket' | 'hardlink';

export interface PxarEntry {
  readonly kind: PxarKind;
  /** undefined only for a hard link, which has the metadata of its target */
  readonly metadata: PxarMetadata | undefined;
  readonly content?: PxarContent;
  /** of a symbolic link */
  readonly target?: Buffer;
  readonly device?: PxarDevice;
  readonly hardlink?: PxarHardlink;
}

export interface PxarMetadata {
  /** type and permission bits, as st_mode */
  readonly mode: number;
  /** chattr and FAT bits of flags.ts */
  readonly flags: U64;
  readonly uid: number;
  readonly gid: number;
  readonly mtime: PxarTime;
  readonly xattrs: readonly PxarXattr[];
  /** undefined if the entry has no ACL item */
  readonly acl: PxarAcl | undefined;
  /** value of the xattr security.capability */
  readonly fcaps: Buffer | undefined;
  readonly projectId: number | undefined;
}

/** `nsec` counts forward from `sec`, 0 to 999999999, also before 1970. */
export interface PxarTime {
  readonly sec: number;
  readonly nsec: number;
}

export interface PxarXattr {
  readonly name: Buffer;
  readonly value: Buffer;
}

/**
 * `inline` (v1): the data follows right after the decoded bytes.
 * `payload` (v2): a PAYLOAD header stands at `offset` of the payload stream, the data after it.
 */
export type PxarContent =
  | { readonly where: 'inline'; readonly size: number }
  | { readonly where: 'payload'; readonly offset: number; readonly size: number };

export interface PxarDevice {
  readonly major: number;
  readonly minor: number;
}

export interface PxarHardlink {
  /** from the target's FILENAME header forward to this entry's, more than 0 */
  readonly distance: number;
  /** path of the target below the archive's root, without leading slash */
  readonly target: Buffer;
}

/** Permissions are 0 to 7: r = 4, w = 2, x = 1. */
export interface PxarAcl {
  readonly users: readonly PxarAclEntry[];
  readonly groups: readonly PxarAclEntry[];
  /** present if the ACL has a mask, which then are the group bits of the mode */
  readonly groupObj: number | undefined;
  readonly default: PxarDefaultAcl | undefined;
  readonly defaultUsers: readonly PxarAclEntry[];
  readonly defaultGroups: readonly PxarAclEntry[];
}

export interface PxarAclEntry {
  readonly id: number;
  readonly permissions: number;
}

export interface PxarDefaultAcl {
  readonly userObj: number | undefined;
  readonly groupObj: number | undefined;
  readonly other: number | undefined;
  readonly mask: number | undefined;
}

export const fileTypeMask = 0o170000;

/** The bits of st_mode that make a file type. */
export const fileTypes = {
  fifo: 0o010000,
  characterDevice: 0o020000,
  directory: 0o040000,
  blockDevice: 0o060000,
  regular: 0o100000,
  symlink: 0o120000,
  socket: 0o140000,
} as const;

const fileTypesOf: Readonly<Record<Exclude<PxarKind, 'hardlink'>, readonly number[]>> = {
  directory: [fileTypes.directory],
  file: [fileTypes.regular],
  symlink: [fileTypes.symlink],
  device: [fileTypes.characterDevice, fileTypes.blockDevice],
  fifo: [fileTypes.fifo],
  socket: [fileTypes.socket],
};

/** Throws BAD_STRUCTURE if an entry that its items make a `kind` has a mode of another type. */
export function checkKind(kind: Exclude<PxarKind, 'hardlink'>, mode: number): void {
  if (fileTypesOf[kind].includes(mode & fileTypeMask)) return;
  throw new FormatError('BAD_STRUCTURE', `an entry is a ${kind} by its items and 0o${mode.toString(8)} by its mode`);
}
