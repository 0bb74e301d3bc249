/** What this driver wants of the kernel: profiles for a read-only tree and for a writable one. Protocol: linux/fuse.h. */
import { initFlag, type InitReply, type InitRequest } from './wire/init.js';

const major = 7;
const minorMin = 31;
const minorMax = 45;

/** Nothing is written to a read-only tree: the buffer for requests stays small. */
const maxWriteBytes = { readOnly: 61440, writable: 1024 * 1024 } as const;

/** Each read of the device must have room for the largest request: a write and its headers. */
export function requestBytesMax({ writable }: { writable: boolean }): number {
  return maxWriteBytes[writable ? 'writable' : 'readOnly'] + 4096;
}

const wanted =
  initFlag.ASYNC_READ |
  initFlag.BIG_WRITES |
  initFlag.DO_READDIRPLUS |
  initFlag.ASYNC_DIO |
  initFlag.PARALLEL_DIROPS |
  initFlag.ABORT_ERROR |
  initFlag.MAX_PAGES |
  initFlag.CACHE_SYMLINKS |
  initFlag.EXPLICIT_INVAL_DATA |
  initFlag.INIT_EXT;

/**
 * Programs create with their own umask, which default ACLs override, and the file system takes privileges away by itself when it is
 * told to (else the kernel asks for the capability before each write). No POSIX_LOCKS and FLOCK_LOCKS: the kernel keeps locks
 * itself, as nobody but this mount has the files.
 * Not WRITEBACK_CACHE: sizes and times would be the kernel's, and a write would fail at the close only. It gathers small writes
 * (100,000 of 4 KiB took 0.5 s instead of 1.8), but large ones, which are what is copied here, wait in it (2 GiB in writes of 4 MiB:
 * 2.1 s instead of 1.2).
 */
const wantedForWriting = initFlag.ATOMIC_O_TRUNC | initFlag.DONT_MASK | initFlag.HANDLE_KILLPRIV_V2 | initFlag.SETXATTR_EXT;

export type Negotiation =
  | { readonly kind: 'accepted'; readonly reply: InitReply }
  /** A newer major: the kernel asks again when it is told ours. */
  | { readonly kind: 'again'; readonly reply: InitReply }
  | { readonly kind: 'refused'; readonly reason: string };

export function negotiate(request: InitRequest, { posixAcl, writable }: { posixAcl: boolean; writable: boolean }): Negotiation {
  const version = `${request.major}.${request.minor}`;
  if (request.major < major || (request.major === major && request.minor < minorMin)) {
    const reason = `the kernel speaks FUSE ${version}; 7.31 (Linux 5.4) is the oldest version that is supported`;
    return { kind: 'refused', reason };
  }
  const reply: InitReply = {
    major,
    minor: Math.min(request.minor, minorMax),
    maxReadahead: 16 * 1024 * 1024,
    flags: request.flags & (wanted | (posixAcl ? initFlag.POSIX_ACL : 0) | (writable ? wantedForWriting : 0)),
    maxBackground: 64,
    congestionThreshold: 48,
    maxWrite: maxWriteBytes[writable ? 'writable' : 'readOnly'],
    timeGranularity: 1,
    maxPages: 256,
  };
  return { kind: request.major > major ? 'again' : 'accepted', reply };
}
