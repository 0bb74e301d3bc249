/**
 * The items between ENTRY and what ends an entry: xattrs, ACLs, file capabilities, project id. Read in any order,
 * written in the order of the format. Format: pxar, sections 1.3, 1.4
 */
import { FormatError } from '../../errors.js';
import { writeInt64 } from '../uint64.js';
import type { PxarAcl, PxarAclEntry, PxarDefaultAcl, PxarMetadata, PxarXattr } from './entry.js';
import { encodeItem, type ItemType } from './item.js';
import type { PxarStat } from './stat.js';
import { readU32OfU64 } from './u64.js';

const permissionsMax = 7;
const absent = Buffer.alloc(8, 0xff);
const none: readonly never[] = Object.freeze([]);

type Open<T> = { -readonly [K in keyof T]: T[K] };
interface OpenAcl extends Open<PxarAcl> {
  users: PxarAclEntry[];
  groups: PxarAclEntry[];
  defaultUsers: PxarAclEntry[];
  defaultGroups: PxarAclEntry[];
}

/** The attributes of one entry while its items are read. Most entries have none, so nothing is made before it is needed. */
export class AttributeReader {
  #xattrs: PxarXattr[] | undefined;
  #acl: OpenAcl | undefined;
  #fcaps: Buffer | undefined;
  #projectId: number | undefined;

  /** Takes one item whose content is the given range of `window`; false if the type is no attribute. */
  add(type: ItemType, window: Buffer, start: number, end: number): boolean {
    switch (type) {
      case 'XATTR':
        (this.#xattrs ??= []).push(decodeXattr(window.subarray(start, end)));
        return true;
      case 'FCAPS':
        refuseSecond(this.#fcaps, type);
        this.#fcaps = Buffer.from(window.subarray(start, end));
        return true;
      case 'QUOTA_PROJID':
        refuseSecond(this.#projectId, type);
        this.#projectId = readU32OfU64(window, start, 'a project id');
        return true;
      default:
        return this.#addAcl(type, window, start);
    }
  }

  finish(stat: PxarStat): PxarMetadata {
    const { mode, flags, uid, gid, mtime } = stat;
    const xattrs = this.#xattrs ?? none;
    return { mode, flags, uid, gid, mtime, xattrs, acl: this.#acl, fcaps: this.#fcaps, projectId: this.#projectId };
  }

  #addAcl(type: ItemType, window: Buffer, start: number): boolean {
    switch (type) {
      case 'ACL_USER':
        this.#openAcl().users.push(decodeAclEntry(window, start));
        return true;
      case 'ACL_GROUP':
        this.#openAcl().groups.push(decodeAclEntry(window, start));
        return true;
      case 'ACL_DEFAULT_USER':
        this.#openAcl().defaultUsers.push(decodeAclEntry(window, start));
        return true;
      case 'ACL_DEFAULT_GROUP':
        this.#openAcl().defaultGroups.push(decodeAclEntry(window, start));
        return true;
      case 'ACL_GROUP_OBJ':
        refuseSecond(this.#acl?.groupObj, type);
        this.#openAcl().groupObj = readPermissions(window, start);
        return true;
      case 'ACL_DEFAULT':
        refuseSecond(this.#acl?.default, type);
        this.#openAcl().default = decodeDefaultAcl(window, start);
        return true;
      default:
        return false;
    }
  }

  #openAcl(): OpenAcl {
    this.#acl ??= { users: [], groups: [], groupObj: undefined, default: undefined, defaultUsers: [], defaultGroups: [] };
    return this.#acl;
  }
}

export function hasNoAttributes({ xattrs, acl, fcaps, projectId }: PxarMetadata): boolean {
  return xattrs.length === 0 && acl === undefined && fcaps === undefined && projectId === undefined;
}

/** All attribute items of an entry, in the order of the format. */
export function encodeAttributes({ xattrs, acl, fcaps, projectId }: PxarMetadata): Buffer[] {
  const items = xattrs.map(encodeXattr);
  if (acl !== undefined) {
    items.push(...acl.users.map((entry) => encodeAclEntry('ACL_USER', entry)));
    items.push(...acl.groups.map((entry) => encodeAclEntry('ACL_GROUP', entry)));
    if (acl.groupObj !== undefined) items.push(encodeItem('ACL_GROUP_OBJ', numbers(acl.groupObj)));
    if (acl.default !== undefined) items.push(encodeDefaultAcl(acl.default));
    items.push(...acl.defaultUsers.map((entry) => encodeAclEntry('ACL_DEFAULT_USER', entry)));
    items.push(...acl.defaultGroups.map((entry) => encodeAclEntry('ACL_DEFAULT_GROUP', entry)));
  }
  if (fcaps !== undefined) items.push(encodeItem('FCAPS', fcaps));
  if (projectId !== undefined) items.push(encodeItem('QUOTA_PROJID', numbers(projectId)));
  return items;
}

function decodeXattr(content: Buffer): PxarXattr {
  const nameBytes = content.indexOf(0);
  if (nameBytes < 1) throw new FormatError('BAD_STRUCTURE', 'an XATTR item has no name that ends in a zero byte');
  return { name: Buffer.from(content.subarray(0, nameBytes)), value: Buffer.from(content.subarray(nameBytes + 1)) };
}

function encodeXattr({ name, value }: PxarXattr): Buffer {
  if (name.length === 0 || name.includes(0))
    throw new FormatError('BAD_NAME', 'the name of an xattr is empty or has a zero byte');
  return encodeItem('XATTR', Buffer.concat([name, Buffer.alloc(1), value]));
}

function decodeAclEntry(window: Buffer, start: number): PxarAclEntry {
  return { id: readU32OfU64(window, start, 'an ACL user or group id'), permissions: readPermissions(window, start + 8) };
}

function encodeAclEntry(type: ItemType, { id, permissions }: PxarAclEntry): Buffer {
  return encodeItem(type, numbers(id, permissions));
}

function decodeDefaultAcl(window: Buffer, start: number): PxarDefaultAcl {
  return {
    userObj: readOptionalPermissions(window, start),
    groupObj: readOptionalPermissions(window, start + 8),
    other: readOptionalPermissions(window, start + 16),
    mask: readOptionalPermissions(window, start + 24),
  };
}

function encodeDefaultAcl({ userObj, groupObj, other, mask }: PxarDefaultAcl): Buffer {
  return encodeItem('ACL_DEFAULT', numbers(userObj, groupObj, other, mask));
}

function readOptionalPermissions(window: Buffer, at: number): number | undefined {
  return window.compare(absent, 0, 8, at, at + 8) === 0 ? undefined : readPermissions(window, at);
}

function readPermissions(window: Buffer, at: number): number {
  const permissions = readU32OfU64(window, at, 'a set of ACL permissions');
  if (permissions > permissionsMax)
    throw new FormatError('BAD_STRUCTURE', `${permissions} is no set of ACL permissions (0 to 7)`);
  return permissions;
}

function numbers(...values: readonly (number | undefined)[]): Buffer {
  const content = Buffer.alloc(8 * values.length, 0xff);
  values.forEach((value, index) => {
    if (value !== undefined) writeInt64(content, value, 8 * index);
  });
  return content;
}

function refuseSecond(first: unknown, type: ItemType): void {
  if (first !== undefined) throw new FormatError('BAD_STRUCTURE', `an entry has two ${type} items`);
}
