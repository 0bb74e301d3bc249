/** Owner, mode and ACLs of something new, from what was asked for and the directory that it comes into. */
import { S_IFDIR, S_IFLNK, type Attributes } from './file-system.js';
import { inheritedAcl, isMinimalAcl, modeWithAcl } from './posix-acl.js';
import type { NewNode } from './writable-file-system.js';

const setGroupId = 0o2000;

export interface NewNodeOwnership {
  readonly uid: number;
  readonly gid: number;
  /** Type and permission bits. */
  readonly mode: number;
  readonly accessAcl?: Buffer;
  /** Only of a directory. */
  readonly defaultAcl?: Buffer;
}

export interface NewNodeParent {
  readonly attributes: Attributes;
  /** Value of system.posix_acl_default. */
  readonly defaultAcl?: Buffer | undefined;
}

/** `type`: S_IFMT bits. A set-gid directory hands down its group, and to directories the bit too. */
export function newNodeOwnership(
  type: number,
  { mode, umask, caller }: NewNode,
  { attributes, defaultAcl }: NewNodeParent,
): NewNodeOwnership {
  const fromDirectory = (attributes.mode & setGroupId) !== 0;
  const ids = { uid: caller.uid, gid: fromDirectory ? attributes.gid : caller.gid };
  if (type === S_IFLNK) return { ...ids, mode: type | 0o777 };
  const special = (mode & 0o7000) | (fromDirectory && type === S_IFDIR ? setGroupId : 0);
  if (defaultAcl === undefined) return { ...ids, mode: type | special | (mode & 0o777 & ~umask) };
  const accessAcl = inheritedAcl(defaultAcl, mode);
  return {
    ...ids,
    mode: modeWithAcl(type | special, accessAcl),
    ...(isMinimalAcl(accessAcl) ? {} : { accessAcl }),
    ...(type === S_IFDIR ? { defaultAcl } : {}),
  };
}
