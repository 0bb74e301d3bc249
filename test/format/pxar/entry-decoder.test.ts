import { describe, expect, it, test } from 'vitest';
import { decodeEntry, decodeName, decodePreamble, entryBytesMax } from '../../../src/format/pxar/entry-decoder.js';
import { encodeEntry, encodeName, encodePreamble } from '../../../src/format/pxar/entry-encoder.js';
import type { PxarEntry } from '../../../src/format/pxar/entry.js';
import { decodeItemHeader, encodeItem, itemKinds, type ItemType } from '../../../src/format/pxar/item.js';
import { resultOrCode } from '../../support/damage.js';
import { complete } from './streams.js';
import { metadata } from './vectors.js';

const nothing = Buffer.alloc(0);
const nextName = encodeName(Buffer.from('next'));
const end = { atStreamEnd: true };
const more = { atStreamEnd: false };

function codeOf(run: () => unknown): string | undefined {
  const result = resultOrCode('decoding', run);
  return 'code' in result ? result.code : undefined;
}

function u64(...values: readonly (number | bigint)[]): Buffer {
  const bytes = Buffer.alloc(8 * values.length);
  values.forEach((value, index) => bytes.writeBigUInt64LE(BigInt(value), 8 * index));
  return bytes;
}

/** A header as given, whatever it says. */
function header(type: ItemType, fullBytes: number | bigint): Buffer {
  const { hi, lo } = itemKinds[type];
  return Buffer.concat([u64((BigInt(hi) << 32n) | BigInt(lo)), u64(fullBytes)]);
}

function stat(mode: number): Buffer {
  return encodeEntry({ kind: 'directory', metadata: metadata(0o40755) }).fill(u64(mode), 16, 24);
}

describe('item headers', () => {
  it('needs 16 bytes', () => {
    expect(decodeItemHeader(nothing)).toEqual({ needBytes: 16 });
    expect(decodeItemHeader(nextName.subarray(0, 15))).toEqual({ needBytes: 16 });
  });

  test.each<[string, Buffer, string]>([
    ['of zeros', Buffer.alloc(16), 'BAD_STRUCTURE'],
    ['with half of a known type', Buffer.concat([nextName.subarray(0, 4), Buffer.alloc(12)]), 'BAD_STRUCTURE'],
    ['smaller than itself', header('PAYLOAD', 15), 'BAD_STRUCTURE'],
    ['beyond 2^53', header('PAYLOAD', 1n << 53n), 'LIMIT_EXCEEDED'],
    ['beyond 2^63', header('PAYLOAD', (1n << 64n) - 1n), 'LIMIT_EXCEEDED'],
    ['of a short ENTRY', header('ENTRY', 55), 'BAD_STRUCTURE'],
    ['of a long ENTRY', header('ENTRY', 57), 'BAD_STRUCTURE'],
    ['of an empty FILENAME', header('FILENAME', 17), 'BAD_STRUCTURE'],
    ['of a FILENAME of 4098 bytes', header('FILENAME', 16 + 4098), 'LIMIT_EXCEEDED'],
    ['of a SYMLINK of 4098 bytes', header('SYMLINK', 16 + 4098), 'LIMIT_EXCEEDED'],
    ['of a HARDLINK without path', header('HARDLINK', 16 + 8), 'BAD_STRUCTURE'],
    ['of a HARDLINK of 4106 bytes', header('HARDLINK', 16 + 4106), 'LIMIT_EXCEEDED'],
    ['of an XATTR of 65792 bytes', header('XATTR', 16 + 65_792), 'LIMIT_EXCEEDED'],
    ['of an FCAPS of 65792 bytes', header('FCAPS', 16 + 65_792), 'LIMIT_EXCEEDED'],
    ['of a PRELUDE of more than 1 MiB', header('PRELUDE', 17 + 1024 * 1024), 'LIMIT_EXCEEDED'],
    ['of a GOODBYE without tail', header('GOODBYE', 16), 'BAD_STRUCTURE'],
    ['of a GOODBYE of 1.5 items', header('GOODBYE', 16 + 36), 'BAD_STRUCTURE'],
    ['of a GOODBYE of too many items', header('GOODBYE', 16 + 24 * (4 * 1024 * 1024 + 2)), 'LIMIT_EXCEEDED'],
    ['of a marker with content', header('PAYLOAD_TAIL_MARKER', 17), 'BAD_STRUCTURE'],
  ])('refuses one %s', (_what, window, code) => {
    expect(codeOf(() => decodeItemHeader(window))).toBe(code);
  });

  it('takes the largest that is allowed', () => {
    expect(complete(decodeItemHeader(header('XATTR', 16 + 65_791))).value).toEqual({ type: 'XATTR', contentBytes: 65_791 });
    expect(complete(decodeItemHeader(header('PAYLOAD', 2 ** 53 - 1))).value.contentBytes).toBe(2 ** 53 - 17);
  });
});

describe('names', () => {
  test.each([
    ...['a', ' ', '...', '..a', '\u00ff', '\n', 'x'.repeat(255)].map((name) => Buffer.from(name)),
    Buffer.alloc(4096, 0xff),
  ])('takes %j', (name) => {
    const bytes = encodeName(name);
    expect(decodeName(bytes)).toEqual({ value: name, bytes: bytes.length });
    expect(decodeName(bytes.subarray(0, -1))).toEqual({ needBytes: bytes.length });
  });

  test.each<[string, Buffer]>([
    ['a dot', Buffer.from('.\0')],
    ['two dots', Buffer.from('..\0')],
    ['a slash', Buffer.from('a/b\0')],
    ['a zero byte inside', Buffer.from('a\0b\0')],
    ['nothing before the zero byte', Buffer.from('\0\0')],
    ['no zero byte', Buffer.from('abc')],
  ])('refuses %s', (_what, content) => {
    expect(codeOf(() => decodeName(encodeItem('FILENAME', content)))).toMatch(/^BAD_(NAME|STRUCTURE)$/);
  });

  it('refuses another item', () => {
    expect(codeOf(() => decodeName(stat(0o40755)))).toBe('BAD_STRUCTURE');
    expect(codeOf(() => encodeName(Buffer.alloc(4097, 0x61)))).toBe('BAD_NAME');
  });

  it('gives a copy', () => {
    const window = Buffer.from(nextName);
    const name = complete(decodeName(window)).value;
    window.fill(0);
    expect(name.toString()).toBe('next');
  });
});

describe('what precedes the root', () => {
  const prelude = Buffer.from('{}');

  it('is nothing in version 1', () => {
    expect(decodePreamble(stat(0o40755))).toEqual({ value: { version: 1, prelude: undefined }, bytes: 0 });
    expect(encodePreamble({ version: 1, prelude: undefined })).toEqual(nothing);
  });

  test.each([undefined, prelude, nothing])('is a version, and a prelude or none: %j', (given) => {
    const bytes = encodePreamble({ version: 2, prelude: given });
    expect(decodePreamble(Buffer.concat([bytes, stat(0o40755)]))).toEqual({
      value: { version: 2, prelude: given },
      bytes: bytes.length,
    });
  });

  it('asks for no more than there is', () => {
    const bytes = Buffer.concat([encodePreamble({ version: 2, prelude }), stat(0o40755)]);
    expect(decodePreamble(bytes.subarray(0, 0))).toEqual({ needBytes: 16 });
    expect(decodePreamble(bytes.subarray(0, 16))).toEqual({ needBytes: 24 });
    expect(decodePreamble(bytes.subarray(0, 24))).toEqual({ needBytes: 40 });
    expect(decodePreamble(bytes.subarray(0, 40))).toEqual({ needBytes: 42 });
    expect(complete(decodePreamble(bytes.subarray(0, 42))).bytes).toBe(42);
  });

  it('accepts an explicit version 1, refuses others and what is no archive', () => {
    const version = (value: number): Buffer => Buffer.concat([encodeItem('FORMAT_VERSION', u64(value)), stat(0o40755)]);
    expect(complete(decodePreamble(version(1)))).toEqual({ value: { version: 1, prelude: undefined }, bytes: 24 });
    expect(codeOf(() => decodePreamble(version(0)))).toBe('UNSUPPORTED_VERSION');
    expect(codeOf(() => decodePreamble(version(3)))).toBe('UNSUPPORTED_VERSION');
    expect(codeOf(() => decodePreamble(nextName))).toBe('BAD_STRUCTURE');
    expect(codeOf(() => decodePreamble(Buffer.alloc(64, 0x20)))).toBe('BAD_STRUCTURE');
  });
});

describe('entries', () => {
  const content = { where: 'inline', size: 7 } as const;
  const entries: PxarEntry[] = [
    { kind: 'directory', metadata: metadata(0o40755) },
    { kind: 'fifo', metadata: metadata(0o10600) },
    { kind: 'socket', metadata: metadata(0o140600) },
    { kind: 'file', metadata: metadata(0o100600), content },
    { kind: 'file', metadata: metadata(0o100600), content: { where: 'payload', offset: 2 ** 53 - 1, size: 2 ** 52 } },
    { kind: 'symlink', metadata: metadata(0o120777), target: Buffer.from('../x//\xff') },
    { kind: 'device', metadata: metadata(0o60600), device: { major: 2 ** 32 - 1, minor: 0 } },
    { kind: 'hardlink', metadata: undefined, hardlink: { distance: 2 ** 53 - 1, target: Buffer.from('a/b') } },
    {
      kind: 'fifo',
      metadata: metadata(0o17777, {
        flags: { hi: 0x8000_0000, lo: 0xffff_ffff },
        uid: 2 ** 32 - 2,
        mtime: { sec: -(2 ** 53) + 1, nsec: 999_999_999 },
      }),
    },
  ];

  test.each(entries)('takes exactly its bytes: $kind', (entry) => {
    const bytes = encodeEntry(entry);
    expect(decodeEntry(Buffer.concat([bytes, nextName]), more)).toEqual({ value: entry, bytes: bytes.length });
  });

  test.each(entries)('asks for more until it has enough: $kind', (entry) => {
    const whole = Buffer.concat([encodeEntry(entry), nextName]);
    for (let length = 0; length < whole.length; length++) {
      const decoded = decodeEntry(whole.subarray(0, length), more);
      if (!('needBytes' in decoded)) continue;
      expect(decoded.needBytes).toBeGreaterThan(length);
      expect(decoded.needBytes).toBeLessThanOrEqual(whole.length);
      expect(codeOf(() => decodeEntry(whole.subarray(0, length), end)) ?? entry.kind).toMatch(/^(TRUNCATED|fifo|socket)$/);
    }
  });

  it('lets a fifo or socket end with the stream, nothing else', () => {
    expect(complete(decodeEntry(stat(0o10600), end)).value.kind).toBe('fifo');
    expect(complete(decodeEntry(stat(0o140600), end)).value.kind).toBe('socket');
    expect(decodeEntry(stat(0o10600), more)).toEqual({ needBytes: 72 });
    expect(codeOf(() => decodeEntry(stat(0o40600), end))).toBe('TRUNCATED');
    expect(codeOf(() => decodeEntry(stat(0o100600), end))).toBe('TRUNCATED');
  });

  test.each<[string, number, Buffer]>([
    ['a file with the mode of a directory', 0o40755, encodeItem('PAYLOAD', nothing)],
    ['a reference with the mode of a link', 0o120777, encodeItem('PAYLOAD_REF', u64(16, 0))],
    ['a link with the mode of a file', 0o100644, encodeItem('SYMLINK', Buffer.from('a\0'))],
    ['a device with the mode of a fifo', 0o10644, encodeItem('DEVICE', u64(1, 1))],
    ['a directory with the mode of a file', 0o100644, nextName],
    ['a directory with no type', 0o755, nextName],
    ['a mode of 17 bits', 0o200755, nextName],
    ['a hard link after ENTRY', 0o100644, encodeItem('HARDLINK', Buffer.concat([u64(1), Buffer.from('a\0')]))],
    ['ENTRY after ENTRY', 0o40755, stat(0o40755)],
    ['an item of the payload stream', 0o100644, encodeItem('PAYLOAD_START_MARKER', nothing)],
    ['a link without zero byte', 0o120777, encodeItem('SYMLINK', Buffer.from('ab'))],
    ['a link to nothing', 0o120777, encodeItem('SYMLINK', Buffer.from('\0\0'))],
    ['an xattr without name', 0o40755, Buffer.concat([encodeItem('XATTR', Buffer.from('\0v')), nextName])],
    ['an xattr without zero byte', 0o40755, Buffer.concat([encodeItem('XATTR', Buffer.from('name')), nextName])],
    ['permissions of four bits', 0o40755, Buffer.concat([encodeItem('ACL_USER', u64(1, 8)), nextName])],
    ['a second GROUP_OBJ', 0o40755, Buffer.concat([encodeItem('ACL_GROUP_OBJ', u64(7)), encodeItem('ACL_GROUP_OBJ', u64(7))])],
    [
      'a second default ACL',
      0o40755,
      Buffer.concat([encodeItem('ACL_DEFAULT', u64(7, 7, 7, 7)), encodeItem('ACL_DEFAULT', u64(7, 7, 7, 7))]),
    ],
    ['second capabilities', 0o40755, Buffer.concat([encodeItem('FCAPS', nothing), encodeItem('FCAPS', nothing)])],
    ['a second project id', 0o40755, Buffer.concat([encodeItem('QUOTA_PROJID', u64(0)), encodeItem('QUOTA_PROJID', u64(0))])],
  ])('refuses %s', (_what, mode, rest) => {
    expect(codeOf(() => decodeEntry(Buffer.concat([stat(mode), rest]), end))).toBe('BAD_STRUCTURE');
  });

  test.each<[string, number, Buffer]>([
    ['an ACL id', 0o40755, encodeItem('ACL_GROUP', u64(1n << 32n, 7))],
    ['permissions', 0o40755, encodeItem('ACL_GROUP_OBJ', u64((1n << 64n) - 1n))],
    ['a project id', 0o40755, encodeItem('QUOTA_PROJID', u64(1n << 32n))],
    ['a device number', 0o20600, encodeItem('DEVICE', u64(0, 1n << 32n))],
    ['an offset', 0o100600, encodeItem('PAYLOAD_REF', u64(1n << 53n, 0))],
    ['a size', 0o100600, encodeItem('PAYLOAD_REF', u64(0, 1n << 63n))],
  ])('refuses %s that is too great', (_what, mode, rest) => {
    expect(codeOf(() => decodeEntry(Buffer.concat([stat(mode), rest]), end))).toBe('LIMIT_EXCEEDED');
  });

  it('refuses times that are none', () => {
    const far = stat(0o10600).fill(u64(1n << 60n), 40, 48);
    expect(codeOf(() => decodeEntry(far, end))).toBe('LIMIT_EXCEEDED');
    const second = Buffer.from(stat(0o10600));
    second.writeUInt32LE(1_000_000_000, 48);
    expect(codeOf(() => decodeEntry(second, end))).toBe('BAD_STRUCTURE');
  });

  test.each(['../a', 'a/../b', '.', 'a//b', 'a/', '/', '//a', 'a\0b'])('refuses a hard link to %j', (target) => {
    const bytes = encodeItem('HARDLINK', Buffer.concat([u64(100), Buffer.from(`${target}\0`)]));
    expect(codeOf(() => decodeEntry(bytes, end))).toMatch(/^BAD_(NAME|STRUCTURE)$/);
  });

  it('refuses a hard link to itself, and tolerates a leading slash', () => {
    const link = (distance: number): Buffer => encodeItem('HARDLINK', Buffer.concat([u64(distance), Buffer.from('/a/b\0')]));
    expect(codeOf(() => decodeEntry(link(0), end))).toBe('BAD_STRUCTURE');
    expect(complete(decodeEntry(link(1), end)).value.hardlink?.target.toString()).toBe('a/b');
  });

  it('reads attributes in any order', () => {
    const items = [
      encodeItem('QUOTA_PROJID', u64(9)),
      encodeItem('FCAPS', Buffer.from('f')),
      encodeItem('ACL_DEFAULT_GROUP', u64(4, 4)),
      encodeItem('XATTR', Buffer.from('user.a\0')),
      encodeItem('ACL_DEFAULT', u64(7, 5, (1n << 64n) - 1n, (1n << 64n) - 1n)),
      encodeItem('ACL_USER', u64(1, 1)),
      encodeItem('XATTR', Buffer.from('user.b\0v\0')),
    ];
    const { value } = complete(decodeEntry(Buffer.concat([stat(0o40755), ...items, nextName]), end));
    expect(value.metadata).toMatchObject({
      projectId: 9,
      fcaps: Buffer.from('f'),
      xattrs: [
        { name: Buffer.from('user.a'), value: nothing },
        { name: Buffer.from('user.b'), value: Buffer.from('v\0') },
      ],
      acl: {
        users: [{ id: 1, permissions: 1 }],
        groups: [],
        groupObj: undefined,
        default: { userObj: 7, groupObj: 5, other: undefined, mask: undefined },
        defaultUsers: [],
        defaultGroups: [{ id: 4, permissions: 4 }],
      },
    });
  });

  it('limits the attributes of one entry', () => {
    const xattr = encodeItem('XATTR', Buffer.concat([Buffer.from('user.x\0'), Buffer.alloc(65_536)]));
    const count = Math.floor(entryBytesMax / xattr.length);
    const most = Buffer.concat([stat(0o40755), ...Array<Buffer>(count).fill(xattr), nextName]);
    expect(complete(decodeEntry(most, end)).value.metadata?.xattrs).toHaveLength(count);
    const tooMany = Buffer.concat([stat(0o40755), ...Array<Buffer>(count + 1).fill(xattr), nextName]);
    expect(codeOf(() => decodeEntry(tooMany, end))).toBe('LIMIT_EXCEEDED');
    // Said before the caller is asked to fetch the item that is too much.
    expect(codeOf(() => decodeEntry(tooMany.subarray(0, 56 + count * xattr.length + 16), more))).toBe('LIMIT_EXCEEDED');
  });
});

describe('the encoder', () => {
  test.each<[string, PxarEntry]>([
    ['a file without content', { kind: 'file', metadata: metadata(0o100600) }],
    ['a link without target', { kind: 'symlink', metadata: metadata(0o120777) }],
    ['a device without number', { kind: 'device', metadata: metadata(0o20600) }],
    ['a hard link without target', { kind: 'hardlink', metadata: undefined }],
    ['a directory without metadata', { kind: 'directory', metadata: undefined }],
    ['a directory with the mode of a file', { kind: 'directory', metadata: metadata(0o100644) }],
    ['a hard link forward', { kind: 'hardlink', metadata: undefined, hardlink: { distance: -5, target: Buffer.from('a') } }],
    ['a hard link upward', { kind: 'hardlink', metadata: undefined, hardlink: { distance: 5, target: Buffer.from('../a') } }],
    ['a link to nothing', { kind: 'symlink', metadata: metadata(0o120777), target: nothing }],
    ['an xattr without name', { kind: 'fifo', metadata: metadata(0o10600, { xattrs: [{ name: nothing, value: nothing }] }) }],
    ['too many nanoseconds', { kind: 'fifo', metadata: metadata(0o10600, { mtime: { sec: 0, nsec: 1e9 } }) }],
  ])('refuses %s', (_what, entry) => {
    expect(codeOf(() => encodeEntry(entry))).toMatch(/^BAD_(NAME|STRUCTURE)$/);
  });

  it('refuses what no reader would take', () => {
    const value = Buffer.alloc(65_536);
    const entry = (name: string): PxarEntry => ({
      kind: 'fifo',
      metadata: metadata(0o10600, { xattrs: [{ name: Buffer.from(name), value }] }),
    });
    expect(codeOf(() => encodeEntry(entry(`user.${'x'.repeat(250)}`)))).toBe('LIMIT_EXCEEDED');
    expect(encodeEntry(entry(`user.${'x'.repeat(249)}`)).length).toBe(56 + 16 + 65_791);
    const target = Buffer.alloc(4097, 0x61);
    expect(codeOf(() => encodeEntry({ kind: 'symlink', metadata: metadata(0o120777), target }))).toBe('LIMIT_EXCEEDED');
  });
});
