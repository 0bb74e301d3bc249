/**
 * POSIX ACLs as the kernel passes them in xattrs, and what modes and they do to each other (acl(5)). Value: u32 version 2, then entries of
 * u16 tag, u16 permissions, u32 id, little-endian.
 */

export const accessAclName = Buffer.from('system.posix_acl_access');
export const defaultAclName = Buffer.from('system.posix_acl_default');

const headerBytes = 4;
const entryBytes = 8;
const version = 2;

const tag = { owner: 0x01, user: 0x02, group: 0x04, namedGroup: 0x08, mask: 0x10, other: 0x20 } as const;

export function isAclName(name: Buffer): boolean {
  return name.equals(accessAclName) || name.equals(defaultAclName);
}

/** Whether it says no more than the mode does. */
export function isMinimalAcl(acl: Buffer): boolean {
  return acl.length === headerBytes + 3 * entryBytes;
}

/** Offsets of the permissions of the entries that stand for owner, group (the mask if there is one) and others. */
function basePermissions(acl: Buffer): { owner?: number; group?: number; mask?: number; other?: number } {
  const found: ReturnType<typeof basePermissions> = {};
  if (acl.length < headerBytes || acl.readUInt32LE(0) !== version) return found;
  for (let at = headerBytes; at + entryBytes <= acl.length; at += entryBytes) {
    const kind = acl.readUInt16LE(at);
    if (kind === tag.owner) found.owner = at + 2;
    if (kind === tag.group) found.group = at + 2;
    if (kind === tag.mask) found.mask = at + 2;
    if (kind === tag.other) found.other = at + 2;
  }
  return found;
}

/** The mode of a file that is given this access ACL: the nine bits come from the ACL. */
export function modeWithAcl(mode: number, acl: Buffer): number {
  const { owner, group, mask, other } = basePermissions(acl);
  const bits = (at: number | undefined): number => (at === undefined ? 0 : acl.readUInt16LE(at) & 7);
  return (mode & ~0o777) | (bits(owner) << 6) | (bits(mask ?? group) << 3) | bits(other);
}

/** The access ACL of a file whose mode was changed. */
export function aclWithMode(acl: Buffer, mode: number): Buffer {
  const changed = Buffer.from(acl);
  const { owner, group, mask, other } = basePermissions(acl);
  const set = (at: number | undefined, bits: number): void => {
    if (at !== undefined) changed.writeUInt16LE(bits & 7, at);
  };
  set(owner, mode >> 6);
  set(mask ?? group, mode >> 3);
  set(other, mode);
  return changed;
}

/** The access ACL of something new in a directory with this default ACL: what `mode` does not ask for is taken off. */
export function inheritedAcl(defaultAcl: Buffer, mode: number): Buffer {
  return aclWithMode(defaultAcl, mode & modeWithAcl(0, defaultAcl));
}
