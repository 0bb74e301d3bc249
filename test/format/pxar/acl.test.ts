import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import { aclItems, aclXattrs } from '../../../src/format/pxar/acl.js';
import type { PxarAcl, PxarAclEntry } from '../../../src/format/pxar/entry.js';
import { resultOrCode } from '../../support/damage.js';
import { seed } from '../../support/random.js';

const none: PxarAcl = { users: [], groups: [], groupObj: undefined, default: undefined, defaultUsers: [], defaultGroups: [] };

/** An xattr value from entries of tag, permissions, id. */
function value(...entries: readonly [tag: number, permissions: number, id?: number][]): Buffer {
  const bytes = Buffer.alloc(4 + 8 * entries.length);
  bytes.writeUInt32LE(2);
  entries.forEach(([tag, permissions, id = 0xffff_ffff], index) => {
    bytes.writeUInt16LE(tag, 4 + 8 * index);
    bytes.writeUInt16LE(permissions, 6 + 8 * index);
    bytes.writeUInt32LE(id, 8 + 8 * index);
  });
  return bytes;
}

describe('values of xattrs from items', () => {
  it('are none without items', () => {
    expect(aclXattrs({ mode: 0o100777, acl: undefined })).toEqual({});
  });

  it('take the mask from the mode if the group has permissions of its own', () => {
    const acl = { ...none, users: [{ id: 1001, permissions: 6 }], groups: [{ id: 1002, permissions: 4 }], groupObj: 5 };
    expect(aclXattrs({ mode: 0o104755, acl })).toEqual({
      access: value([1, 7], [2, 6, 1001], [4, 5], [8, 4, 1002], [0x10, 5], [0x20, 5]),
    });
  });

  it('make a mask for named entries that lack one', () => {
    const acl = { ...none, users: [{ id: 1, permissions: 7 }] };
    expect(aclXattrs({ mode: 0o100640, acl })).toEqual({ access: value([1, 6], [2, 7, 1], [4, 4], [0x10, 4], [0x20, 0]) });
  });

  it('say nothing of access that the mode does not say', () => {
    const acl = { ...none, default: { userObj: 7, groupObj: 5, other: 0, mask: undefined } };
    expect(aclXattrs({ mode: 0o40755, acl })).toEqual({ default: value([1, 7], [4, 5], [0x20, 0]) });
  });

  it('have a mask of its own if only that is stored', () => {
    expect(aclXattrs({ mode: 0o100640, acl: { ...none, groupObj: 0 } })).toEqual({
      access: value([1, 6], [4, 0], [0x10, 4], [0x20, 0]),
    });
  });

  it('count absent base entries of a default ACL as rwx, and leave named ones without it out', () => {
    const named = { ...none, defaultUsers: [{ id: 1, permissions: 4 }] };
    const absent = { userObj: undefined, groupObj: undefined, other: undefined, mask: 7 };
    expect(aclXattrs({ mode: 0o40755, acl: { ...named, default: absent } })).toEqual({
      default: value([1, 7], [2, 4, 1], [4, 7], [0x10, 7], [0x20, 7]),
    });
    expect(aclXattrs({ mode: 0o40755, acl: named })).toEqual({});
  });

  it('are sorted by id', () => {
    const ids = [70000, 3, 2 ** 32 - 2];
    const acl = { ...none, users: ids.map((id) => ({ id, permissions: 7 })), groupObj: 7 };
    expect(aclXattrs({ mode: 0o100777, acl }).access?.subarray(12, 36)).toEqual(
      value([2, 7, 3], [2, 7, 70000], [2, 7, 2 ** 32 - 2]).subarray(4),
    );
  });
});

describe('items from values of xattrs', () => {
  it('are none if the mode says it all', () => {
    expect(aclItems({})).toBeUndefined();
    expect(aclItems({ access: value([1, 7], [4, 5], [0x20, 5]) })).toBeUndefined();
    expect(aclItems({ access: value() })).toBeUndefined();
  });

  test.each<[string, Buffer, string]>([
    ['of no bytes', Buffer.alloc(0), 'BAD_STRUCTURE'],
    ['of half an entry', value([1, 7]).subarray(0, 8), 'BAD_STRUCTURE'],
    ['of version 1', Buffer.from([1, 0, 0, 0]), 'UNSUPPORTED_VERSION'],
    ['with an unknown tag', value([3, 7]), 'BAD_STRUCTURE'],
    ['with two owners', value([1, 7], [1, 7]), 'BAD_STRUCTURE'],
    ['with a permission that is none', value([2, 8, 1]), 'BAD_STRUCTURE'],
    ['too long to be one', Buffer.alloc(4 + 8 * 9000), 'BAD_STRUCTURE'],
  ])('are refused from a value %s', (_what, access, code) => {
    expect(resultOrCode('acl', () => aclItems({ access }))).toEqual({ code });
  });

  it('and back are the same', () => {
    const permissions = fc.integer({ min: 0, max: 7 });
    const entries = fc.uniqueArray(fc.record({ id: fc.integer({ min: 0, max: 2 ** 32 - 2 }), permissions }), {
      selector: ({ id }) => id,
      maxLength: 20,
    });
    const byId = (list: readonly PxarAclEntry[]): PxarAclEntry[] => list.toSorted((a, b) => a.id - b.id);
    const acl = fc.record({
      users: entries.map(byId),
      groups: entries.map(byId),
      groupObj: permissions,
      default: fc.record({
        userObj: permissions,
        groupObj: permissions,
        other: permissions,
        mask: fc.option(permissions, { nil: undefined }),
      }),
      defaultUsers: entries.map(byId),
      defaultGroups: entries.map(byId),
    });
    fc.assert(
      fc.property(acl, fc.integer({ min: 0, max: 0o7777 }), (items, bits) => {
        expect(aclItems(aclXattrs({ mode: 0o40000 | bits, acl: items }))).toEqual(items);
      }),
      { seed },
    );
  });
});
