/** Requests that change something, without a kernel: what a file system is asked for, what is answered, and what is counted. */
import fc from 'fast-check';
import { constants } from 'node:os';
import { describe, expect, test } from 'vitest';
import { FileError } from '../../src/errors.js';
import { Connection } from '../../src/fuse/connection.js';
import { opcode } from '../../src/fuse/wire/opcode.js';
import { FakeTransport } from '../support/fake-transport.js';
import { RecordingFileSystem, someEntry } from '../support/recording-file-system.js';

const { EBADF, EFBIG, EINTR, EINVAL, ENAMETOOLONG, ENOENT, ENOSPC, ENOTTY, EOPNOTSUPP, EROFS } = constants.errno;
const allFlags = 0x73fffffb;
const setxattrExtended = 1 << 29;
const directory = 7;
const file = 8;
const caller = { uid: 1000, gid: 1001, pid: 4321 };

function init(flags: number): Buffer {
  const payload = Buffer.alloc(64);
  [7, 45, 131072, flags].forEach((value, i) => payload.writeUInt32LE(value, i * 4));
  return payload;
}

function started({ flags = allFlags } = {}) {
  const transport = new FakeTransport();
  const fileSystem = new RecordingFileSystem();
  const logged: string[] = [];
  const connection = new Connection(fileSystem, transport, { posixAcl: true, log: (line) => logged.push(line) });
  connection.start();
  const reply = transport.replyTo(transport.request(opcode.INIT, init(flags))).payload;
  transport.replies.length = 0;
  transport.caller = caller;
  return { transport, connection, fileSystem, logged, reply };
}

/** Numbers of 32 bits, or of 64 as bigint, and texts that end with NUL. */
function payload(...values: (number | bigint | string | Buffer)[]): Buffer {
  return Buffer.concat(
    values.map((value) => {
      if (typeof value === 'string') return Buffer.from(`${value}\0`);
      if (Buffer.isBuffer(value)) return value;
      const bytes = Buffer.alloc(typeof value === 'bigint' ? 8 : 4);
      if (typeof value === 'bigint') bytes.writeBigUInt64LE(value);
      else bytes.writeUInt32LE(value >>> 0);
      return bytes;
    }),
  );
}

const openFlags = { create: 0o100, exclusive: 0o200, truncate: 0o1000, write: 1 };
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

type Started = ReturnType<typeof started>;

function ask({ transport }: Started, number: number, bytes: Buffer, node = directory) {
  return transport.replyTo(transport.request(number, bytes, node));
}

function openedFile(made: Started): bigint {
  made.fileSystem.results.push(made.fileSystem.opened);
  const handle = ask(made, opcode.OPEN, payload(openFlags.write, 0), file).payload.readBigUInt64LE(0);
  made.fileSystem.asked.length = 0;
  return handle;
}

describe('handshake', () => {
  test('writes of 1 MiB, and what a writable file system wants beyond', () => {
    const { reply } = started();
    expect(reply.readUInt32LE(20)).toBe(1024 * 1024);
    const flags = reply.readUInt32LE(12);
    for (const [bit, wanted] of [
      [1, false],
      [3, true],
      [6, true],
      [10, false],
      [16, false],
      [18, true],
      [20, true],
      [28, true],
      [29, true],
    ] as const) {
      expect((flags & (1 << bit)) !== 0, `bit ${bit}`).toBe(wanted);
    }
  });

  test('nothing is written before it', () => {
    const transport = new FakeTransport();
    new Connection(new RecordingFileSystem(), transport, { posixAcl: true, log: () => undefined }).start();
    expect(transport.replyTo(transport.request(opcode.UNLINK, payload('x'))).error).toBe(-EROFS);
  });
});

describe('what is asked for', () => {
  const node = { mode: 0o2750, umask: 0o027, caller };
  const entry = someEntry(99);
  const cases: [string, number, Buffer, unknown[], resultBytes: number][] = [
    ['mkdir', opcode.MKDIR, payload(0o42750, 0o027, 'd'), ['makeDirectory', directory, Buffer.from('d'), node], 128],
    [
      'mknod',
      opcode.MKNOD,
      payload(0o022750, 286338160, 0o027, 0, 'c'),
      ['makeSpecialFile', directory, Buffer.from('c'), { ...node, type: 0o020000, rdevMajor: 300, rdevMinor: 70000 }],
      128,
    ],
    [
      'symlink',
      opcode.SYMLINK,
      payload('l', Buffer.from([0x2f, 0xff, 0])),
      ['makeSymbolicLink', directory, Buffer.from('l'), Buffer.from([0x2f, 0xff]), caller],
      128,
    ],
    ['link', opcode.LINK, payload(9n, 'l'), ['link', 9, directory, Buffer.from('l')], 128],
    ['unlink', opcode.UNLINK, payload(Buffer.from([0xff, 0])), ['unlink', directory, Buffer.from([0xff])], 0],
    ['rmdir', opcode.RMDIR, payload('d'), ['removeDirectory', directory, Buffer.from('d')], 0],
    ...(
      [
        ['rename', opcode.RENAME, [], 'replace'],
        ['rename2', opcode.RENAME2, [0, 0], 'replace'],
        ['rename2 no replace', opcode.RENAME2, [1, 0], 'keep'],
        ['rename2 exchange', opcode.RENAME2, [2, 0], 'exchange'],
      ] as const
    ).map(([title, number, flags, mode]): [string, number, Buffer, unknown[], number] => [
      title,
      number,
      payload(1n, ...flags, 'from', 'to'),
      ['rename', { parent: directory, name: Buffer.from('from') }, { parent: 1, name: Buffer.from('to') }, mode],
      0,
    ]),
    [
      'setxattr',
      opcode.SETXATTR,
      payload(3, 2, 1, 0, 'user.x', Buffer.from('a\0b')),
      ['setxattr', directory, { name: Buffer.from('user.x'), value: Buffer.from('a\0b'), mode: 'replace', killSetGroupId: true }],
      0,
    ],
    ['removexattr', opcode.REMOVEXATTR, payload('user.x'), ['removexattr', directory, Buffer.from('user.x')], 0],
    ['fsync', opcode.FSYNC, payload(0n, 1, 0), ['sync', directory, { dataOnly: true }], 0],
    ['fsyncdir', opcode.FSYNCDIR, payload(0n, 0, 0), ['sync', directory, { dataOnly: false }], 0],
  ];

  test.each(cases)('%s', (_, number, bytes, asked, resultBytes) => {
    const made = started();
    made.fileSystem.results.push(resultBytes === 0 ? undefined : entry);
    const reply = ask(made, number, bytes);
    expect(made.fileSystem.asked).toEqual([asked]);
    expect([reply.error, reply.payload.length]).toEqual([0, resultBytes]);
    if (resultBytes > 0) expect(reply.payload.readBigUInt64LE(0)).toBe(99n);
  });

  test('setxattr with the short header where the kernel does not offer the long one', () => {
    const made = started({ flags: allFlags & ~setxattrExtended });
    ask(made, opcode.SETXATTR, payload(1, 1, 'user.x', Buffer.from('v')));
    const xattr = { name: Buffer.from('user.x'), value: Buffer.from('v'), mode: 'create', killSetGroupId: false };
    expect(made.fileSystem.asked).toEqual([['setxattr', directory, xattr]]);
  });

  test.each([
    [
      'a new file',
      openFlags.create | openFlags.exclusive | openFlags.write,
      0,
      { exclusive: true, truncate: false, killPrivileges: false },
    ],
    ['what is emptied', openFlags.truncate | openFlags.write, 1, { exclusive: false, truncate: true, killPrivileges: true }],
  ])('create of %s', (_, flags, openFlag, expected) => {
    const made = started();
    made.fileSystem.results.push({ entry: someEntry(99), file: made.fileSystem.opened });
    const { payload: reply } = ask(made, opcode.CREATE, payload(flags, 0o100640, 0o022, openFlag, 'f'));
    expect(made.fileSystem.asked).toEqual([
      ['create', directory, Buffer.from('f'), { mode: 0o640, umask: 0o022, caller, ...expected }],
    ]);
    expect(reply.length).toBe(144);
    expect([reply.readBigUInt64LE(0), reply.readBigUInt64LE(128), reply.readUInt32LE(136)]).toEqual([99n, 1n, 2]);
  });

  test('a file without a name', () => {
    const made = started();
    made.fileSystem.results.push({ entry: someEntry(99, { nlink: 0 }), file: made.fileSystem.opened });
    const { payload: reply } = ask(made, opcode.TMPFILE, payload(2, 0o100600, 0o022, 0, '/'));
    expect(made.fileSystem.asked).toEqual([['createUnnamed', directory, { mode: 0o600, umask: 0o022, caller }]]);
    expect(reply.length).toBe(144);
  });

  test('open: only what is to be written is opened for writing', () => {
    const made = started();
    const ino = made.fileSystem.readable();
    const reading = ask(made, opcode.OPEN, payload(0, 0), ino);
    expect([made.fileSystem.asked, reading.error, reading.payload.readUInt32LE(8)]).toEqual([[], 0, 2 | 32]);
    for (const flags of [1, 2, openFlags.truncate]) {
      made.fileSystem.results.push(made.fileSystem.opened);
      expect(ask(made, opcode.OPEN, payload(flags, 1), ino).payload.readUInt32LE(8)).toBe(2);
    }
    const options = (truncate: boolean) => ['open', ino, { truncate, killPrivileges: true }];
    expect(made.fileSystem.asked).toEqual([options(false), options(false), options(true)]);
  });

  test.each([
    ['nothing', 0, {}],
    [
      'everything',
      0x43f,
      {
        mode: 0o4755,
        uid: 5,
        gid: 6,
        size: 2 ** 40,
        atime: { sec: -2, nsec: 3 },
        mtime: { sec: 4, nsec: 5 },
        ctime: { sec: 2 ** 34, nsec: 7 },
      },
    ],
    ['times that are now', 0x1b0, { atime: 'now', mtime: 'now' }],
    ['a size without privileges', 0x808, { size: 2 ** 40, killPrivileges: true }],
  ])('setattr: %s', (_, valid, changes) => {
    const made = started();
    made.fileSystem.results.push(someEntry(file));
    const times = [-2n & 0xffffffffffffffffn, 4n, 2n ** 34n, 3, 5, 7];
    const bytes = payload(valid, 0, 77n, 2n ** 40n, 0n, ...times, 0o104755, 0, 5, 6, 0);
    expect(bytes.length).toBe(88);
    expect(ask(made, opcode.SETATTR, bytes, file).payload.length).toBe(104);
    expect(made.fileSystem.asked).toEqual([['setAttributes', file, { killPrivileges: false, ...changes }, undefined]]);
  });

  test('setattr of an open file', () => {
    const made = started();
    const handle = openedFile(made);
    made.fileSystem.results.push(someEntry(file));
    ask(made, opcode.SETATTR, payload(0x48, 0, handle, 5n, Buffer.alloc(64)), file);
    expect(made.fileSystem.asked).toEqual([['setAttributes', file, { size: 5, killPrivileges: false }, 'the file']]);
  });

  test('write, with the bytes where they were read', () => {
    const made = started();
    const handle = openedFile(made);
    made.fileSystem.results.push(4);
    const data = Buffer.from('data');
    const reply = ask(made, opcode.WRITE, payload(handle, 2n ** 40n, 4, 4, 0n, 0, 0, data), file);
    expect(made.fileSystem.asked).toEqual([['write', 2 ** 40, data, { killPrivileges: true }]]);
    expect(reply.payload).toEqual(payload(4, 0));
    expect(made.fileSystem.lastData?.buffer).toBe(made.transport.buffer.buffer);
  });

  test('flush, and errors of it', () => {
    const made = started();
    const handle = openedFile(made);
    expect(ask(made, opcode.FLUSH, payload(handle, 0n, 0n), file).error).toBe(0);
    made.fileSystem.opened.flush = () => {
      throw new FileError('NO_SPACE', 'full');
    };
    expect(ask(made, opcode.FLUSH, payload(handle, 0n, 0n), file).error).toBe(-ENOSPC);
  });

  test.each([
    [0, { kind: 'reserve', keepSize: false }],
    [1, { kind: 'reserve', keepSize: true }],
    [3, { kind: 'punch', keepSize: true }],
    [16, { kind: 'zero', keepSize: false }],
    [17, { kind: 'zero', keepSize: true }],
  ])('fallocate %d', (mode, expected) => {
    const made = started();
    const handle = openedFile(made);
    expect(ask(made, opcode.FALLOCATE, payload(handle, 10n, 20n, mode, 0), file).error).toBe(0);
    expect(made.fileSystem.asked).toEqual([['allocate', { ...expected, offset: 10, length: 20 }, { killPrivileges: true }]]);
  });

  test.each([
    [opcode.COPY_FILE_RANGE, payload(5, 0)],
    [opcode.COPY_FILE_RANGE_64, payload(5n)],
  ])('copy_file_range %d', (number, expected) => {
    const made = started();
    const [source, target] = [openedFile(made), openedFile(made)];
    made.fileSystem.results.push(5);
    const reply = ask(made, number, payload(source, 1n, BigInt(file), target, 2n, 2n ** 40n, 0n), file);
    const range = {
      source: made.fileSystem.opened,
      sourceOffset: 1,
      target: made.fileSystem.opened,
      targetOffset: 2,
      length: 0x7ffff000,
    };
    expect(made.fileSystem.asked).toEqual([['copyRange', range, { killPrivileges: true }]]);
    expect(reply.payload).toEqual(expected);
  });

  test('flags of inodes', () => {
    const made = started();
    const ioctl = (command: number, data: Buffer) =>
      ask(made, opcode.IOCTL, payload(1n, 0, command, 0n, data.length, 0, data), file);
    expect(ioctl(0x40086602, payload(0x50)).payload).toEqual(Buffer.alloc(16));
    expect(ioctl(0x401c5820, payload(0x88, 0, 0, 77, 0, 0, 0)).error).toBe(0);
    expect(ioctl(0x401c5820, payload(0x2, 0, 0, 0, 0, 0, 0)).error).toBe(-EOPNOTSUPP);
    expect(ioctl(0x401c5820, payload(0, 4096, 0, 0, 0, 0, 0)).error).toBe(-EOPNOTSUPP);
    expect(ioctl(0x40047211, payload(1)).error).toBe(-ENOTTY);
    expect(ioctl(0x40086602, Buffer.alloc(0)).error).toBe(-ENOTTY);
    expect(made.fileSystem.asked).toEqual([
      ['setInodeFlags', file, { set: 0x50, clear: ~0x50 }],
      ['setInodeFlags', file, { set: 0x50, clear: 0x8 | 0x20 | 0x80 | 0x0200_0000 | 0x2000_0000, projectId: 77 }],
    ]);
  });
});

describe('what is refused', () => {
  const long = 'n'.repeat(256);
  const cases: [string, number, (handle: bigint) => Buffer, number][] = [
    ['a name that is too long', opcode.MKDIR, () => payload(0o755, 0, long), ENAMETOOLONG],
    ['a new name that is too long', opcode.RENAME, () => payload(1n, 'x', long), ENAMETOOLONG],
    ['a name that is missing', opcode.RENAME, () => payload(1n, 'from', Buffer.from('to')), EINVAL],
    ['a target that is too long', opcode.SYMLINK, () => payload('l', 't'.repeat(4096)), ENAMETOOLONG],
    ['flags of rename that are unknown', opcode.RENAME2, () => payload(1n, 4, 0, 'a', 'b'), EINVAL],
    ['a value that is shorter than said', opcode.SETXATTR, () => payload(9, 0, 0, 0, 'user.x', Buffer.from('v')), EINVAL],
    ['both create and replace', opcode.SETXATTR, () => payload(1, 3, 0, 0, 'user.x', Buffer.from('v')), EINVAL],
    ['data that is shorter than said', opcode.WRITE, (handle) => payload(handle, 0n, 5, 0, 0n, 0, 0, Buffer.from('x')), EINVAL],
    ['a write that is too far', opcode.WRITE, (handle) => payload(handle, 2n ** 53n, 1, 0, 0n, 0, 0, Buffer.from('x')), EFBIG],
    ['a size that is too large', opcode.SETATTR, () => payload(8, 0, 0n, 2n ** 53n, Buffer.alloc(64)), EFBIG],
    ['a collapsed range', opcode.FALLOCATE, (handle) => payload(handle, 0n, 4096n, 8, 0), EOPNOTSUPP],
    ['a hole that changes the size', opcode.FALLOCATE, (handle) => payload(handle, 0n, 4096n, 2, 0), EOPNOTSUPP],
    ['a handle that there is not: write', opcode.WRITE, () => payload(99n, 0n, 1, 0, 0n, 0, 0, Buffer.from('x')), EBADF],
    ['a handle that there is not: flush', opcode.FLUSH, () => payload(99n, 0n, 0n), EBADF],
    ['a handle that there is not: copy', opcode.COPY_FILE_RANGE, (handle) => payload(99n, 0n, 1n, handle, 0n, 1n, 0n), EBADF],
    ['a request that is cut', opcode.SETATTR, () => Buffer.alloc(87), EINVAL],
  ];

  test.each(cases)('%s', (_, number, bytes, errno) => {
    const made = started();
    const handle = openedFile(made);
    expect(ask(made, number, bytes(handle), file).error).toBe(-errno);
    expect(made.fileSystem.asked).toEqual([]);
    expect(made.logged).toEqual([]);
  });

  test('any bytes get at most one answer, and nothing is thrown', () => {
    const { transport, fileSystem } = started();
    fileSystem.readable();
    const bytes = fc.uint8Array({ maxLength: 200 });
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 60 }), bytes, fc.integer({ min: 0, max: 4 }), (number, body, node) => {
        transport.replies.length = 0;
        transport.raw(number, Buffer.from(body), { unique: 1_000_000n, node });
        expect(transport.replies.length).toBeLessThanOrEqual(1);
      }),
      { seed: Date.now() & 0x7fffffff, numRuns: 2000 },
    );
  });

  test('writing through a handle for reading', () => {
    const made = started();
    const ino = made.fileSystem.readable();
    const handle = ask(made, opcode.OPEN, payload(0, 0), ino).payload.readBigUInt64LE(0);
    expect(ask(made, opcode.WRITE, payload(handle, 0n, 1, 0, 0n, 0, 0, Buffer.from('x')), ino).error).toBe(-EBADF);
    expect(ask(made, opcode.FALLOCATE, payload(handle, 0n, 1n, 0, 0), ino).error).toBe(-EBADF);
    expect(ask(made, opcode.FLUSH, payload(handle, 0n, 0n), ino).error).toBe(0);
  });

  test.each([
    ['EXISTS', constants.errno.EEXIST],
    ['NOT_EMPTY', constants.errno.ENOTEMPTY],
    ['NO_SPACE', ENOSPC],
    ['QUOTA', constants.errno.EDQUOT],
    ['TOO_LARGE', EFBIG],
    ['CROSS_DEVICE', constants.errno.EXDEV],
    ['NAME_TOO_LONG', ENAMETOOLONG],
    ['TOO_MANY_LINKS', constants.errno.EMLINK],
    ['NOT_PERMITTED', constants.errno.EPERM],
    ['READ_ONLY', EROFS],
  ] as const)('%s', (code, errno) => {
    const made = started();
    made.fileSystem.before = () => {
      throw new FileError(code as 'QUOTA', 'x');
    };
    expect(ask(made, opcode.GETATTR, Buffer.alloc(16), 1).error).toBe(-errno);
  });
});

describe('what the kernel has been told of', () => {
  const forget = (made: Started, ino: number, times: bigint): void =>
    void made.transport.request(opcode.FORGET, payload(times), ino);

  test('is forgotten when all that was told is taken back', () => {
    const made = started();
    const ino = made.fileSystem.readable();
    for (let i = 0; i < 3; i += 1) ask(made, opcode.LOOKUP, payload('two'), 1);
    forget(made, ino, 2n);
    expect(made.fileSystem.forgotten).toEqual([]);
    forget(made, ino, 1n);
    expect(made.fileSystem.forgotten).toEqual([ino]);
    expect(made.transport.replies).toHaveLength(3);
  });

  test('entries of listings count, dots and names without attributes do not', () => {
    const made = started();
    const ino = made.fileSystem.readable();
    const handle = ask(made, opcode.OPENDIR, payload(0, 0), 1).payload.readBigUInt64LE(0);
    const readdir = payload(handle, 0n, 4096, 0, 0n, 0, 0);
    ask(made, opcode.READDIRPLUS, readdir, 1);
    ask(made, opcode.READDIR, readdir, 1);
    made.transport.request(opcode.BATCH_FORGET, payload(2, 0, BigInt(ino), 1n, 1n, 0n));
    expect(made.fileSystem.forgotten).toContain(ino);
  });

  test('an answer that the kernel does not take does not count', () => {
    const made = started();
    const ino = made.fileSystem.readable();
    made.transport.refuse = 'ENOENT';
    made.transport.request(opcode.LOOKUP, payload('two'), 1);
    expect(made.fileSystem.forgotten).toEqual([ino]);
    const handle = ask(made, opcode.OPENDIR, payload(0, 0), 1).payload.readBigUInt64LE(0);
    made.transport.refuse = 'ENOENT';
    made.transport.request(opcode.READDIRPLUS, payload(handle, 0n, 4096, 0, 0n, 0, 0), 1);
    expect(made.fileSystem.forgotten).toEqual([ino, ino]);
  });

  test('a new file that the kernel does not take is closed and forgotten', () => {
    const made = started();
    made.fileSystem.results.push({ entry: someEntry(99), file: made.fileSystem.opened });
    made.transport.refuse = 'ENOENT';
    made.transport.request(opcode.TMPFILE, payload(2, 0o100600, 0, 0, '/'), 1);
    expect([made.fileSystem.closed, made.fileSystem.forgotten]).toEqual([1, [99]]);
  });

  test('so is one whose maker was killed while it waited', async () => {
    const made = started();
    let give: (created: unknown) => void = () => undefined;
    made.fileSystem.results.push(new Promise((resolve) => (give = resolve)));
    // Not known here, and so not living.
    made.transport.caller = { ...caller, pid: 0 };
    const unique = made.transport.request(opcode.CREATE, payload(1, 0o100600, 0, 0, 'f'), 1);
    made.transport.raw(opcode.INTERRUPT, payload(unique), { unique: unique | 1n, node: 0 });
    expect(made.transport.replyTo(unique).error).toBe(-EINTR);
    give({ entry: someEntry(99), file: made.fileSystem.opened });
    await settled();
    expect([made.fileSystem.closed, made.fileSystem.forgotten]).toEqual([1, [99]]);
    expect(made.transport.replies).toHaveLength(1);
  });

  test('at the end of the mount files are closed and nothing is forgotten', () => {
    const made = started();
    made.fileSystem.results.push({ entry: someEntry(99), file: made.fileSystem.opened });
    ask(made, opcode.CREATE, payload(1, 0o100600, 0, 0, 'f'));
    made.transport.end('ENODEV');
    expect([made.fileSystem.closed, made.fileSystem.forgotten]).toEqual([1, []]);
  });

  test('a name that there is not', () => {
    const made = started();
    expect(ask(made, opcode.LOOKUP, payload('none'), 1).error).toBe(-ENOENT);
  });
});
