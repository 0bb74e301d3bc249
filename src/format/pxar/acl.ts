/**
 * ACL items <-> values of the xattrs system.posix_acl_access and system.posix_acl_default: u32 version 2, then entries
 * of u16 tag, u16 permissions, u32 id. Format: pxar, sections 3.4, 4.4
 */
import { FormatError } from '../../errors.js';
import type { PxarAcl, PxarAclEntry, PxarDefaultAcl, PxarMetadata } from './entry.js';

export interface AclXattrs {
  readonly access?: Buffer;
  readonly default?: Buffer;
}

const tags = { userObj: 0x01, user: 0x02, groupObj: 0x04, group: 0x08, mask: 0x10, other: 0x20 } as const;
const version = 2;
const headerBytes = 4;
const entryBytes = 8;
const noId = 0xffff_ffff;
const aclBytesMax = 65_536;

/** An ACL in full; `mask` is undefined if it has none. */
interface Acl {
  readonly userObj: number;
  readonly users: readonly PxarAclEntry[];
  readonly groupObj: number;
  readonly groups: readonly PxarAclEntry[];
  readonly mask: number | undefined;
  readonly other: number;
}

/** The values as the file had them. An access ACL that says no more than the mode is none, as for the kernel. */
export function aclXattrs({ mode, acl }: Pick<PxarMetadata, 'mode' | 'acl'>): AclXattrs {
  if (acl === undefined) return {};
  const access = accessAcl(mode, acl);
  const plain = access.mask === undefined && access.users.length === 0 && access.groups.length === 0;
  return {
    ...(plain ? {} : { access: encodeAcl(access) }),
    ...(acl.default === undefined ? {} : { default: encodeAcl(defaultAcl(acl, acl.default)) }),
  };
}

/** The items for a file with these xattrs (undefined: none needed); what the mode says anyway is not among them. */
export function aclItems({ access, default: defaultValue }: AclXattrs): PxarAcl | undefined {
  const accessEntries = access === undefined ? undefined : decodeAcl(access);
  const defaults = defaultValue === undefined ? undefined : decodeAcl(defaultValue);
  const acl: PxarAcl = {
    users: accessEntries?.users ?? [],
    groups: accessEntries?.groups ?? [],
    groupObj: accessEntries?.mask === undefined ? undefined : accessEntries.groupObj,
    default: defaults === undefined ? undefined : defaultItem(defaults),
    defaultUsers: defaults?.users ?? [],
    defaultGroups: defaults?.groups ?? [],
  };
  const lists = [acl.users, acl.groups, acl.defaultUsers, acl.defaultGroups];
  const empty = acl.groupObj === undefined && acl.default === undefined && lists.every((list) => list.length === 0);
  return empty ? undefined : acl;
}

function accessAcl(mode: number, { users, groups, groupObj }: PxarAcl): Acl {
  const groupBits = (mode >> 3) & 7;
  const named = users.length > 0 || groups.length > 0;
  return {
    userObj: (mode >> 6) & 7,
    users,
    groupObj: groupObj ?? groupBits,
    groups,
    mask: groupObj !== undefined || named ? groupBits : undefined,
    other: mode & 7,
  };
}

/** Base entries that are absent count as rwx: the low bits of their value, which is all ones. */
function defaultAcl({ defaultUsers, defaultGroups }: PxarAcl, { userObj, groupObj, other, mask }: PxarDefaultAcl): Acl {
  return { userObj: userObj ?? 7, users: defaultUsers, groupObj: groupObj ?? 7, groups: defaultGroups, mask, other: other ?? 7 };
}

function encodeAcl({ userObj, users, groupObj, groups, mask, other }: Acl): Buffer {
  const entries: readonly (readonly [tag: number, permissions: number, id: number])[] = [
    [tags.userObj, userObj, noId],
    ...sorted(users).map(({ id, permissions }) => [tags.user, permissions, id] as const),
    [tags.groupObj, groupObj, noId],
    ...sorted(groups).map(({ id, permissions }) => [tags.group, permissions, id] as const),
    ...(mask === undefined ? [] : [[tags.mask, mask, noId] as const]),
    [tags.other, other, noId],
  ];
  const value = Buffer.alloc(headerBytes + entryBytes * entries.length);
  value.writeUInt32LE(version, 0);
  entries.forEach(([tag, permissions, id], index) => {
    const at = headerBytes + entryBytes * index;
    value.writeUInt16LE(tag, at);
    value.writeUInt16LE(permissions, at + 2);
    value.writeUInt32LE(id, at + 4);
  });
  return value;
}

interface AclEntries {
  users: readonly PxarAclEntry[];
  groups: readonly PxarAclEntry[];
  userObj: number | undefined;
  groupObj: number | undefined;
  mask: number | undefined;
  other: number | undefined;
}

function decodeAcl(value: Buffer): AclEntries {
  const whole = value.length >= headerBytes && (value.length - headerBytes) % entryBytes === 0;
  if (!whole || value.length > aclBytesMax) throw new FormatError('BAD_STRUCTURE', `an ACL cannot have ${value.length} bytes`);
  if (value.readUInt32LE(0) !== version) {
    throw new FormatError('UNSUPPORTED_VERSION', `an ACL has version ${value.readUInt32LE(0)}; only version ${version} is known`);
  }
  const users: PxarAclEntry[] = [];
  const groups: PxarAclEntry[] = [];
  const base = new Map<number, number>();
  for (let at = headerBytes; at < value.length; at += entryBytes) {
    const tag = value.readUInt16LE(at);
    const permissions = value.readUInt16LE(at + 2);
    if (permissions > 7) throw new FormatError('BAD_STRUCTURE', `${permissions} is no set of ACL permissions (0 to 7)`);
    if (tag === tags.user) users.push({ id: value.readUInt32LE(at + 4), permissions });
    else if (tag === tags.group) groups.push({ id: value.readUInt32LE(at + 4), permissions });
    else if (isBaseTag(tag) && !base.has(tag)) base.set(tag, permissions);
    else throw new FormatError('BAD_STRUCTURE', `an ACL has an entry of an unknown kind (${tag}), or two of one`);
  }
  return {
    users: sorted(users),
    groups: sorted(groups),
    userObj: base.get(tags.userObj),
    groupObj: base.get(tags.groupObj),
    mask: base.get(tags.mask),
    other: base.get(tags.other),
  };
}

function isBaseTag(tag: number): boolean {
  return tag === tags.userObj || tag === tags.groupObj || tag === tags.mask || tag === tags.other;
}

function defaultItem({ userObj, groupObj, other, mask }: AclEntries): PxarDefaultAcl | undefined {
  const present = [userObj, groupObj, other, mask].some((permissions) => permissions !== undefined);
  return present ? { userObj, groupObj, other, mask } : undefined;
}

function sorted(entries: readonly PxarAclEntry[]): PxarAclEntry[] {
  return entries.toSorted((a, b) => a.id - b.id || a.permissions - b.permissions);
}
