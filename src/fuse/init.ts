/** What this driver wants of the kernel: the profile for a read-only tree. Protocol: linux/fuse.h. */
import { initFlag, type InitReply, type InitRequest } from './wire/init.js';

const major = 7;
const minorMin = 31;
const minorMax = 45;

const maxWriteBytes = 61440;
/** Each read of the device must have room for the largest request: a write and its headers. */
export const requestBytesMax = maxWriteBytes + 4096;

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

export type Negotiation =
  | { readonly kind: 'accepted'; readonly reply: InitReply }
  /** A newer major: the kernel asks again when it is told ours. */
  | { readonly kind: 'again'; readonly reply: InitReply }
  | { readonly kind: 'refused'; readonly reason: string };

export function negotiate(request: InitRequest, options: { posixAcl: boolean }): Negotiation {
  const version = `${request.major}.${request.minor}`;
  if (request.major < major || (request.major === major && request.minor < minorMin)) {
    const reason = `the kernel speaks FUSE ${version}; 7.31 (Linux 5.4) is the oldest version that is supported`;
    return { kind: 'refused', reason };
  }
  const reply: InitReply = {
    major,
    minor: Math.min(request.minor, minorMax),
    maxReadahead: 16 * 1024 * 1024,
    flags: request.flags & (options.posixAcl ? wanted | initFlag.POSIX_ACL : wanted),
    maxBackground: 64,
    congestionThreshold: 48,
    maxWrite: maxWriteBytes,
    timeGranularity: 1,
    maxPages: 256,
  };
  return { kind: request.major > major ? 'again' : 'accepted', reply };
}
