/**
 * System calls that Node does not offer, bound once through koffi: 64 bits, little-endian, glibc 2.30 or musl. Their errors have the form
 * that Node's own have. Names are bytes; nothing is decoded.
 */
import { constants } from 'node:os';
import { getSystemErrorMap } from 'node:util';
import { FileError } from '../errors.js';
import { loadKoffi } from './ffi.js';

type Call<Arguments extends readonly unknown[]> = (...args: Arguments) => number;
type Memory = Buffer;

/** Results are negative on failure; those of 64 bits may be bigint where they are no safe integers. */
export interface SystemCalls {
  readonly errno: () => number;
  readonly statx: Call<[directory: number, name: Memory, flags: number, mask: number, result: Memory]>;
  readonly openat: Call<[directory: number, name: Memory, flags: number, mode: number]>;
  readonly readlinkat: Call<[directory: number, name: Memory, target: Memory, room: number]>;
  readonly getdents64: Call<[fd: number, entries: Memory, room: number]>;
  readonly mkdirat: Call<[directory: number, name: Memory, mode: number]>;
  readonly mknodat: Call<[directory: number, name: Memory, mode: number, device: number]>;
  readonly linkat: Call<[from: number, name: Memory, to: number, newName: Memory, flags: number]>;
  readonly symlinkat: Call<[target: Memory, directory: number, name: Memory]>;
  readonly unlinkat: Call<[directory: number, name: Memory, flags: number]>;
  readonly renameat2: Call<[from: number, name: Memory, to: number, newName: Memory, flags: number]>;
  readonly fchownat: Call<[directory: number, name: Memory, uid: number, gid: number, flags: number]>;
  readonly utimensat: Call<[directory: number, name: Memory, times: Memory, flags: number]>;
  readonly futimens: Call<[fd: number, times: Memory]>;
  readonly flistxattr: Call<[fd: number, names: Memory, room: number]>;
  readonly fgetxattr: Call<[fd: number, name: Memory, value: Memory, room: number]>;
  readonly fsetxattr: Call<[fd: number, name: Memory, value: Memory, length: number, flags: number]>;
  /** Of what a path leads to, and (`l`) of a symbolic link itself. */
  readonly listxattr: Call<[path: Memory, names: Memory, room: number]>;
  readonly llistxattr: Call<[path: Memory, names: Memory, room: number]>;
  readonly getxattr: Call<[path: Memory, name: Memory, value: Memory, room: number]>;
  readonly lgetxattr: Call<[path: Memory, name: Memory, value: Memory, room: number]>;
  readonly setxattr: Call<[path: Memory, name: Memory, value: Memory, length: number, flags: number]>;
  readonly lsetxattr: Call<[path: Memory, name: Memory, value: Memory, length: number, flags: number]>;
  readonly removexattr: Call<[path: Memory, name: Memory]>;
  readonly lremovexattr: Call<[path: Memory, name: Memory]>;
  readonly ioctl: Call<[fd: number, request: number, argument: Memory]>;
  readonly flock: Call<[fd: number, operation: number]>;
  readonly fcntl: Call<[fd: number, command: number, argument: Memory]>;
  readonly lseek: Call<[fd: number, offset: number, whence: number]>;
  readonly fallocate: Call<[fd: number, mode: number, offset: number, length: number]>;
  readonly copy_file_range: Call<[from: number, fromOffset: Memory, to: number, toOffset: Memory, length: number, flags: number]>;
  readonly syncfs: Call<[fd: number]>;
}

/** Longest path that the kernel takes, without the NUL. */
export const pathBytesMax = 4095;

type Bind = <Arguments extends readonly unknown[]>(declaration: string) => Call<Arguments>;

let bound: SystemCalls | undefined;

/** Throws NOT_SUPPORTED where koffi is not installed or a call is missing. */
export function systemCalls(): SystemCalls {
  bound ??= bind();
  return bound;
}

function bind(): SystemCalls {
  const koffi = loadKoffi();
  const hint = 'it needs the optional npm package koffi (npm install koffi) on a 64-bit Linux with glibc 2.30 or newer';
  if (koffi === undefined) throw new FileError('NOT_SUPPORTED', `backing up and restoring do not work here: ${hint}`);
  const libc = koffi.load(null);
  // Results of type int64_t come as numbers where they are safe.
  const call: Bind = (declaration) => libc.func(declaration);
  try {
    return {
      errno: () => koffi.errno(),
      statx: call('int statx(int directory, void *name, int flags, uint32_t mask, void *result)'),
      openat: call('int openat(int directory, void *name, int flags, uint32_t mode)'),
      readlinkat: call('int64_t readlinkat(int directory, void *name, void *target, size_t room)'),
      getdents64: call('int64_t getdents64(int fd, void *entries, size_t room)'),
      mkdirat: call('int mkdirat(int directory, void *name, uint32_t mode)'),
      mknodat: bindMknodat(call),
      linkat: call('int linkat(int from, void *name, int to, void *newName, int flags)'),
      symlinkat: call('int symlinkat(void *target, int directory, void *name)'),
      unlinkat: call('int unlinkat(int directory, void *name, int flags)'),
      renameat2: call('int renameat2(int from, void *name, int to, void *newName, uint32_t flags)'),
      fchownat: call('int fchownat(int directory, void *name, uint32_t uid, uint32_t gid, int flags)'),
      utimensat: call('int utimensat(int directory, void *name, void *times, int flags)'),
      futimens: call('int futimens(int fd, void *times)'),
      flistxattr: call('int64_t flistxattr(int fd, void *names, size_t room)'),
      fgetxattr: call('int64_t fgetxattr(int fd, void *name, void *value, size_t room)'),
      fsetxattr: call('int fsetxattr(int fd, void *name, void *value, size_t length, int flags)'),
      listxattr: call('int64_t listxattr(void *path, void *names, size_t room)'),
      llistxattr: call('int64_t llistxattr(void *path, void *names, size_t room)'),
      getxattr: call('int64_t getxattr(void *path, void *name, void *value, size_t room)'),
      lgetxattr: call('int64_t lgetxattr(void *path, void *name, void *value, size_t room)'),
      setxattr: call('int setxattr(void *path, void *name, void *value, size_t length, int flags)'),
      lsetxattr: call('int lsetxattr(void *path, void *name, void *value, size_t length, int flags)'),
      removexattr: call('int removexattr(void *path, void *name)'),
      lremovexattr: call('int lremovexattr(void *path, void *name)'),
      ioctl: call('int ioctl(int fd, unsigned long request, void *argument)'),
      flock: call('int flock(int fd, int operation)'),
      fcntl: call('int fcntl(int fd, int command, void *argument)'),
      lseek: call('int64_t lseek(int fd, int64_t offset, int whence)'),
      fallocate: call('int fallocate(int fd, int mode, int64_t offset, int64_t length)'),
      copy_file_range: call(
        'int64_t copy_file_range(int from, void *fromOffset, int to, void *toOffset, size_t length, uint32_t flags)',
      ),
      syncfs: call('int syncfs(int fd)'),
    };
  } catch (cause) {
    throw new FileError('NOT_SUPPORTED', `backing up and restoring do not work here: ${hint}`, { cause });
  }
}

/** Before glibc 2.33 the function has another name and wants a pointer to the device number. */
function bindMknodat(call: Bind): SystemCalls['mknodat'] {
  try {
    return call('int mknodat(int directory, void *name, uint32_t mode, uint64_t device)');
  } catch {
    const old: Call<[version: number, directory: number, name: Memory, mode: number, device: Memory]> = call(
      'int __xmknodat(int version, int directory, void *name, uint32_t mode, void *device)',
    );
    const number = Buffer.alloc(8);
    return (directory, name, mode, device) => {
      number.writeBigUInt64LE(BigInt(device));
      return old(0, directory, name, mode, number);
    };
  }
}

const messages = getSystemErrorMap();

/** `errno` is positive, as in errno(3). */
export function systemError(errno: number, syscall: string, name?: Buffer): NodeJS.ErrnoException {
  const [code, text] = messages.get(-errno) ?? [`E${errno}`, 'unknown error'];
  const path = name === undefined || name.length === 0 ? undefined : name.toString();
  const message = `${code}: ${text}, ${syscall}${path === undefined ? '' : ` '${path}'`}`;
  return Object.assign(new Error(message), { code, errno: -errno, syscall, ...(path !== undefined && { path }) });
}

/** Gives `result`, or throws the error of the call that just failed. Must follow the call at once. */
export function check(result: number, syscall: string, name?: Buffer): number {
  if (result < 0) throw systemError(systemCalls().errno(), syscall, name);
  return Number(result);
}

const room = { first: Buffer.alloc(pathBytesMax + 1), second: Buffer.alloc(pathBytesMax + 1) } as const;

/** The name with its NUL, in memory that is valid until the next call of this. A call with two names needs both places. */
export function terminated(name: Buffer, place: keyof typeof room = 'first'): Buffer {
  if (name.length > pathBytesMax) throw systemError(constants.errno.ENAMETOOLONG, 'open', name);
  if (name.includes(0)) throw systemError(constants.errno.EINVAL, 'open', name);
  const bytes = room[place];
  name.copy(bytes);
  bytes[name.length] = 0;
  return bytes;
}
