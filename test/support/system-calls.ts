/** System calls that Node does not offer, or changes on the way, as tests make them: the result, or the name of the error. */
import { createRequire } from 'node:module';
import { constants } from 'node:os';
import type koffi from 'koffi';

type Result = number | string;
type Bound = (...args: unknown[]) => number | bigint;

const synonyms = new Set(['EWOULDBLOCK', 'ENOTSUP']);
const errorNames = new Map(
  Object.entries(constants.errno).flatMap(([name, errno]) => (synonyms.has(name) ? [] : [[errno, name] as const])),
);
const declarations = {
  open: 'int open(const char *path, int flags, uint32_t mode)',
  close: 'int close(int fd)',
  creat: 'int creat(const char *path, uint32_t mode)',
  mkdir: 'int mkdir(const char *path, uint32_t mode)',
  mkfifo: 'int mkfifo(const char *path, uint32_t mode)',
  mknod: 'int mknod(const char *path, uint32_t mode, uint64_t device)',
  link: 'int link(const char *from, const char *to)',
  linkat: 'int linkat(int d1, const char *from, int d2, const char *to, int flags)',
  symlink: 'int symlink(const char *target, const char *path)',
  unlink: 'int unlink(const char *path)',
  rmdir: 'int rmdir(const char *path)',
  rename: 'int rename(const char *from, const char *to)',
  renameat2: 'int renameat2(int d1, const char *from, int d2, const char *to, uint32_t flags)',
  chmod: 'int chmod(const char *path, uint32_t mode)',
  fchmod: 'int fchmod(int fd, uint32_t mode)',
  chown: 'int chown(const char *path, uint32_t uid, uint32_t gid)',
  lchown: 'int lchown(const char *path, uint32_t uid, uint32_t gid)',
  truncate: 'int truncate(const char *path, int64_t size)',
  ftruncate: 'int ftruncate(int fd, int64_t size)',
  utimensat: 'int utimensat(int d, const char *path, const void *times, int flags)',
  access: 'int access(const char *path, int mode)',
  pread: 'int64_t pread(int fd, void *data, size_t length, int64_t offset)',
  pwrite: 'int64_t pwrite(int fd, const void *data, size_t length, int64_t offset)',
  write: 'int64_t write(int fd, const void *data, size_t length)',
  lseek: 'int64_t lseek(int fd, int64_t offset, int whence)',
  fsync: 'int fsync(int fd)',
  fdatasync: 'int fdatasync(int fd)',
  fallocate: 'int fallocate(int fd, int mode, int64_t offset, int64_t length)',
  copy_file_range: 'int64_t copy_file_range(int from, int64_t *a, int to, int64_t *b, size_t length, uint32_t flags)',
  llistxattr: 'int64_t llistxattr(const char *path, _Out_ uint8_t *list, size_t size)',
  lsetxattr: 'int lsetxattr(const char *path, const char *name, const void *value, size_t length, int flags)',
  lgetxattr: 'int64_t lgetxattr(const char *path, const char *name, void *value, size_t room)',
  lremovexattr: 'int lremovexattr(const char *path, const char *name)',
  flock: 'int flock(int fd, int operation)',
  umask: 'uint32_t umask(uint32_t mask)',
  mmap: 'int64_t mmap(int64_t at, size_t length, int protection, int flags, int fd, int64_t offset)',
  munmap: 'int munmap(int64_t at, size_t length)',
  msync: 'int msync(int64_t at, size_t length, int flags)',
  setfsuid: 'int setfsuid(uint32_t uid)',
  setfsgid: 'int setfsgid(uint32_t gid)',
  posix_fadvise: 'int posix_fadvise(int fd, int64_t offset, int64_t length, int advice)',
} as const;

export type SystemCallName = keyof typeof declarations;
export type SystemCalls = Readonly<Record<SystemCallName, (...args: unknown[]) => Result>> & {
  /** Runs it with the rights of an ordinary user on files; nothing of it may be asynchronous. */
  as<T>(uid: number, gid: number, run: () => T): T;
  copyFrom(address: number, length: number): Buffer;
  copyTo(address: number, data: Buffer): void;
};

/** koffi must be installed, as it is by npm ci. */
export function loadSystemCalls(): SystemCalls {
  const library = createRequire(import.meta.url)('koffi') as typeof koffi;
  const libc = library.load('libc.so.6');
  const call = (bound: Bound) => {
    return (...args: unknown[]): Result => {
      const result = Number(bound(...args));
      return result === -1 ? (errorNames.get(library.errno()) ?? `errno ${library.errno()}`) : result;
    };
  };
  const bound = Object.fromEntries(Object.entries(declarations).map(([name, text]) => [name, call(libc.func(text) as Bound)]));
  const calls = bound as Record<SystemCallName, (...args: unknown[]) => Result>;
  const copyOut = libc.func('void *memcpy(void *to, int64_t from, size_t length)') as (to: Buffer, from: number, length: number) => unknown;
  const copyIn = libc.func('void *memmove(int64_t to, const void *from, size_t length)') as (
    to: number,
    from: Buffer,
    length: number,
  ) => unknown;
  return {
    ...calls,
    open: (path, flags, mode = 0) => calls.open(path, flags, mode),
    as(uid, gid, run) {
      calls.setfsgid(gid);
      calls.setfsuid(uid);
      try {
        return run();
      } finally {
        calls.setfsuid(0);
        calls.setfsgid(0);
      }
    },
    copyFrom(address, length) {
      const bytes = Buffer.alloc(length);
      copyOut(bytes, address, length);
      return bytes;
    },
    copyTo: (address, data) => void copyIn(address, data, data.length),
  };
}

/** Two struct timespec; `now` and `omit` as utimensat(2) wants them. */
export function timesOf(...times: readonly ([sec: number, nsec: number] | 'now' | 'omit')[]): Buffer {
  const bytes = Buffer.alloc(32);
  times.forEach((time, i) => {
    const [sec, nsec] = time === 'now' ? [0, 0x3fffffff] : time === 'omit' ? [0, 0x3ffffffe] : time;
    bytes.writeBigInt64LE(BigInt(sec), i * 16);
    bytes.writeBigInt64LE(BigInt(nsec), i * 16 + 8);
  });
  return bytes;
}
