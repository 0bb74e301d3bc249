/** The dialogue with the kernel, without a kernel: each request is answered exactly once, whatever happens. */
import fc from 'fast-check';
import { constants } from 'node:os';
import { describe, expect, test } from 'vitest';
import { FileError, StoreError } from '../../src/errors.js';
import { Connection } from '../../src/fuse/connection.js';
import { opcode } from '../../src/fuse/wire/opcode.js';
import type { OpenFile } from '../../src/vfs/file-system.js';
import { FakeTransport } from '../support/fake-transport.js';
import { MemoryFileSystem, directoryType, patternContent } from '../support/memory-file-system.js';

const { EAGAIN, EBADF, EINTR, EINVAL, EIO, ENODATA, ENOENT, ENOSYS, ENOTTY, ENXIO, EROFS, ERANGE } = constants.errno;

function initPayload(length: 16 | 64, { major = 7, minor = 45, flags = 0x73fffffb } = {}): Buffer {
  const payload = Buffer.alloc(length);
  payload.writeUInt32LE(major, 0);
  payload.writeUInt32LE(minor, 4);
  payload.writeUInt32LE(131072, 8);
  payload.writeUInt32LE(flags, 12);
  return payload;
}

function started({ posixAcl = false, fileSystem = new MemoryFileSystem() } = {}) {
  const transport = new FakeTransport();
  const logged: string[] = [];
  const connection = new Connection(fileSystem, transport, { posixAcl, log: (line) => logged.push(line) });
  connection.start();
  transport.request(opcode.INIT, initPayload(64));
  transport.replies.length = 0;
  return { transport, connection, fileSystem, logged };
}

const integers = (...values: [bits: 32 | 64, value: number][]): Buffer => {
  const parts = values.map(([bits, value]) => {
    const part = Buffer.alloc(bits / 8);
    if (bits === 32) part.writeUInt32LE(value);
    else part.writeBigUInt64LE(BigInt(value));
    return part;
  });
  return Buffer.concat(parts);
};
const text = (name: string): Buffer => Buffer.from(`${name}\0`);
const openPayload = integers([32, 0], [32, 0]);
const readPayload = (handle: number, offset: number, size: number): Buffer =>
  integers([64, handle], [64, offset], [32, size], [32, 0], [64, 0], [32, 0], [32, 0]);

function openFile(transport: FakeTransport, ino: number): number {
  return Number(transport.replyTo(transport.request(opcode.OPEN, openPayload, ino)).payload.readBigUInt64LE(0));
}

/** Promises settle in their own turn; so does what waits for them. */
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('handshake', () => {
  test.each([16, 64] as const)('of %d bytes', async (length) => {
    const transport = new FakeTransport();
    const connection = new Connection(new MemoryFileSystem(), transport, { posixAcl: false, log: () => expect.unreachable() });
    connection.start();
    const { error, payload } = transport.replyTo(
      transport.request(opcode.INIT, initPayload(length, { minor: length === 16 ? 35 : 60 })),
    );
    await connection.ready;
    expect(error).toBe(0);
    expect(payload.length).toBe(64);
    expect([payload.readUInt32LE(0), payload.readUInt32LE(4)]).toEqual([7, length === 16 ? 35 : 45]);
    const flags = payload.readUInt32LE(12);
    for (const [bit, wanted] of [
      [0, true],
      [5, true],
      [13, true],
      [14, false],
      [16, false],
      [18, true],
      [20, false],
      [21, true],
      [22, true],
      [23, true],
      [25, true],
      [30, true],
    ] as const) {
      expect((flags & (1 << bit)) !== 0, `bit ${bit}`).toBe(wanted);
    }
    expect([
      payload.readUInt16LE(16),
      payload.readUInt16LE(18),
      payload.readUInt32LE(20),
      payload.readUInt32LE(24),
      payload.readUInt16LE(28),
    ]).toEqual([64, 48, 61440, 1, 256]);
    expect(payload.subarray(32).equals(Buffer.alloc(32))).toBe(true);
  });

  test('only what the kernel offered, and ACLs when it checks permissions', () => {
    for (const [flags, posixAcl, expected] of [
      [0, true, 0],
      [1 << 20, true, 1 << 20],
      [1 << 20, false, 0],
    ] as const) {
      const transport = new FakeTransport();
      new Connection(new MemoryFileSystem(), transport, { posixAcl, log: () => undefined }).start();
      const { payload } = transport.replyTo(transport.request(opcode.INIT, initPayload(64, { flags })));
      expect(payload.readUInt32LE(12)).toBe(expected);
    }
  });

  test('a newer major is answered with ours, and the kernel asks again', async () => {
    const transport = new FakeTransport();
    const connection = new Connection(new MemoryFileSystem(), transport, { posixAcl: false, log: () => undefined });
    let ready = false;
    void connection.ready.then(() => (ready = true));
    connection.start();
    const { error, payload } = transport.replyTo(transport.request(opcode.INIT, initPayload(64, { major: 8, minor: 1 })));
    await settled();
    expect([error, payload.readUInt32LE(0), ready]).toEqual([0, 7, false]);
    transport.request(opcode.INIT, initPayload(64));
    await connection.ready;
  });

  test.each([
    [7, 30],
    [6, 50],
  ])('%d.%d is refused', async (major, minor) => {
    const transport = new FakeTransport();
    const connection = new Connection(new MemoryFileSystem(), transport, { posixAcl: false, log: () => undefined });
    connection.start();
    expect(transport.replyTo(transport.request(opcode.INIT, initPayload(64, { major, minor }))).error).toBeLessThan(0);
    await expect(connection.ready).rejects.toMatchObject({
      code: 'NO_FUSE',
      message: expect.stringContaining(`${major}.${minor}`) as string,
    });
  });
});

describe('requests', () => {
  test('sizes of fixed replies', () => {
    const { transport, fileSystem } = started();
    const file = fileSystem.file(1, 'file', 'content');
    const size = (number: number, payload?: Buffer, node?: number): number =>
      transport.replyTo(transport.request(number, payload, node)).payload.length;
    expect(size(opcode.LOOKUP, text('file'))).toBe(128);
    expect(size(opcode.GETATTR, Buffer.alloc(16), file)).toBe(104);
    expect(size(opcode.OPEN, openPayload, file)).toBe(16);
    expect(size(opcode.OPENDIR, openPayload)).toBe(16);
    expect(size(opcode.STATFS)).toBe(80);
    expect(size(opcode.LSEEK, integers([64, 1], [64, 0], [32, 3], [32, 0]), file)).toBe(8);
    expect(size(opcode.LISTXATTR, integers([32, 0], [32, 0]), file)).toBe(8);
    expect(size(opcode.RELEASE, Buffer.alloc(24))).toBe(0);
    expect(size(opcode.READ, readPayload(1, 2, 100), file)).toBe(5);
    expect(size(opcode.IOCTL, integers([64, 1], [32, 0], [32, 0x80086601], [64, 0], [32, 0], [32, 4]), file)).toBe(20);
    expect(size(opcode.IOCTL, integers([64, 1], [32, 0], [32, 0x801c581f], [64, 0], [32, 0], [32, 28]), file)).toBe(44);
  });

  test('what there is not', () => {
    const { transport, fileSystem } = started();
    const file = fileSystem.file(1, 'file', 'content', { xattrs: { 'user.x': Buffer.from('12345') } });
    const handle = openFile(transport, file);
    const error = (number: number, payload?: Buffer, node?: number): number =>
      -transport.replyTo(transport.request(number, payload, node)).error;
    expect(error(opcode.LOOKUP, text('absent'))).toBe(ENOENT);
    expect(error(opcode.LOOKUP, Buffer.from('no end'))).toBe(EINVAL);
    expect(error(opcode.LOOKUP, Buffer.from('\0\0'))).toBe(EINVAL);
    expect(error(opcode.GETATTR, Buffer.alloc(16), 4711)).toBe(ENOENT);
    expect(error(opcode.GETATTR, Buffer.alloc(15), file)).toBe(EINVAL);
    expect(error(opcode.OPEN, integers([32, 1], [32, 0]), file)).toBe(EROFS);
    expect(error(opcode.READ, readPayload(99, 0, 10), file)).toBe(EBADF);
    expect(error(opcode.READDIR, readPayload(99, 0, 4096))).toBe(EBADF);
    expect(error(opcode.LSEEK, integers([64, handle], [64, 7], [32, 3], [32, 0]), file)).toBe(ENXIO);
    expect(error(opcode.LSEEK, integers([64, handle], [64, 0], [32, 2], [32, 0]), file)).toBe(EINVAL);
    expect(error(opcode.GETXATTR, Buffer.concat([integers([32, 0], [32, 0]), text('user.y')]), file)).toBe(ENODATA);
    expect(error(opcode.GETXATTR, Buffer.concat([integers([32, 4], [32, 0]), text('user.x')]), file)).toBe(ERANGE);
    expect(error(opcode.LISTXATTR, integers([32, 3], [32, 0]), file)).toBe(ERANGE);
    expect(error(opcode.IOCTL, integers([64, 1], [32, 0], [32, 0x5401], [64, 0], [32, 0], [32, 4]), file)).toBe(ENOTTY);
    expect(error(opcode.IOCTL, integers([64, 1], [32, 0], [32, 0x801c581f], [64, 0], [32, 0], [32, 4]), file)).toBe(ENOTTY);
  });

  test('offsets that no number holds are beyond the end', () => {
    const { transport, fileSystem } = started();
    const file = fileSystem.file(1, 'file', 'content');
    const handle = openFile(transport, file);
    const huge = readPayload(handle, 0, 10);
    huge.writeBigUInt64LE(2n ** 63n - 1n, 8);
    expect(transport.replyTo(transport.request(opcode.READ, huge, file))).toMatchObject({ error: 0, payload: Buffer.alloc(0) });
  });

  test.each([
    'SETATTR',
    'SYMLINK',
    'MKNOD',
    'MKDIR',
    'UNLINK',
    'RMDIR',
    'RENAME',
    'RENAME2',
    'LINK',
    'WRITE',
    'SETXATTR',
    'REMOVEXATTR',
    'CREATE',
    'TMPFILE',
    'FALLOCATE',
    'COPY_FILE_RANGE',
    'COPY_FILE_RANGE_64',
  ] as const)('%s is EROFS', (name) => {
    const { transport } = started();
    expect(transport.replyTo(transport.request(opcode[name], Buffer.alloc(64))).error).toBe(-EROFS);
  });

  test.each([
    ['FLUSH', 25],
    ['FSYNC', 20],
    ['FSYNCDIR', 30],
    ['ACCESS', 34],
    ['STATX', 52],
    ['POLL', 40],
    ['BMAP', 37],
    ['SYNCFS', 50],
    ['unknown', 63],
    ['unknown', 4096],
  ])('%s (%d) is ENOSYS', (_, number) => {
    const { transport, logged } = started();
    expect(transport.replyTo(transport.request(number, Buffer.alloc(64))).error).toBe(-ENOSYS);
    expect(logged).toEqual([]);
  });

  test('FORGET and BATCH_FORGET have no reply, DESTROY has', () => {
    const { transport } = started();
    transport.request(opcode.FORGET, integers([64, 1]));
    transport.request(opcode.BATCH_FORGET, integers([32, 1], [32, 0], [64, 2], [64, 1]));
    expect(transport.replies).toEqual([]);
    expect(transport.replyTo(transport.request(opcode.DESTROY)).error).toBe(0);
  });

  test('what is no request is logged once and answered not at all', () => {
    const { transport, logged } = started();
    for (let i = 0; i < 3; i += 1) transport.rawBytes(Buffer.alloc(20, 1));
    transport.rawBytes(Buffer.alloc(60, 1));
    expect(transport.replies).toEqual([]);
    expect(logged).toHaveLength(2);
  });

  test('any bytes get at most one answer, and nothing is thrown', () => {
    const { transport, fileSystem } = started();
    fileSystem.file(1, 'file', 'content');
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 60 }),
        fc.uint8Array({ maxLength: 200 }),
        fc.integer({ min: 0, max: 4 }),
        (number, bytes, node) => {
          transport.replies.length = 0;
          transport.raw(number, Buffer.from(bytes), { unique: 1_000_000n, node });
          expect(transport.replies.length).toBeLessThanOrEqual(1);
        },
      ),
      { seed: Date.now() & 0x7fffffff, numRuns: 2000 },
    );
  });

  test('a root that is not 1 changes numbers with the one that is', () => {
    const fileSystem = new MemoryFileSystem({ root: 50 });
    const { transport } = started({ fileSystem });
    fileSystem.file(50, 'one', '', { ino: 1 });
    const attributes = transport.replyTo(transport.request(opcode.GETATTR, Buffer.alloc(16), 1)).payload;
    expect(Number(attributes.readBigUInt64LE(16))).toBe(50);
    const entry = transport.replyTo(transport.request(opcode.LOOKUP, text('one'), 1)).payload;
    expect([Number(entry.readBigUInt64LE(0)), Number(entry.readBigUInt64LE(40))]).toEqual([50, 1]);
    expect(Number(transport.replyTo(transport.request(opcode.GETATTR, Buffer.alloc(16), 50)).payload.readBigUInt64LE(16))).toBe(
      1,
    );
  });
});

describe('promises', () => {
  function slow() {
    const made = started();
    const { fileSystem } = made;
    const ino = fileSystem.file(1, 'file', 'content');
    const waiting: { resolve: () => void; reject: (error: unknown) => void }[] = [];
    fileSystem.before = () => new Promise<void>((resolve, reject) => waiting.push({ resolve, reject }));
    return { ...made, ino, waiting };
  }

  test('are answered when they settle, in any order', async () => {
    const { transport, waiting, ino } = slow();
    const first = transport.request(opcode.GETATTR, Buffer.alloc(16), ino);
    const second = transport.request(opcode.LOOKUP, text('file'));
    waiting[1]?.resolve();
    await settled();
    expect(transport.replies.map(({ unique }) => unique)).toEqual([second]);
    waiting[0]?.resolve();
    await settled();
    expect(transport.replyTo(first).payload.length).toBe(104);
  });

  test('that are rejected give the errno of what they were rejected with', async () => {
    const { transport, waiting, ino, logged } = slow();
    const errors = [
      [new StoreError('CHUNK_CORRUPT', 'x'), EIO],
      [new StoreError('NO_PERMISSION', 'x'), constants.errno.EACCES],
      [new FileError('NO_SUCH_ADDRESS', 'x'), ENXIO],
      [Object.assign(new Error('x'), { code: 'ENOSPC', errno: -constants.errno.ENOSPC }), constants.errno.ENOSPC],
      [new TypeError('a fault'), EIO],
      ['no error at all', EIO],
    ] as const;
    for (const [error, errno] of errors) {
      const unique = transport.request(opcode.GETATTR, Buffer.alloc(16), ino);
      waiting.pop()?.reject(error);
      await settled();
      expect(transport.replyTo(unique).error).toBe(-errno);
    }
    expect(logged).toHaveLength(2);
    expect(logged[0]).toMatch(/getattr failed unexpectedly: TypeError: a fault\n +at /);
  });

  test('what is thrown at once is answered too, and logged once', () => {
    const { transport, fileSystem, logged } = started();
    const fault = new TypeError('a fault');
    fileSystem.before = () => {
      throw fault;
    };
    for (let i = 0; i < 3; i += 1) expect(transport.replyTo(transport.request(opcode.STATFS)).error).toBe(-EIO);
    expect(logged).toHaveLength(1);
  });

  test('a reply is sent in the turn in which the pieces are there', async () => {
    const { transport, waiting, ino, fileSystem } = slow();
    fileSystem.before = () => undefined;
    const handle = openFile(transport, ino);
    const shared = Buffer.from('first');
    const file = {
      ...(fileSystem.open(ino) as OpenFile),
      read: () =>
        new Promise((resolve) =>
          setTimeout(() => {
            resolve([shared]);
            setImmediate(() => shared.fill('x'));
          }, 1),
        ),
    };
    fileSystem.open = () => file as unknown as OpenFile;
    const other = openFile(transport, ino);
    expect(other).not.toBe(handle);
    const unique = transport.request(opcode.READ, readPayload(other, 0, 5), ino);
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(transport.replyTo(unique).payload.toString()).toBe('first');
    expect(waiting).toEqual([]);
  });

  test('INTERRUPT answers the target with EINTR, and the result is dropped', async () => {
    const { transport, waiting, ino } = slow();
    const target = transport.request(opcode.GETATTR, Buffer.alloc(16), ino);
    transport.request(opcode.INTERRUPT, integers([64, Number(target)]));
    expect(transport.replies).toHaveLength(1);
    expect(transport.replyTo(target).error).toBe(-EINTR);
    waiting[0]?.resolve();
    await settled();
    expect(transport.replies).toHaveLength(1);
  });

  test('INTERRUPT of what is answered, or not read yet, asks for another one', async () => {
    const { transport, waiting, ino } = slow();
    const target = transport.request(opcode.GETATTR, Buffer.alloc(16), ino);
    waiting[0]?.resolve();
    await settled();
    expect(transport.replyTo(target).error).toBe(0);
    const interrupt = transport.request(opcode.INTERRUPT, integers([64, Number(target)]));
    expect(transport.replyTo(interrupt).error).toBe(-EAGAIN);
    transport.request(opcode.INTERRUPT, Buffer.alloc(4));
    expect(transport.replies).toHaveLength(2);
  });

  test('an OPEN or OPENDIR that was interrupted is closed when it is there', async () => {
    const { transport, waiting, ino, fileSystem } = slow();
    for (const number of [opcode.OPEN, opcode.OPENDIR]) {
      const target = transport.request(number, openPayload, number === opcode.OPEN ? ino : 1);
      transport.request(opcode.INTERRUPT, integers([64, Number(target)]));
      waiting.pop()?.resolve();
      await settled();
    }
    expect([fileSystem.openFiles, fileSystem.openDirectories]).toEqual([0, 0]);
  });

  test.each(['ENOENT', 'ENODEV', 'EINVAL'])('an OPEN whose reply meets %s is closed', (code) => {
    const { transport, fileSystem, logged } = started();
    const ino = fileSystem.file(1, 'file', '');
    transport.refuse = code;
    transport.request(opcode.OPEN, openPayload, ino);
    expect(transport.replies).toEqual([]);
    expect(fileSystem.openFiles).toBe(0);
    expect(logged.length).toBe(code === 'EINVAL' ? 1 : 0);
  });

  test('what settles after the end is dropped, and what is open is closed', async () => {
    const { transport, waiting, ino, fileSystem, connection } = slow();
    transport.request(opcode.OPEN, openPayload, ino);
    waiting[0]?.resolve();
    await settled();
    expect(fileSystem.openFiles).toBe(1);
    transport.request(opcode.OPEN, openPayload, ino);
    transport.request(opcode.GETATTR, Buffer.alloc(16), ino);
    transport.end('ENODEV');
    await connection.ended;
    for (const { resolve } of waiting) resolve();
    await settled();
    expect(fileSystem.openFiles).toBe(0);
    expect(transport.replies).toHaveLength(1);
  });
});

describe('the end', () => {
  test('ENODEV is an unmount, all else is broken', async () => {
    const unmounted = started();
    unmounted.transport.end('ENODEV');
    await unmounted.connection.ended;
    for (const code of ['ECONNABORTED', 'EIO', 'EINVAL']) {
      const { transport, connection } = started();
      transport.end(code);
      await expect(connection.ended).rejects.toMatchObject({
        code: 'MOUNT_FAILED',
        message: expect.stringContaining(code) as string,
      });
    }
  });

  test('before the handshake', async () => {
    const transport = new FakeTransport();
    const connection = new Connection(new MemoryFileSystem(), transport, { posixAcl: false, log: () => undefined });
    connection.start();
    transport.end('EPERM');
    await expect(connection.ready).rejects.toMatchObject({ code: 'MOUNT_FAILED' });
  });

  test('a close that throws harms nobody', async () => {
    const { transport, connection, fileSystem } = started();
    const ino = fileSystem.file(1, 'file', '');
    const file = fileSystem.open(ino) as OpenFile;
    fileSystem.open = () => ({
      ...file,
      close: () => {
        throw new TypeError('a fault');
      },
    });
    const handle = openFile(transport, ino);
    expect(
      transport.replyTo(transport.request(opcode.RELEASE, Buffer.concat([integers([64, handle]), Buffer.alloc(16)]), ino)).error,
    ).toBe(-EIO);
    openFile(transport, ino);
    transport.end('ENODEV');
    await connection.ended;
  });
});

describe('reading', () => {
  test('more than 1023 pieces, and more bytes than asked for', () => {
    const { transport, fileSystem } = started();
    const ino = fileSystem.file(1, 'file', patternContent(5000));
    const file = fileSystem.open(ino) as OpenFile;
    const expected = Buffer.concat([...(file.read(0, 5000) as Uint8Array[])]);
    fileSystem.open = () => ({ ...file, read: () => Array.from({ length: 5000 }, (_, i) => expected.subarray(i, i + 1)) });
    const handle = openFile(transport, ino);
    expect(transport.replyTo(transport.request(opcode.READ, readPayload(handle, 0, 5000), ino)).payload.equals(expected)).toBe(
      true,
    );
    expect(transport.replyTo(transport.request(opcode.READ, readPayload(handle, 0, 4999), ino)).error).toBe(-EIO);
  });

  test('caching of files and directories', () => {
    const { transport, fileSystem } = started();
    const flags = (number: number, ino: number): number =>
      transport.replyTo(transport.request(number, openPayload, ino)).payload.readUInt32LE(8);
    expect(
      (['immutable', 'changing', 'unsized'] as const).map((caching) =>
        flags(opcode.OPEN, fileSystem.file(1, caching, '', { caching })),
      ),
    ).toEqual([2, 0, 1]);
    expect(
      (['immutable', 'changing'] as const).map((caching) =>
        flags(opcode.OPENDIR, fileSystem.directory(1, `d-${caching}`, { caching })),
      ),
    ).toEqual([10, 0]);
  });
});

interface Listed {
  readonly name: string;
  readonly ino: number;
  readonly type: number;
  readonly cookie: number;
  readonly node: number;
}

function parseListing(payload: Buffer, plus: boolean): Listed[] {
  const listed: Listed[] = [];
  for (let at = 0; at < payload.length;) {
    const node = plus ? Number(payload.readBigUInt64LE(at)) : 0;
    if (plus) at += 128;
    const length = payload.readUInt32LE(at + 16);
    listed.push({
      ino: Number(payload.readBigUInt64LE(at)),
      cookie: Number(payload.readBigUInt64LE(at + 8)),
      type: payload.readUInt32LE(at + 20),
      name: payload.toString('latin1', at + 24, at + 24 + length),
      node,
    });
    at += (24 + length + 7) & ~7;
  }
  return listed;
}

describe.each([
  ['READDIR', false],
  ['READDIRPLUS', true],
] as const)('%s', (name, plus) => {
  test('every entry once, with any size of reply, going on from any entry', () => {
    const { transport, fileSystem } = started();
    const directory = fileSystem.directory(1, 'directory');
    const names = Array.from({ length: 500 }, (_, i) => `${i}`.padEnd((i * 7) % 256 || 1, 'x').slice(0, 255));
    for (const [i, entry] of names.entries()) fileSystem.file(directory, `${i}-${entry}`.slice(0, 255), '');
    const handle = Number(
      transport.replyTo(transport.request(opcode.OPENDIR, openPayload, directory)).payload.readBigUInt64LE(0),
    );
    const read = (cookie: number, size: number): Listed[] => {
      const { error, payload } = transport.replyTo(transport.request(opcode[name], readPayload(handle, cookie, size), directory));
      expect(error).toBe(0);
      expect(payload.length).toBeLessThanOrEqual(size);
      return parseListing(payload, plus);
    };
    for (const size of [4096, 4097, 32768, 1 << 20, 2 ** 32 - 1]) {
      const all: Listed[] = [];
      for (let some = read(0, size); some.length > 0; some = read(some.at(-1)?.cookie ?? 0, size)) all.push(...some);
      expect(all.map((entry) => entry.name)).toEqual(['.', '..', ...names.map((entry, i) => `${i}-${entry}`.slice(0, 255))]);
      expect(new Set(all.map(({ cookie }) => cookie)).size).toBe(all.length);
      expect(all.every(({ cookie }) => cookie > 0)).toBe(true);
      expect(all.slice(0, 2).map(({ ino, type, node }) => [ino, type, node])).toEqual([
        [directory, 4, 0],
        [directory, 4, 0],
      ]);
      expect(all.slice(2).every(({ ino, node, type }) => type === 8 && node === (plus ? ino : 0))).toBe(true);
      const middle = all[250];
      expect(read(middle?.cookie ?? 0, 4096)[0]).toEqual(all[251]);
    }
    expect(transport.replyTo(transport.request(opcode[name], readPayload(handle, 0, 20), directory)).error).toBe(-EINVAL);
    expect(read(1_000_000, 4096)).toEqual([]);
  });

  test('an empty directory, and entries without attributes', () => {
    const { transport, fileSystem } = started();
    const empty = fileSystem.directory(1, 'empty');
    fileSystem.plus = false;
    const list = (ino: number): Listed[] => {
      const handle = Number(transport.replyTo(transport.request(opcode.OPENDIR, openPayload, ino)).payload.readBigUInt64LE(0));
      return parseListing(transport.replyTo(transport.request(opcode[name], readPayload(handle, 0, 4096), ino)).payload, plus);
    };
    expect(list(empty).map((entry) => entry.name)).toEqual(['.', '..']);
    expect(list(1).at(-1)).toEqual({ name: 'empty', ino: empty, type: directoryType >> 12, cookie: 3, node: 0 });
  });

  test('a directory of 100,000 entries: few turns', () => {
    const { transport, fileSystem } = started();
    for (let i = 0; i < 100_000; i += 1) fileSystem.file(1, `file-${i}`, '');
    const handle = Number(transport.replyTo(transport.request(opcode.OPENDIR, openPayload)).payload.readBigUInt64LE(0));
    let listed = 0;
    let cookie = 0;
    let turns = 0;
    for (;;) {
      const { payload } = transport.replyTo(transport.request(opcode[name], readPayload(handle, cookie, 32768)));
      transport.replies.length = 0;
      if (payload.length === 0) break;
      const some = parseListing(payload, plus);
      listed += some.length;
      cookie = some.at(-1)?.cookie ?? 0;
      turns += 1;
    }
    expect(listed).toBe(100_002);
    expect(turns).toBeLessThan(plus ? 600 : 130);
  });
});

describe('notifications', () => {
  test('are sent later, one after the other, with the numbers of the kernel', async () => {
    const { transport, connection } = started({ fileSystem: new MemoryFileSystem({ root: 9 }) });
    connection.invalidateEntry(9, Buffer.from('name'));
    connection.invalidateInode(77);
    expect(transport.notifications).toEqual([]);
    await settled();
    await settled();
    expect(transport.notifications.map(({ unique, error }) => [unique, error])).toEqual([
      [0n, 3],
      [0n, 2],
    ]);
    const [entry, inode] = transport.notifications.map(({ payload }) => payload);
    expect(entry).toEqual(Buffer.concat([integers([64, 1], [32, 4], [32, 0]), text('name')]));
    expect(inode).toEqual(integers([64, 77], [64, 0], [64, 0]));
  });

  test('errors are ignored, and nothing is sent after the end', async () => {
    const { transport, connection } = started();
    transport.refuse = 'ENOENT';
    connection.invalidateInode(1);
    connection.invalidateInode(2);
    await settled();
    await settled();
    expect(transport.notifications).toHaveLength(1);
    connection.invalidateInode(3);
    transport.end('ENODEV');
    connection.invalidateInode(4);
    await settled();
    await settled();
    expect(transport.notifications).toHaveLength(1);
  });
});
