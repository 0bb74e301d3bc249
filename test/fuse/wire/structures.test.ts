/** Each structure against the offsets of the kernel's header, which a C program printed. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { encodeDevice, writeAttributesReply, writeEntry } from '../../../src/fuse/wire/attributes.js';
import { direntBytes, writeDirent, writeEmptyEntry } from '../../../src/fuse/wire/directory.js';
import { initReplyBytes, parseInit, writeInitReply } from '../../../src/fuse/wire/init.js';
import { getUint64, padTo8, setInt64 } from '../../../src/fuse/wire/integers.js';
import { extendedFlagsOf, ioctlResult } from '../../../src/fuse/wire/ioctl.js';
import { invalidateEntryNotification, invalidateInodeNotification } from '../../../src/fuse/wire/notification.js';
import { opcode, opcodeName } from '../../../src/fuse/wire/opcode.js';
import { writeOpen } from '../../../src/fuse/wire/open.js';
import { ReplyBuffer } from '../../../src/fuse/wire/reply.js';
import { Request } from '../../../src/fuse/wire/request.js';
import { writeStatfs } from '../../../src/fuse/wire/statfs.js';
import type { Attributes, Entry } from '../../../src/vfs/file-system.js';

const dirty = (length: number): { bytes: Buffer; view: DataView } => {
  const bytes = Buffer.alloc(length, 0xee);
  return { bytes, view: new DataView(bytes.buffer, bytes.byteOffset, length) };
};
const seed = (): { seed: number } => ({ seed: Date.now() & 0x7fffffff });
const attributes: Attributes = {
  ino: 2 ** 40 + 5,
  mode: 0o100644,
  nlink: 3,
  uid: 1000,
  gid: 2 ** 32 - 2,
  rdevMajor: 300,
  rdevMinor: 70000,
  size: 2 ** 53 - 1,
  blocks: 2 ** 44 - 1,
  atime: { sec: -2_000_000_000, nsec: 1 },
  mtime: { sec: -1, nsec: 999_999_999 },
  ctime: { sec: 2 ** 34, nsec: 0 },
};
const entry: Entry = { attributes, ttlMs: 90_061_500 };

function expectAttributes(bytes: Buffer, at: number): void {
  expect([0, 8, 16].map((offset) => bytes.readBigUInt64LE(at + offset))).toEqual([
    2n ** 40n + 5n,
    2n ** 53n - 1n,
    2n ** 44n - 1n,
  ]);
  expect([24, 32, 40].map((offset) => bytes.readBigInt64LE(at + offset))).toEqual([-2_000_000_000n, -1n, 2n ** 34n]);
  expect([48, 52, 56, 60, 64, 68, 72, 76, 80, 84].map((offset) => bytes.readUInt32LE(at + offset))).toEqual([
    ...[1, 999_999_999, 0, 0o100644, 3, 1000, 2 ** 32 - 2, 286338160, 0, 0],
  ]);
}

describe('integers', () => {
  test('any whole number up to 2^53 - 1, as the platform writes it', () => {
    fc.assert(
      fc.property(fc.maxSafeInteger(), (value) => {
        const { bytes, view } = dirty(8);
        setInt64(view, 0, value);
        expect(bytes.readBigInt64LE(0)).toBe(BigInt(value));
        if (value >= 0) expect(getUint64(view, 0)).toBe(value);
      }),
      seed(),
    );
  });

  test('padding', () => {
    expect([0, 1, 7, 8, 9, 279].map(padTo8)).toEqual([0, 8, 8, 8, 16, 280]);
  });
});

describe('attributes', () => {
  test('entry_out, 128 bytes', () => {
    const { bytes, view } = dirty(130);
    writeEntry(view, 1, 77, entry);
    expect([bytes[0], bytes[129]]).toEqual([0xee, 0xee]);
    expect([1, 9, 17, 25].map((at) => Number(bytes.readBigUInt64LE(at)))).toEqual([77, 0, 90_061, 90_061]);
    expect([33, 37].map((at) => bytes.readUInt32LE(at))).toEqual([500_000_000, 500_000_000]);
    expectAttributes(bytes, 41);
  });

  test('attr_out, 104 bytes', () => {
    const { bytes, view } = dirty(105);
    writeAttributesReply(view, 0, entry);
    expect(bytes[104]).toBe(0xee);
    expect([Number(bytes.readBigUInt64LE(0)), bytes.readUInt32LE(8), bytes.readUInt32LE(12)]).toEqual([90_061, 500_000_000, 0]);
    expectAttributes(bytes, 16);
  });

  test('a time to live of nothing, for ever, or a part of a millisecond', () => {
    for (const [ttlMs, sec, nsec] of [
      [0, 0, 0],
      [-5, 0, 0],
      [Infinity, 31_536_000, 0],
      [0.25, 0, 250_000],
      [999, 0, 999_000_000],
    ] as const) {
      const { bytes, view } = dirty(128);
      writeEntry(view, 0, 1, { attributes, ttlMs });
      expect([Number(bytes.readBigUInt64LE(16)), bytes.readUInt32LE(32)], String(ttlMs)).toEqual([sec, nsec]);
    }
  });

  test('device numbers', () => {
    expect(encodeDevice(300, 70000)).toBe(286338160);
    expect(encodeDevice(1, 3)).toBe(0x103);
    expect(encodeDevice(0xfff, 0xfffff)).toBe(0xffffffff);
  });
});

describe('directories', () => {
  test('dirent, padded with zeros', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 255 }), fc.maxSafeInteger(), fc.nat(), (name, ino, cookie) => {
        fc.pre(ino > 0);
        const length = direntBytes(name.length);
        const { bytes, view } = dirty(length + 16);
        writeDirent(bytes, view, 8, { ino, cookie, type: 0o120000, name });
        expect(length % 8).toBe(0);
        expect([
          Number(bytes.readBigUInt64LE(8)),
          Number(bytes.readBigUInt64LE(16)),
          bytes.readUInt32LE(24),
          bytes.readUInt32LE(28),
        ]).toEqual([ino, cookie, name.length, 10]);
        expect(bytes.subarray(32, 32 + name.length)).toEqual(Buffer.from(name));
        expect(bytes.subarray(32 + name.length, 8 + length).every((byte) => byte === 0)).toBe(true);
        expect(bytes.subarray(8 + length).every((byte) => byte === 0xee)).toBe(true);
      }),
      seed(),
    );
  });

  test('an entry that says nothing', () => {
    const { bytes } = dirty(130);
    writeEmptyEntry(bytes, 1);
    expect(bytes.equals(Buffer.concat([Buffer.of(0xee), Buffer.alloc(128), Buffer.of(0xee)]))).toBe(true);
  });
});

describe('handshake', () => {
  test('init_out, 64 bytes', () => {
    const { bytes, view } = dirty(65);
    writeInitReply(bytes, view, {
      major: 7,
      minor: 45,
      maxReadahead: 1,
      flags: -1,
      maxBackground: 2,
      congestionThreshold: 3,
      maxWrite: 4,
      timeGranularity: 5,
      maxPages: 6,
    });
    expect([0, 4, 8, 12, 20, 24].map((at) => bytes.readUInt32LE(at))).toEqual([7, 45, 1, 2 ** 32 - 1, 4, 5]);
    expect([16, 18, 28, 30].map((at) => bytes.readUInt16LE(at))).toEqual([2, 3, 6, 0]);
    expect(bytes.subarray(32, initReplyBytes).equals(Buffer.alloc(32))).toBe(true);
    expect(bytes[64]).toBe(0xee);
  });

  test('init_in', () => {
    const bytes = Buffer.alloc(56);
    bytes.writeUInt32LE(56, 0);
    bytes.writeUInt32LE(7, 40);
    bytes.writeUInt32LE(31, 44);
    bytes.writeUInt32LE(0x80000001, 52);
    const request = new Request(bytes);
    expect(request.parse(56)).toBe(true);
    expect(parseInit(request)).toEqual({ major: 7, minor: 31, flags: 0x80000001 });
  });
});

describe('requests', () => {
  const made = (payload: Buffer): Buffer => {
    const bytes = Buffer.alloc(40 + payload.length);
    bytes.writeUInt32LE(bytes.length, 0);
    bytes.writeUInt32LE(22, 4);
    bytes.writeUInt32LE(0x11223344, 8);
    bytes.writeUInt32LE(0x80000000, 12);
    bytes.writeBigUInt64LE(2n ** 50n, 16);
    bytes.writeUInt32LE(4711, 32);
    payload.copy(bytes, 40);
    return bytes;
  };

  test('in_header, 40 bytes', () => {
    const bytes = made(Buffer.from([1, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 127]));
    const request = new Request(bytes);
    expect(request.parse(bytes.length)).toBe(true);
    expect(request).toMatchObject({
      length: 52,
      opcode: 22,
      uniqueLow: 0x11223344,
      uniqueHigh: 0x80000000,
      node: 2 ** 50,
      thread: 4711,
      payloadBytes: 12,
    });
    expect(request.uint32(0)).toBe(1);
    expect(request.offset(4)).toBe(Number.MAX_SAFE_INTEGER);
  });

  test('that are cut or longer than they say', () => {
    const bytes = made(Buffer.alloc(8));
    const request = new Request(bytes);
    for (const length of [0, 1, 39, 40, 47]) expect(request.parse(length)).toBe(false);
    bytes.writeUInt32LE(2 ** 32 - 1, 0);
    expect(request.parse(48)).toBe(false);
  });

  test('names end with their NUL and inside of the request', () => {
    const buffer = Buffer.alloc(4096, 'x');
    const bytes = made(Buffer.from([0x61, 0xff, 0, 0x62, 0]));
    bytes.copy(buffer);
    buffer[100] = 0;
    const request = new Request(buffer);
    request.parse(bytes.length);
    const name = request.name(0);
    expect(name).toEqual(Buffer.from([0x61, 0xff]));
    expect(request.name(3)).toEqual(Buffer.from('b'));
    expect(request.name(2)).toBe(undefined);
    expect(request.name(5)).toBe(undefined);
    buffer.fill(0);
    expect(name).toEqual(Buffer.from([0x61, 0xff]));
  });
});

test('open_out, 16 bytes', () => {
  const { bytes, view } = dirty(17);
  writeOpen(view, 2 ** 33, 10);
  expect([Number(bytes.readBigUInt64LE(0)), bytes.readUInt32LE(8), bytes.readUInt32LE(12), bytes[16]]).toEqual([
    2 ** 33,
    10,
    0,
    0xee,
  ]);
});

test('kstatfs, 80 bytes', () => {
  const { bytes, view } = dirty(81);
  writeStatfs(bytes, view, { blockSize: 4096, blocks: 2 ** 40, blocksFree: 3, files: 2 ** 35, nameLengthMax: 255 });
  expect([0, 8, 16, 24, 32].map((at) => Number(bytes.readBigUInt64LE(at)))).toEqual([2 ** 40, 3, 3, 2 ** 35, 0]);
  expect([40, 44, 48, 52].map((at) => bytes.readUInt32LE(at))).toEqual([4096, 255, 4096, 0]);
  expect(bytes[80]).toBe(0xee);
});

test('out_header, 16 bytes', () => {
  const reply = new ReplyBuffer();
  expect(reply.frame(0x11223344, 0x80000000, 38, 0)).toBe(16);
  expect([reply.bytes.readUInt32LE(0), reply.bytes.readInt32LE(4), reply.bytes.readBigUInt64LE(8)]).toEqual([
    16,
    -38,
    0x8000000011223344n,
  ]);
  expect(reply.frame(1, 0, 0, 100)).toBe(116);
  expect(reply.header.equals(Buffer.from('74000000000000000100000000000000', 'hex'))).toBe(true);
  reply.payloadView.setUint32(0, 5, true);
  expect([reply.bytes[16], reply.payload[0]]).toEqual([5, 5]);
});

test('notifications', () => {
  expect(invalidateInodeNotification(7).toString('hex')).toBe(
    `28000000 02000000 ${'00'.repeat(8)} 0700000000000000 ${'00'.repeat(16)}`.replaceAll(' ', ''),
  );
  expect(invalidateEntryNotification(7, Buffer.from('ab')).toString('hex')).toBe(
    `23000000 03000000 ${'00'.repeat(8)} 0700000000000000 02000000 00000000 616200`.replaceAll(' ', ''),
  );
});

test('inode flags of both kinds', () => {
  expect(extendedFlagsOf(0x8 | 0x10 | 0x20 | 0x40 | 0x80 | 0x2000_0000)).toBe(0x20 | 0x8 | 0x10 | 0x80 | 0x40 | 0x200);
  expect(extendedFlagsOf(0x4 | 0x800)).toBe(0);
  const flags = { flags: 0xffff_ffff, projectId: 2 ** 32 - 1, fatAttributes: 0x21 };
  expect(ioctlResult(0x80086601)?.(flags).toString('hex')).toBe('ffffffff');
  expect(ioctlResult(0x80046601)?.(flags).toString('hex')).toBe('ffffffff');
  expect(ioctlResult(0x80047210)?.(flags).toString('hex')).toBe('21000000');
  expect(ioctlResult(0x801c581f)?.(flags).readUInt32LE(12)).toBe(2 ** 32 - 1);
  expect(ioctlResult(0x5401)).toBe(undefined);
});

test('names of operations', () => {
  expect([opcodeName(opcode.READDIRPLUS), opcodeName(opcode.COPY_FILE_RANGE_64), opcodeName(63)]).toEqual([
    'readdirplus',
    'copy_file_range_64',
    'opcode_63',
  ]);
});
