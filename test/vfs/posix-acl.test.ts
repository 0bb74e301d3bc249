/** ACLs and modes, as values; that the kernel means the same is shown in test/fuse/writable-calls.test.ts. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  accessAclName,
  aclWithMode,
  defaultAclName,
  inheritedAcl,
  isAclName,
  isMinimalAcl,
  modeWithAcl,
} from '../../src/vfs/posix-acl.js';
import { newNodeOwnership } from '../../src/vfs/new-node.js';
import { withoutPrivileges } from '../../src/vfs/writable-file-system.js';
import { someEntry } from '../support/recording-file-system.js';

function acl(...entries: [tag: number, permissions: number, id?: number][]): Buffer {
  const bytes = Buffer.alloc(4 + entries.length * 8);
  bytes.writeUInt32LE(2);
  entries.forEach(([tag, permissions, id = 0xffffffff], i) => {
    bytes.writeUInt16LE(tag, 4 + i * 8);
    bytes.writeUInt16LE(permissions, 6 + i * 8);
    bytes.writeUInt32LE(id, 8 + i * 8);
  });
  return bytes;
}
const minimal = acl([1, 7], [4, 5], [32, 1]);
const full = acl([1, 7], [2, 6, 1000], [4, 5], [8, 4, 7], [16, 6], [32, 1]);

test('names', () => {
  expect([accessAclName, defaultAclName, Buffer.from('user.x')].map(isAclName)).toEqual([true, true, false]);
  expect([minimal, full].map(isMinimalAcl)).toEqual([true, false]);
});

test('the group bits of a mode are the mask where there is one', () => {
  expect(modeWithAcl(0o102000, minimal)).toBe(0o102751);
  expect(modeWithAcl(0o104777, full)).toBe(0o104761);
  expect(aclWithMode(full, 0o640)).toEqual(acl([1, 6], [2, 6, 1000], [4, 5], [8, 4, 7], [16, 4], [32, 0]));
  expect(aclWithMode(minimal, 0o640)).toEqual(acl([1, 6], [4, 4], [32, 0]));
});

test('what is inherited gives no more than was asked for, and no more than the ACL has', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 0o777 }), fc.integer({ min: 0, max: 0o777 }), (asked, of) => {
      for (const whole of [minimal, full]) expect(modeWithAcl(0, inheritedAcl(aclWithMode(whole, of), asked))).toBe(asked & of);
    }),
    { seed: Date.now() & 0x7fffffff },
  );
});

test('what is no ACL changes nothing', () => {
  for (const bytes of [Buffer.alloc(0), Buffer.alloc(3), Buffer.alloc(12), full.subarray(0, 9)]) {
    expect(aclWithMode(bytes, 0o777).length).toBe(bytes.length);
    expect(modeWithAcl(0o100000, bytes)).toBeGreaterThanOrEqual(0o100000);
  }
});

describe('something new', () => {
  const asked = { mode: 0o6777, umask: 0o027, caller: { uid: 5, gid: 6, pid: 7 } };
  const plain = someEntry(1, { mode: 0o40755, gid: 9 }).attributes;
  const setGroupId = someEntry(1, { mode: 0o42755, gid: 9 }).attributes;

  test.each([
    ['a file', 0o100000, { attributes: plain }, { uid: 5, gid: 6, mode: 0o106750 }],
    ['a file of a group', 0o100000, { attributes: setGroupId }, { uid: 5, gid: 9, mode: 0o106750 }],
    ['a directory of a group', 0o040000, { attributes: setGroupId }, { uid: 5, gid: 9, mode: 0o046750 }],
    ['a link', 0o120000, { attributes: setGroupId, defaultAcl: full }, { uid: 5, gid: 9, mode: 0o120777 }],
    ['a file with a small ACL', 0o100000, { attributes: plain, defaultAcl: minimal }, { uid: 5, gid: 6, mode: 0o106751 }],
    [
      'a file with an ACL',
      0o100000,
      { attributes: plain, defaultAcl: full },
      { uid: 5, gid: 6, mode: 0o106761, accessAcl: full },
    ],
    [
      'a directory with an ACL',
      0o040000,
      { attributes: plain, defaultAcl: full },
      { uid: 5, gid: 6, mode: 0o046761, accessAcl: full, defaultAcl: full },
    ],
  ])('%s', (_, type, parent, expected) => {
    expect(newNodeOwnership(type, asked, parent)).toEqual(expected);
  });
});

test('privileges that a write takes', () => {
  const modes = [0o106755, 0o106745, 0o104644, 0o100777];
  expect(modes.map((mode) => withoutPrivileges({ mode }))).toEqual([0o100755, 0o102745, 0o100644, 0o100777]);
});
