/** The INIT handshake. Protocol: linux/fuse.h. */
import type { Request } from './request.js';

export const initReplyBytes = 64;

/** Bits 0..31 go into `flags`, bits 32..63 into `flags2`. */
export const initFlag = {
  ASYNC_READ: 1 << 0,
  ATOMIC_O_TRUNC: 1 << 3,
  BIG_WRITES: 1 << 5,
  DONT_MASK: 1 << 6,
  DO_READDIRPLUS: 1 << 13,
  ASYNC_DIO: 1 << 15,
  PARALLEL_DIROPS: 1 << 18,
  POSIX_ACL: 1 << 20,
  ABORT_ERROR: 1 << 21,
  MAX_PAGES: 1 << 22,
  CACHE_SYMLINKS: 1 << 23,
  EXPLICIT_INVAL_DATA: 1 << 25,
  HANDLE_KILLPRIV_V2: 1 << 28,
  SETXATTR_EXT: 1 << 29,
  INIT_EXT: 1 << 30,
} as const;

export interface InitRequest {
  readonly major: number;
  readonly minor: number;
  readonly flags: number;
}

export interface InitReply {
  readonly major: number;
  readonly minor: number;
  readonly maxReadahead: number;
  readonly flags: number;
  readonly maxBackground: number;
  readonly congestionThreshold: number;
  readonly maxWrite: number;
  readonly timeGranularity: number;
  readonly maxPages: number;
}

/** Kernels before 7.36 send 16 bytes of payload, newer ones 64. */
export function parseInit(request: Request): InitRequest {
  return { major: request.uint32(0), minor: request.uint32(4), flags: request.uint32(12) };
}

export function writeInitReply(bytes: Uint8Array, view: DataView, reply: InitReply): void {
  bytes.fill(0, 0, initReplyBytes);
  view.setUint32(0, reply.major, true);
  view.setUint32(4, reply.minor, true);
  view.setUint32(8, reply.maxReadahead, true);
  view.setUint32(12, reply.flags, true);
  view.setUint16(16, reply.maxBackground, true);
  view.setUint16(18, reply.congestionThreshold, true);
  view.setUint32(20, reply.maxWrite, true);
  view.setUint32(24, reply.timeGranularity, true);
  view.setUint16(28, reply.maxPages, true);
}
