/**
 * What system calls that change something do, call by call and error by error. Whoever has a file system that can be written runs them
 * on it: each case acts in a directory of its own, as root and as nobody, and gives what is compared.
 */
import {
  constants as fsConstants,
  lstatSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { expect } from 'vitest';
import { nobody } from './mounted-everything.js';
import { type SystemCalls, timesOf } from './system-calls.js';

const { O_RDONLY, O_WRONLY, O_RDWR, O_CREAT, O_EXCL, O_TRUNC, O_APPEND, O_DIRECTORY, O_NOFOLLOW } = fsConstants;
const O_TMPFILE = 0o20000000 | O_DIRECTORY;
const AT_FDCWD = -100;
const AT_SYMLINK_NOFOLLOW = 0x100;
const AT_SYMLINK_FOLLOW = 0x400;
const [NOREPLACE, EXCHANGE] = [1, 2];
const [KEEP_SIZE, PUNCH_HOLE, COLLAPSE] = [1, 2, 8];
const [SEEK_DATA, SEEK_HOLE] = [3, 4];
const [XATTR_CREATE, XATTR_REPLACE] = [1, 2];
const [user, group] = [nobody, nobody];
const long = 'n'.repeat(255);

export interface Place {
  readonly s: SystemCalls;
  /** A path in the directory of the case. */
  readonly at: (name: string) => string;
  readonly mode: (name: string) => string;
  readonly file: (name: string, content?: string) => string;
  readonly directory: (name: string) => string;
}

/** What is compared is what the function returns. */
export type Case = readonly [title: string, run: (place: Place) => unknown, expected: unknown];

const octal = (mode: number): string => (mode & 0o7777).toString(8);
const fd = (result: number | string): number => {
  if (typeof result === 'string') throw new Error(result);
  return result;
};
const ids = (path: string): number[] => [lstatSync(path).uid, lstatSync(path).gid];
/** Whether what the function does moved the time. */
function moves(path: string, time: 'mtimeNs' | 'ctimeNs' | 'atimeNs', change: () => unknown): boolean {
  const before = lstatSync(path, { bigint: true })[time];
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 15);
  change();
  return lstatSync(path, { bigint: true })[time] > before;
}

const creation: readonly Case[] = [
  [
    'open O_CREAT makes a file with mode and umask',
    ({ s, at, mode }) => [s.umask(0o027), s.close(s.open(at('f'), O_CREAT | O_WRONLY, 0o666)), mode('f'), s.umask(0o022)],
    [0o022, 0, '640', 0o027],
  ],
  ['open O_CREAT | O_EXCL of what is there', ({ s, file }) => s.open(file('f'), O_CREAT | O_EXCL | O_RDWR, 0o600), 'EEXIST'],
  [
    'open O_CREAT | O_EXCL of a dangling link',
    ({ s, at }) => [s.symlink('x', at('l')), s.open(at('l'), O_CREAT | O_EXCL, 0o600)],
    [0, 'EEXIST'],
  ],
  [
    'open O_CREAT through a dangling link',
    ({ s, at }) => [s.symlink('x', at('l')), s.close(s.open(at('l'), O_CREAT, 0o600)), s.access(at('x'), 0)],
    [0, 0, 0],
  ],
  ['open of what is not there', ({ s, at }) => s.open(at('f'), O_RDONLY), 'ENOENT'],
  ['open in what is not there', ({ s, at }) => s.open(at('d/f'), O_CREAT, 0o600), 'ENOENT'],
  ['open in what is a file', ({ s, at, file }) => [file('f'), s.open(at('f/x'), O_CREAT, 0o600)][1], 'ENOTDIR'],
  ['open of a directory for writing', ({ s, directory }) => s.open(directory('d'), O_WRONLY), 'EISDIR'],
  ['open O_CREAT of a directory', ({ s, directory }) => s.open(directory('d'), O_CREAT, 0o600), 'EISDIR'],
  ['open O_DIRECTORY of a file', ({ s, file }) => s.open(file('f'), O_DIRECTORY), 'ENOTDIR'],
  ['open O_NOFOLLOW of a link', ({ s, at }) => [s.symlink('x', at('l')), s.open(at('l'), O_NOFOLLOW)], [0, 'ELOOP']],
  [
    'open of links that go in circles',
    ({ s, at }) => [s.symlink('b', at('a')), s.symlink('a', at('b')), s.open(at('a'), O_RDONLY)],
    [0, 0, 'ELOOP'],
  ],
  [
    'open O_CREAT of a name of 255 and of 256 bytes',
    ({ s, at }) => [s.close(s.open(at(long), O_CREAT, 0o600)), s.open(at(`${long}n`), O_CREAT, 0o600)],
    [0, 'ENAMETOOLONG'],
  ],
  [
    'open O_TRUNC empties',
    ({ s, file }) => [s.close(s.open(file('f', 'text'), O_WRONLY | O_TRUNC)), statSync(file('g', 'x')).size],
    [0, 1],
  ],
  [
    'open O_TRUNC makes size 0',
    ({ s, file }) => ((path) => [s.close(s.open(path, O_WRONLY | O_TRUNC)), statSync(path).size])(file('f', 'text')),
    [0, 0],
  ],
  [
    'open O_RDONLY | O_TRUNC empties too',
    ({ s, file }) => ((path) => [s.close(s.open(path, O_RDONLY | O_TRUNC)), statSync(path).size])(file('f', 'text')),
    [0, 0],
  ],
  [
    'creat of what is there keeps mode and inode',
    ({ s, file, mode }) =>
      ((path, ino) => [s.close(s.creat(path, 0o777)), statSync(path).ino === ino, mode('f')])(
        file('f', 'x'),
        statSync(file('f', 'x')).ino,
      ),
    [0, true, '644'],
  ],
  [
    'a new file belongs to its maker',
    ({ s, at, directory }) => [
      s.chmod(directory('d'), 0o777),
      s.as(user, group, () => s.close(s.open(at('d/f'), O_CREAT, 0o600))),
      ids(at('d/f')),
    ],
    [0, 0, [user, group]],
  ],
  [
    'in a set-gid directory to its group',
    ({ s, at, directory }) => [
      s.chown(directory('d'), 0, 7),
      s.chmod(at('d'), 0o2777),
      s.as(user, group, () => [s.close(s.open(at('d/f'), O_CREAT, 0o600)), s.mkdir(at('d/sub'), 0o755)]),
      ids(at('d/f')),
      octal(statSync(at('d/sub')).mode),
    ],
    [0, 0, [0, 0], [user, 7], '2755'],
  ],
  [
    'create moves mtime and ctime of the directory',
    ({ s, at, directory }) => [
      moves(directory('d'), 'mtimeNs', () => s.close(s.open(at('d/f'), O_CREAT, 0o600))),
      moves(at('d'), 'ctimeNs', () => s.mkdir(at('d/x'), 0o700)),
    ],
    [true, true],
  ],
  ['mkdir', ({ s, at, mode }) => [s.mkdir(at('d'), 0o1777), mode('d'), statSync(at('d')).nlink], [0, '1755', 2]],
  [
    'mkdir of what is there',
    ({ s, at, directory, file }) => [
      s.mkdir(directory('d'), 0o755),
      s.mkdir(file('f'), 0o755),
      s.symlink('x', at('l')),
      s.mkdir(at('l'), 0o755),
    ],
    ['EEXIST', 'EEXIST', 0, 'EEXIST'],
  ],
  [
    'mkdir in what is not there, or is a file',
    ({ s, at, file }) => [file('f'), s.mkdir(at('x/d'), 0o755), s.mkdir(at('f/d'), 0o755)].slice(1),
    ['ENOENT', 'ENOTDIR'],
  ],
  ['mkdir of too long a name', ({ s, at }) => s.mkdir(at(`${long}n`), 0o755), 'ENAMETOOLONG'],
  [
    'mkdir counts as a link of its parent',
    ({ s, at, directory }) =>
      [
        directory('d'),
        s.mkdir(at('d/a'), 0o755),
        s.mkdir(at('d/b'), 0o755),
        statSync(at('d')).nlink,
        s.rmdir(at('d/a')),
        statSync(at('d')).nlink,
      ].slice(1),
    [0, 0, 4, 0, 3],
  ],
  [
    'mkfifo',
    ({ s, at, mode }) => [s.mkfifo(at('p'), 0o644), mode('p'), lstatSync(at('p')).isFIFO(), s.mkfifo(at('p'), 0o644)],
    [0, '644', true, 'EEXIST'],
  ],
  [
    'mknod of devices, a socket and a file',
    ({ s, at }) => [
      s.mknod(at('c'), 0o020600, 0x103),
      s.mknod(at('b'), 0o060600, 300 * 256 + 5 + 2 ** 20 * 17),
      s.mknod(at('s'), 0o140600, 0),
      s.mknod(at('f'), 0o100600, 0),
      ...['c', 'b', 's', 'f'].map((name) => [lstatSync(at(name)).mode.toString(8), lstatSync(at(name)).rdev]),
    ],
    [0, 0, 0, 0, ['20600', 0x103], ['60600', 300 * 256 + 5 + 2 ** 20 * 17], ['140600', 0], ['100600', 0]],
  ],
  [
    'mknod of a device by a user',
    ({ s, at, directory }) => [
      s.chmod(directory('d'), 0o777),
      s.as(user, group, () => [s.mknod(at('d/c'), 0o020600, 0x103), s.mkfifo(at('d/p'), 0o600)]),
    ],
    [0, ['EPERM', 0]],
  ],
  [
    'symlink',
    ({ s, at }) => [
      s.symlink('to/where', at('l')),
      lstatSync(at('l')).isSymbolicLink(),
      lstatSync(at('l')).size,
      octal(lstatSync(at('l')).mode),
    ],
    [0, true, 8, '777'],
  ],
  [
    'symlink of what is there, and of a target that is too long',
    ({ s, at, file }) => [
      s.symlink('x', file('f')),
      s.symlink('t'.repeat(4095), at('l')),
      s.symlink('t'.repeat(4096), at('m')),
      s.symlink('', at('e')),
    ],
    ['EEXIST', 0, 'ENAMETOOLONG', 'ENOENT'],
  ],
  [
    'O_TMPFILE has no name until linkat gives it one',
    ({ s, at, directory }) => {
      const f = fd(s.open(directory('d'), O_TMPFILE | O_RDWR, 0o640));
      return [
        s.write(f, Buffer.from('tmp'), 3),
        readdirSync(at('d')),
        statSync(`/proc/self/fd/${f}`).nlink,
        s.linkat(AT_FDCWD, `/proc/self/fd/${f}`, AT_FDCWD, at('d/named'), AT_SYMLINK_FOLLOW),
        s.close(f),
        readFileSync(at('d/named'), 'utf8'),
        statSync(at('d/named')).nlink,
        octal(statSync(at('d/named')).mode),
      ];
    },
    [3, [], 0, 0, 0, 'tmp', 1, '640'],
  ],
  [
    'O_TMPFILE | O_EXCL gets no name',
    ({ s, at, directory }) => {
      const f = fd(s.open(directory('d'), O_TMPFILE | O_RDWR | O_EXCL, 0o640));
      return [s.linkat(AT_FDCWD, `/proc/self/fd/${f}`, AT_FDCWD, at('d/named'), AT_SYMLINK_FOLLOW), s.close(f)];
    },
    ['ENOENT', 0],
  ],
];

const links: readonly Case[] = [
  [
    'link',
    ({ s, at, file }) => [
      s.link(file('f', 'x'), at('g')),
      statSync(at('g')).ino === statSync(at('f')).ino,
      statSync(at('f')).nlink,
    ],
    [0, true, 2],
  ],
  [
    'link moves ctime of the file and mtime of the directory',
    ({ s, at, file, directory }) =>
      [
        file('f'),
        directory('d'),
        moves(at('f'), 'ctimeNs', () => s.link(at('f'), at('d/g'))),
        moves(at('d'), 'mtimeNs', () => s.link(at('f'), at('d/h'))),
      ].slice(2),
    [true, true],
  ],
  [
    'link to what is there, of what is not, of a directory',
    ({ s, at, file, directory }) => [
      s.link(file('f'), file('g')),
      s.link(at('x'), at('y')),
      s.link(directory('d'), at('e')),
      s.link(at('f'), at('no/g')),
    ],
    ['EEXIST', 'ENOENT', 'EPERM', 'ENOENT'],
  ],
  [
    'link of a link is one of the link',
    ({ s, at }) => [
      s.symlink('x', at('l')),
      s.link(at('l'), at('m')),
      lstatSync(at('m')).isSymbolicLink(),
      lstatSync(at('l')).nlink,
    ],
    [0, 0, true, 2],
  ],
  ['unlink', ({ s, at, file }) => [s.unlink(file('f')), s.unlink(at('f')), s.access(at('f'), 0)], [0, 'ENOENT', 'ENOENT']],
  ['unlink of a directory', ({ s, directory }) => s.unlink(directory('d')), 'EISDIR'],
  [
    'unlink of one of two names',
    ({ s, at, file }) => [
      s.link(file('f', 'x'), at('g')),
      moves(at('g'), 'ctimeNs', () => s.unlink(at('f'))),
      statSync(at('g')).nlink,
      readFileSync(at('g'), 'utf8'),
    ],
    [0, true, 1, 'x'],
  ],
  [
    'what is open stays when its name goes',
    ({ s, file, at }) => {
      const f = fd(s.open(file('f', 'text'), O_RDWR));
      const bytes = Buffer.alloc(6);
      return [
        s.unlink(at('f')),
        s.pwrite(f, Buffer.from('ab'), 2, 4),
        s.pread(f, bytes, 6, 0),
        bytes.toString(),
        statSync(`/proc/self/fd/${f}`).nlink,
        s.ftruncate(f, 1),
        s.fchmod(f, 0o600),
        statSync(`/proc/self/fd/${f}`).size,
        s.close(f),
      ];
    },
    [0, 2, 6, 'textab', 0, 0, 0, 1, 0],
  ],
  ['rmdir', ({ s, at, directory }) => [s.rmdir(directory('d')), s.rmdir(at('d'))], [0, 'ENOENT']],
  [
    'rmdir of what is not empty, of a file, of dots',
    ({ s, at, directory, file }) =>
      [
        directory('d'),
        s.mkdir(at('d/e'), 0o755),
        s.rmdir(at('d')),
        s.rmdir(file('f')),
        s.rmdir(at('d/.')),
        s.rmdir(at('d/e/..')),
      ].slice(1),
    [0, 'ENOTEMPTY', 'ENOTDIR', 'EINVAL', 'ENOTEMPTY'],
  ],
  [
    'nothing comes into a directory that is gone',
    ({ s, at, directory }) => {
      const d = fd(s.open(directory('d'), O_RDONLY | O_DIRECTORY));
      return [
        s.rmdir(at('d')),
        s.linkat(AT_FDCWD, at('l'), d, 'x', 0),
        s.renameat2(AT_FDCWD, at('none'), d, 'x', 0),
        statSync(`/proc/self/fd/${d}`).nlink,
        s.open(`/proc/self/fd/${d}/x`, O_CREAT, 0o600),
        s.close(d),
      ];
    },
    [0, 'ENOENT', 'ENOENT', 0, 'ENOENT', 0],
  ],
];

const renames: readonly Case[] = [
  [
    'rename',
    ({ s, at, file }) => [s.rename(file('f', 'x'), at('g')), s.access(at('f'), 0), readFileSync(at('g'), 'utf8')],
    [0, 'ENOENT', 'x'],
  ],
  [
    'rename onto a file',
    ({ s, at, file }) => [
      s.rename(file('f', 'new'), file('g', 'old')),
      readFileSync(at('g'), 'utf8'),
      readdirSync(at('')).length,
    ],
    [0, 'new', 1],
  ],
  [
    'rename onto another name of the same file changes nothing',
    ({ s, at, file }) => [s.link(file('f'), at('g')), s.rename(at('f'), at('g')), readdirSync(at('')).sort()],
    [0, 0, ['f', 'g']],
  ],
  ['rename of what is not there', ({ s, at }) => s.rename(at('f'), at('g')), 'ENOENT'],
  [
    'rename between kinds',
    ({ s, at, file, directory }) => [s.rename(file('f'), directory('d')), s.rename(directory('e'), at('f'))],
    ['EISDIR', 'ENOTDIR'],
  ],
  [
    'rename onto directories',
    ({ s, at, directory }) =>
      [
        directory('d'),
        directory('empty'),
        directory('full'),
        s.mkdir(at('full/x'), 0o755),
        s.rename(at('d'), at('full')),
        s.rename(at('d'), at('empty')),
      ].slice(3),
    [0, 'ENOTEMPTY', 0],
  ],
  [
    'rename of a directory into itself',
    ({ s, at, directory }) =>
      [
        directory('d'),
        s.mkdir(at('d/e'), 0o755),
        s.rename(at('d'), at('d/e/f')),
        s.rename(at('d'), at('d/x')),
        s.rename(at('d/e'), at('d')),
      ].slice(1),
    [0, 'EINVAL', 'EINVAL', 'ENOTEMPTY'],
  ],
  [
    'rename of a directory moves the link counts',
    ({ s, at, directory }) =>
      [
        directory('a'),
        directory('b'),
        s.mkdir(at('a/d'), 0o755),
        s.rename(at('a/d'), at('b/d')),
        statSync(at('a')).nlink,
        statSync(at('b')).nlink,
        statSync(at('b/d/..')).ino === statSync(at('b')).ino,
      ].slice(2),
    [0, 0, 2, 3, true],
  ],
  [
    'rename moves times',
    ({ s, at, file, directory }) =>
      [
        directory('a'),
        directory('b'),
        s.link(file('a/f'), at('same')),
        moves(at('a'), 'mtimeNs', () => s.rename(at('a/f'), at('b/f'))),
        moves(at('b'), 'mtimeNs', () => s.rename(at('b/f'), at('a/f'))),
        moves(at('same'), 'ctimeNs', () => s.rename(at('a/f'), at('b/f'))),
      ].slice(3),
    [true, true, true],
  ],
  ['rename to too long a name', ({ s, at, file }) => s.rename(file('f'), at(`${long}n`)), 'ENAMETOOLONG'],
  [
    'rename while open',
    ({ s, at, file }) => {
      const f = fd(s.open(file('f', 'old'), O_RDWR));
      const bytes = Buffer.alloc(3);
      return [
        s.rename(file('g', 'new'), at('f')),
        s.pread(f, bytes, 3, 0),
        bytes.toString(),
        s.close(f),
        readFileSync(at('f'), 'utf8'),
      ];
    },
    [0, 3, 'old', 0, 'new'],
  ],
  [
    'RENAME_NOREPLACE',
    ({ s, at, file }) => [
      s.renameat2(AT_FDCWD, file('f'), AT_FDCWD, file('g'), NOREPLACE),
      s.renameat2(AT_FDCWD, at('f'), AT_FDCWD, at('h'), NOREPLACE),
      readdirSync(at('')).sort(),
    ],
    ['EEXIST', 0, ['g', 'h']],
  ],
  [
    'RENAME_EXCHANGE',
    ({ s, at, file, directory }) =>
      [
        file('f', 'x'),
        directory('d'),
        s.renameat2(AT_FDCWD, at('f'), AT_FDCWD, at('d'), EXCHANGE),
        statSync(at('f')).isDirectory(),
        readFileSync(at('d'), 'utf8'),
        s.renameat2(AT_FDCWD, at('f'), AT_FDCWD, at('none'), EXCHANGE),
      ].slice(2),
    [0, true, 'x', 'ENOENT'],
  ],
  [
    'RENAME_EXCHANGE with what is inside',
    ({ s, at, directory }) =>
      [
        directory('d'),
        s.mkdir(at('d/e'), 0o755),
        s.renameat2(AT_FDCWD, at('d'), AT_FDCWD, at('d/e'), EXCHANGE),
        s.renameat2(AT_FDCWD, at('d/e'), AT_FDCWD, at('d'), EXCHANGE),
      ].slice(1),
    [0, 'EINVAL', 'EINVAL'],
  ],
  [
    'RENAME_EXCHANGE between directories',
    ({ s, at, directory, file }) =>
      [
        directory('a'),
        directory('b'),
        s.mkdir(at('a/d'), 0o755),
        file('b/f'),
        s.renameat2(AT_FDCWD, at('a/d'), AT_FDCWD, at('b/f'), EXCHANGE),
        statSync(at('a')).nlink,
        statSync(at('b')).nlink,
        statSync(at('b/f')).isDirectory(),
      ].slice(4),
    [0, 2, 3, true],
  ],
  [
    'flags that exclude each other',
    ({ s, at, file }) => s.renameat2(AT_FDCWD, file('f'), AT_FDCWD, at('g'), EXCHANGE | NOREPLACE),
    'EINVAL',
  ],
  [
    'rename in a sticky directory',
    ({ s, at, directory, file }) =>
      [
        s.chmod(directory('d'), 0o1777),
        file('d/f'),
        s.as(user, group, () => [s.rename(at('d/f'), at('d/g')), s.unlink(at('d/f'))]),
      ].filter((_, i) => i !== 1),
    [0, ['EPERM', 'EPERM']],
  ],
];

const attributes: readonly Case[] = [
  [
    'chmod',
    ({ s, file, mode, at }) => [
      s.chmod(file('f'), 0o4711),
      mode('f'),
      moves(at('f'), 'ctimeNs', () => s.chmod(at('f'), 0o644)),
      s.chmod(at('none'), 0o644),
    ],
    [0, '4711', true, 'ENOENT'],
  ],
  [
    "chmod of another user's file",
    ({ s, file, at, mode }) => [s.chmod(file('f'), 0o666), s.as(user, group, () => s.chmod(at('f'), 0o600)), mode('f')],
    [0, 'EPERM', '666'],
  ],
  [
    'chmod takes set-gid where the user is not in the group',
    ({ s, at, directory, mode }) => [
      s.chmod(directory('d'), 0o777),
      s.as(user, group, () => s.close(s.open(at('d/f'), O_CREAT, 0o755))),
      s.chown(at('d/f'), user, 7),
      s.as(user, group, () => s.chmod(at('d/f'), 0o2755)),
      mode('d/f'),
    ],
    [0, 0, 0, 0, '755'],
  ],
  [
    'chown',
    ({ s, file, at }) => [
      s.chown(file('f'), 7, 8),
      ids(at('f')),
      s.chown(at('f'), -1 >>> 0, 9),
      ids(at('f')),
      s.chown(at('f'), 10, -1 >>> 0),
      ids(at('f')),
    ],
    [0, [7, 8], 0, [7, 9], 0, [10, 9]],
  ],
  [
    'chown by a user',
    ({ s, file, at }) => [
      s.chown(file('f'), user, group),
      s.as(user, group, () => [s.chown(at('f'), 7, -1 >>> 0), s.chown(at('f'), user, group)]),
    ],
    [0, ['EPERM', 0]],
  ],
  [
    'chown takes set-uid and set-gid',
    ({ s, file, at, mode }) => [
      s.chmod(file('f'), 0o6755),
      s.chown(at('f'), 7, 8),
      mode('f'),
      s.chmod(file('g'), 0o6644),
      s.chown(at('g'), 7, 8),
      mode('g'),
    ],
    [0, 0, '755', 0, 0, '2644'],
  ],
  [
    'chown of a directory keeps them',
    ({ s, directory, at, mode }) => [s.chmod(directory('d'), 0o6755), s.chown(at('d'), 7, 8), mode('d')],
    [0, 0, '6755'],
  ],
  [
    'lchown',
    ({ s, at, file }) =>
      [s.symlink('f', at('l')), file('f'), s.lchown(at('l'), 7, 8), ids(at('l')), ids(at('f'))].filter((_, i) => i !== 1),
    [0, 0, [7, 8], [0, 0]],
  ],
  [
    'a write by a user takes set-uid and set-gid',
    ({ s, at, file, mode }) => [
      s.chmod(file('f'), 0o6777),
      s.as(user, group, () => {
        const f = fd(s.open(at('f'), O_WRONLY));
        return [s.write(f, Buffer.from('x'), 1), s.close(f)];
      }),
      mode('f'),
    ],
    [0, [1, 0], '777'],
  ],
  [
    'a write by root keeps them',
    ({ s, at, file, mode }) => {
      s.chmod(file('f'), 0o6777);
      const f = fd(s.open(at('f'), O_WRONLY));
      return [s.write(f, Buffer.from('x'), 1), s.close(f), mode('f')];
    },
    [1, 0, '6777'],
  ],
  ...[
    ['fallocate', 0],
    ['fallocate that keeps the size', KEEP_SIZE],
    ['a hole punched', PUNCH_HOLE | KEEP_SIZE],
  ].map(([title, flags]): Case => [
    `${title} by a user takes them, by root not`,
    ({ s, at, file, mode }) => {
      const ended = [s.chmod(file('f', 'abc'), 0o6777), s.chown(at('f'), user, group), s.chmod(at('f'), 0o6777)];
      const f = fd(s.open(at('f'), O_RDWR));
      ended.push(s.fallocate(f, Number(flags), 0, 4096));
      const before = mode('f');
      s.as(user, group, () => {
        const g = fd(s.open(at('f'), O_RDWR));
        ended.push(s.fallocate(g, Number(flags), 0, 4096), s.close(g));
      });
      return [ended, s.close(f), before, mode('f')];
    },
    [[0, 0, 0, 0, 0, 0], 0, '6777', '777'],
  ]),
  [
    'copy_file_range by a user takes them, by root not',
    ({ s, at, file, mode }) => {
      s.chmod(file('f', 'abc'), 0o6777);
      file('g', 'defg');
      const copy = (): unknown => {
        const [from, to] = [fd(s.open(at('g'), O_RDONLY)), fd(s.open(at('f'), O_RDWR))];
        return [s.copy_file_range(from, [0], to, [0], 4, 0), s.close(from), s.close(to)];
      };
      return [copy(), mode('f'), s.as(user, group, copy), mode('f')];
    },
    [[4, 0, 0], '6777', [4, 0, 0], '777'],
  ],
  [
    'truncation by a user takes them too',
    ({ s, at, file, mode }) => [
      s.chmod(file('f', 'x'), 0o6777),
      s.as(user, group, () => s.truncate(at('f'), 0)),
      mode('f'),
      s.chmod(file('g', 'x'), 0o6777),
      s.as(user, group, () => s.close(s.open(at('g'), O_WRONLY | O_TRUNC))),
      mode('g'),
    ],
    [0, 0, '777', 0, 0, '777'],
  ],
  [
    'truncate',
    ({ s, at, file }) => [
      s.truncate(file('f', 'abcdef'), 3),
      readFileSync(at('f'), 'latin1'),
      s.truncate(at('f'), 5),
      readFileSync(at('f'), 'latin1'),
      s.truncate(at('f'), -1),
      s.truncate(at('none'), 0),
    ],
    [0, 'abc', 0, 'abc\0\0', 'EINVAL', 'ENOENT'],
  ],
  [
    'truncate of a directory and by a user',
    ({ s, at, file, directory }) =>
      [s.truncate(directory('d'), 0), file('f'), s.as(user, group, () => s.truncate(at('f'), 0))].filter((_, i) => i !== 1),
    ['EISDIR', 'EACCES'],
  ],
  [
    'truncate moves times',
    ({ s, at, file }) => [
      moves(file('f', 'abc'), 'mtimeNs', () => s.truncate(at('f'), 1)),
      moves(at('f'), 'ctimeNs', () => s.truncate(at('f'), 0)),
    ],
    [true, true],
  ],
  [
    'ftruncate of what is only read',
    ({ s, file }) => {
      const f = fd(s.open(file('f'), O_RDONLY));
      return [s.ftruncate(f, 1), s.close(f)];
    },
    ['EINVAL', 0],
  ],
  [
    'utimensat to the nanosecond, before 1970 too',
    ({ s, file, at }) => [
      s.utimensat(AT_FDCWD, file('f'), timesOf([-5, 123_456_789], [2 ** 33, 999_999_999]), 0),
      lstatSync(at('f'), { bigint: true }).atimeNs,
      lstatSync(at('f'), { bigint: true }).mtimeNs,
    ],
    [0, -5_000_000_000n + 123_456_789n, 2n ** 33n * 1_000_000_000n + 999_999_999n],
  ],
  [
    'UTIME_NOW and UTIME_OMIT',
    ({ s, file, at }) => [
      s.utimensat(AT_FDCWD, file('f'), timesOf([5, 0], [6, 0]), 0),
      s.utimensat(AT_FDCWD, at('f'), timesOf('omit', 'now'), 0),
      lstatSync(at('f')).atimeMs,
      Math.abs(lstatSync(at('f')).mtimeMs - Date.now()) < 10_000,
      moves(at('f'), 'ctimeNs', () => s.utimensat(AT_FDCWD, at('f'), timesOf([1, 0], 'omit'), 0)),
      lstatSync(at('f')).atimeMs,
    ],
    [0, 0, 5000, true, true, 1000],
  ],
  [
    'utimensat of a link',
    ({ s, at, file }) =>
      [
        file('f'),
        s.symlink('f', at('l')),
        s.utimensat(AT_FDCWD, at('l'), timesOf([5, 0], [6, 0]), AT_SYMLINK_NOFOLLOW),
        lstatSync(at('l')).mtimeMs,
        statSync(at('l')).mtimeMs > 7000,
      ].slice(1),
    [0, 0, 6000, true],
  ],
  [
    'utimensat by others',
    ({ s, at, file }) => [
      s.chmod(file('f'), 0o666),
      s.as(user, group, () => [
        s.utimensat(AT_FDCWD, at('f'), timesOf([5, 0], [6, 0]), 0),
        s.utimensat(AT_FDCWD, at('f'), timesOf('now', 'now'), 0),
      ]),
      s.chmod(at('f'), 0o644),
      s.as(user, group, () => s.utimensat(AT_FDCWD, at('f'), timesOf('now', 'now'), 0)),
    ],
    [0, ['EPERM', 0], 0, 'EACCES'],
  ],
  [
    'access by others',
    ({ s, at, file, directory }) => [
      s.chmod(file('f'), 0o600),
      s.chmod(directory('d'), 0o700),
      s.as(user, group, () => [
        s.open(at('f'), O_RDONLY),
        s.open(at('f'), O_WRONLY),
        s.open(at('d/x'), O_CREAT, 0o600),
        s.mkdir(at('e'), 0o755),
        s.unlink(at('f')),
        s.symlink('x', at('l')),
        s.rename(at('f'), at('g')),
      ]),
    ],
    [0, 0, ['EACCES', 'EACCES', 'EACCES', 'EACCES', 'EACCES', 'EACCES', 'EACCES']],
  ],
  [
    'xattrs',
    ({ s, at, file }) => {
      const path = file('f');
      const value = Buffer.alloc(8);
      return [
        s.lsetxattr(path, 'user.a', Buffer.from('value'), 5, 0),
        s.lgetxattr(path, 'user.a', value, 8),
        value.toString('latin1'),
        s.lsetxattr(path, 'user.a', value, 1, XATTR_CREATE),
        s.lsetxattr(path, 'user.b', value, 1, XATTR_REPLACE),
        s.lsetxattr(path, 'user.a', value, 0, XATTR_REPLACE),
        s.lgetxattr(path, 'user.a', value, 8),
        s.lremovexattr(path, 'user.a'),
        s.lremovexattr(path, 'user.a'),
        s.lgetxattr(at('f'), 'user.a', value, 8),
      ];
    },
    [0, 5, 'value\0\0\0', 'EEXIST', 'ENODATA', 0, 0, 0, 'ENODATA', 'ENODATA'],
  ],
  [
    'a large xattr, and one for root',
    ({ s, file, at }) => [
      s.lsetxattr(file('f'), 'user.large', Buffer.alloc(60_000, 'x'), 60_000, 0),
      s.lgetxattr(at('f'), 'user.large', Buffer.alloc(65536), 65536),
      s.lsetxattr(at('f'), 'user.toolarge', Buffer.alloc(65537), 65537, 0),
      s.lsetxattr(at('f'), 'trusted.t', Buffer.from('1'), 1, 0),
    ],
    [0, 60_000, 'E2BIG', 0],
  ],
  [
    'xattrs move ctime',
    ({ s, file, at }) => moves(file('f'), 'ctimeNs', () => s.lsetxattr(at('f'), 'user.a', Buffer.from('1'), 1, 0)),
    true,
  ],
  [
    'a write takes the capability',
    ({ s, file, at }) => {
      const caps = Buffer.from('0100000200200000000000000000000000000000', 'hex');
      const path = file('f');
      return [
        s.lsetxattr(path, 'security.capability', caps, 20, 0),
        writeFileSync(at('f'), 'x'),
        s.lgetxattr(path, 'security.capability', Buffer.alloc(32), 32),
      ].filter((value) => value !== undefined);
    },
    [0, 'ENODATA'],
  ],
];

const content: readonly Case[] = [
  [
    'O_APPEND writes at the end, whoever else wrote',
    ({ s, file, at }) => {
      const path = file('f', '1');
      const [a, b] = [fd(s.open(path, O_WRONLY | O_APPEND)), fd(s.open(path, O_WRONLY | O_APPEND))];
      return [
        s.write(a, Buffer.from('2'), 1),
        s.write(b, Buffer.from('3'), 1),
        s.write(a, Buffer.from('4'), 1),
        s.close(a),
        s.close(b),
        readFileSync(at('f'), 'utf8'),
      ];
    },
    [1, 1, 1, 0, 0, '1234'],
  ],
  [
    'a write beyond the end leaves zeros',
    ({ s, file, at }) => {
      const f = fd(s.open(file('f', 'ab'), O_RDWR));
      return [s.pwrite(f, Buffer.from('z'), 1, 5), s.close(f), readFileSync(at('f'), 'latin1')];
    },
    [1, 0, 'ab\0\0\0z'],
  ],
  [
    'writes move times, reads of nothing do not',
    ({ s, file, at }) => {
      const f = fd(s.open(file('f', 'ab'), O_RDWR));
      return [
        moves(at('f'), 'mtimeNs', () => s.pwrite(f, Buffer.from('z'), 1, 0)),
        moves(at('f'), 'ctimeNs', () => s.pwrite(f, Buffer.from('z'), 1, 0)),
        moves(at('f'), 'mtimeNs', () => s.pread(f, Buffer.alloc(1), 1, 0)),
        s.close(f),
      ];
    },
    [true, true, false, 0],
  ],
  [
    'fallocate extends, and keeps the size when asked',
    ({ s, file, at }) => {
      const f = fd(s.open(file('f'), O_RDWR));
      return [
        s.fallocate(f, 0, 0, 8192),
        statSync(at('f')).size,
        s.fallocate(f, KEEP_SIZE, 8192, 4096),
        statSync(at('f')).size,
        statSync(at('f')).blocks,
        s.close(f),
      ];
    },
    [0, 8192, 0, 8192, 24, 0],
  ],
  [
    'a hole that is punched',
    ({ s, file, at }) => {
      const f = fd(s.open(file('f', 'x'.repeat(16_384)), O_RDWR));
      return [
        s.fallocate(f, PUNCH_HOLE | KEEP_SIZE, 4096, 8192),
        statSync(at('f')).blocks,
        s.lseek(f, 0, SEEK_HOLE),
        s.lseek(f, 4096, SEEK_DATA),
        s.lseek(f, 12_288, SEEK_HOLE),
        s.lseek(f, 16_384, SEEK_DATA),
        readFileSync(at('f'))
          .subarray(4096, 12_288)
          .every((byte) => byte === 0),
        s.close(f),
      ];
    },
    [0, 16, 4096, 12_288, 16_384, 'ENXIO', true, 0],
  ],
  [
    'what fallocate is not given',
    ({ s, file }) => {
      const f = fd(s.open(file('f', 'x'.repeat(8192)), O_RDWR));
      return [
        s.fallocate(f, COLLAPSE, 0, 4096),
        s.fallocate(f, PUNCH_HOLE, 0, 4096),
        s.fallocate(f, 0, 0, 0),
        s.fallocate(f, 0, -1, 5),
        s.close(f),
      ];
    },
    ['EOPNOTSUPP', 'EOPNOTSUPP', 'EINVAL', 'EINVAL', 0],
  ],
  [
    'fallocate of what is only read',
    ({ s, file }) => {
      const f = fd(s.open(file('f', 'x'), O_RDONLY));
      return [s.fallocate(f, 0, 0, 10), s.close(f)];
    },
    ['EBADF', 0],
  ],
  [
    'copy_file_range',
    ({ s, file, at }) => {
      const [a, b] = [fd(s.open(file('a', '0123456789'), O_RDONLY)), fd(s.open(file('b', 'xxx'), O_RDWR))];
      return [
        s.copy_file_range(a, [2], b, [1], 5, 0),
        s.copy_file_range(a, [10], b, [0], 5, 0),
        s.copy_file_range(b, [0], a, [0], 5, 0),
        readFileSync(at('b'), 'utf8'),
        s.close(a),
        s.close(b),
      ];
    },
    [5, 0, 'EBADF', 'x23456', 0, 0],
  ],
  [
    'copy_file_range inside of one file',
    ({ s, file, at }) => {
      const f = fd(s.open(file('a', '0123456789'), O_RDWR));
      return [
        s.copy_file_range(f, [0], f, [5], 5, 0),
        s.copy_file_range(f, [0], f, [2], 5, 0),
        readFileSync(at('a'), 'utf8'),
        s.close(f),
      ];
    },
    [5, 'EINVAL', '0123401234', 0],
  ],
  [
    'flock',
    ({ s, file, at }) => {
      const [a, b] = [fd(s.open(file('f'), O_RDWR)), fd(s.open(at('f'), O_RDWR))];
      return [s.flock(a, 2 | 4), s.flock(b, 1 | 4), s.flock(a, 8), s.flock(b, 1 | 4), s.close(a), s.close(b)];
    },
    [0, 'EAGAIN', 0, 0, 0, 0],
  ],
  [
    'fsync and fdatasync of files and directories, open for reading too',
    ({ s, file, directory }) => {
      const [f, r, d] = [fd(s.open(file('f'), O_RDWR)), fd(s.open(file('f'), O_RDONLY)), fd(s.open(directory('d'), O_RDONLY))];
      return [s.fsync(f), s.fdatasync(f), s.fsync(r), s.fsync(d), s.close(f), s.close(r), s.close(d)];
    },
    [0, 0, 0, 0, 0, 0, 0],
  ],
];

const aclTags = new Map([
  ['u', 1],
  ['U', 2],
  ['g', 4],
  ['G', 8],
  ['m', 16],
  ['o', 32],
]);
const accessAcl = 'system.posix_acl_access';
const defaultAcl = 'system.posix_acl_default';

/** The value of a text like `u7 U7:65534 g5 m7 o0`: owner, named user, group, mask, others. */
function aclOf(text: string): Buffer {
  const entries = text.split(' ').map((entry) => {
    const [what = '', id = '4294967295'] = entry.split(':');
    const bytes = Buffer.alloc(8);
    bytes.writeUInt16LE(aclTags.get(what.charAt(0)) ?? 0, 0);
    bytes.writeUInt16LE(Number(what.charAt(1)), 2);
    bytes.writeUInt32LE(Number(id), 4);
    return bytes;
  });
  return Buffer.concat([Buffer.from([2, 0, 0, 0]), ...entries]);
}

function setAcl(s: SystemCalls, path: string, name: string, text: string): number | string {
  const value = aclOf(text);
  return s.lsetxattr(path, name, value, value.length, 0);
}

/** The text of an ACL, or the error of asking for it. */
function aclIn(s: SystemCalls, path: string, name: string): string {
  const room = Buffer.alloc(1024);
  const length = s.lgetxattr(path, name, room, room.length);
  if (typeof length === 'string') return length;
  const entries: string[] = [];
  for (let at = 4; at < length; at += 8) {
    const tag = [...aclTags].find(([, number]) => number === room.readUInt16LE(at))?.[0] ?? '?';
    const id = room.readUInt32LE(at + 4);
    entries.push(`${tag}${room.readUInt16LE(at + 2)}${id === 0xffffffff ? '' : `:${id}`}`);
  }
  return entries.join(' ');
}

const named = 'u7 U7:65534 g5 m7 o5';

const acls: readonly Case[] = [
  [
    'an access ACL sets the mode, and the mode the mask',
    ({ s, file, at, mode }) => [
      setAcl(s, file('f'), accessAcl, 'u6 U7:65534 g0 m7 o0'),
      mode('f'),
      s.chmod(at('f'), 0o640),
      aclIn(s, at('f'), accessAcl),
      s.chmod(at('f'), 0o604),
      aclIn(s, at('f'), accessAcl),
    ],
    [0, '670', 0, 'u6 U7:65534 g0 m4 o0', 0, 'u6 U7:65534 g0 m0 o4'],
  ],
  [
    'an access ACL that says no more than the mode is none',
    ({ s, file, at, mode }) => [setAcl(s, file('f'), accessAcl, 'u7 g5 o1'), mode('f'), aclIn(s, at('f'), accessAcl)],
    [0, '751', 'ENODATA'],
  ],
  [
    'an access ACL lets a user in, and the mask keeps him out',
    ({ s, file, at }) => [
      setAcl(s, file('f'), accessAcl, 'u6 U4:65534 g0 m4 o0'),
      s.as(user, group, () => s.close(s.open(at('f'), O_RDONLY))),
      s.as(user, group, () => s.open(at('f'), O_WRONLY)),
      s.chmod(at('f'), 0o600),
      s.as(user, group, () => s.open(at('f'), O_RDONLY)),
      s.lremovexattr(at('f'), accessAcl),
      s.as(user, group, () => s.open(at('f'), O_RDONLY)),
    ],
    [0, 0, 'EACCES', 0, 'EACCES', 0, 'EACCES'],
  ],
  [
    'a default ACL is handed down, whatever the umask says',
    ({ s, directory, at, mode }) => [
      setAcl(s, directory('d'), defaultAcl, named),
      s.umask(0o077),
      s.close(s.open(at('d/f'), O_CREAT, 0o666)),
      s.mkdir(at('d/sub'), 0o750),
      s.mkfifo(at('d/p'), 0o600),
      s.umask(0o022),
      ...['f', 'sub', 'p'].map((name) => [mode(`d/${name}`), aclIn(s, at(`d/${name}`), accessAcl)]),
      aclIn(s, at('d/sub'), defaultAcl),
      aclIn(s, at('d/f'), defaultAcl),
    ],
    [
      ...[0, 0o022, 0, 0, 0, 0o077],
      ['664', 'u6 U7:65534 g5 m6 o4'],
      ['750', 'u7 U7:65534 g5 m5 o0'],
      ['600', 'u6 U7:65534 g5 m0 o0'],
      ...[named, 'ENODATA'],
    ],
  ],
  [
    'a default ACL that says no more than a mode',
    ({ s, directory, at, mode }) => [
      setAcl(s, directory('d'), defaultAcl, 'u7 g7 o0'),
      s.close(s.open(at('d/f'), O_CREAT, 0o666)),
      s.mkdir(at('d/sub'), 0o777),
      mode('d/f'),
      aclIn(s, at('d/f'), accessAcl),
      mode('d/sub'),
      aclIn(s, at('d/sub'), accessAcl),
      aclIn(s, at('d/sub'), defaultAcl),
    ],
    [0, 0, 0, '660', 'ENODATA', '770', 'ENODATA', 'u7 g7 o0'],
  ],
  [
    'O_TMPFILE takes the default ACL too, a symbolic link does not',
    ({ s, directory, at }) => {
      setAcl(s, directory('d'), defaultAcl, named);
      const f = fd(s.open(at('d'), O_TMPFILE | O_RDWR, 0o666));
      const mode = octal(statSync(`/proc/self/fd/${f}`).mode);
      return [mode, s.close(f), s.symlink('x', at('d/l')), octal(lstatSync(at('d/l')).mode)];
    },
    ['664', 0, 0, '777'],
  ],
  [
    'an access ACL set by someone outside of the group takes set-gid',
    ({ s, directory, at, mode }) => [
      s.chmod(directory('d'), 0o777),
      s.as(user, group, () => s.close(s.open(at('d/f'), O_CREAT, 0o755))),
      s.chown(at('d/f'), user, 7),
      s.chmod(at('d/f'), 0o2755),
      s.as(user, group, () => setAcl(s, at('d/f'), accessAcl, 'u7 U7:1 g5 m5 o5')),
      mode('d/f'),
    ],
    [0, 0, 0, 0, 0, '755'],
  ],
  [
    'no ACLs of others, none that are malformed, and no default ones of files',
    ({ s, file, at, directory }) => [
      s.chmod(file('f'), 0o777),
      s.as(user, group, () => setAcl(s, at('f'), accessAcl, named)),
      setAcl(s, at('f'), defaultAcl, named),
      s.lsetxattr(at('f'), accessAcl, Buffer.from('nonsense'), 8, 0),
      s.lremovexattr(directory('d'), defaultAcl),
    ],
    [0, 'EPERM', 'EACCES', 'EOPNOTSUPP', 0],
  ],
];

export const posixCases = { creation, links, renames, attributes, content, acls } as const;

/** Runs a case in `base`, which is made and removed. Throws where the case fails. */
export function runPosixCase(s: SystemCalls, base: string, [, act, expected]: Case): void {
  mkdirSync(base);
  // Dots stay.
  const at = (name: string): string => `${base}/${name}`;
  const file = (name: string, text = ''): string => {
    writeFileSync(at(name), text);
    return at(name);
  };
  const directory = (name: string): string => {
    mkdirSync(at(name));
    return at(name);
  };
  expect(act({ s, at, file, directory, mode: (name) => octal(lstatSync(at(name)).mode) })).toEqual(expected);
  rmSync(base, { recursive: true });
}
