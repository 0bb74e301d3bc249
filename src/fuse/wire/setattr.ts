/** setattr_in: 88 bytes. Protocol: linux/fuse.h. */
import type { Timestamp } from '../../vfs/file-system.js';
import type { AttributeChanges } from '../../vfs/writable-file-system.js';
import type { Request } from './request.js';

export const setattrBytes = 88;

const valid = {
  mode: 1 << 0,
  uid: 1 << 1,
  gid: 1 << 2,
  size: 1 << 3,
  atime: 1 << 4,
  mtime: 1 << 5,
  handle: 1 << 6,
  atimeNow: 1 << 7,
  mtimeNow: 1 << 8,
  ctime: 1 << 10,
  killPrivileges: 1 << 11,
} as const;

/** A size may be beyond 2^53 - 1, and inexact then. */
export function parseAttributeChanges(request: Request): AttributeChanges {
  const bits = request.uint32(0);
  const has = (bit: number): boolean => (bits & bit) !== 0;
  const time = (sec: number, nsec: number): Timestamp => ({ sec: request.int64(sec), nsec: request.uint32(nsec) });
  return {
    ...(has(valid.mode) ? { mode: request.uint32(68) & 0o7777 } : {}),
    ...(has(valid.uid) ? { uid: request.uint32(76) } : {}),
    ...(has(valid.gid) ? { gid: request.uint32(80) } : {}),
    ...(has(valid.size) ? { size: request.uint64(16) } : {}),
    ...(has(valid.atime) ? { atime: has(valid.atimeNow) ? 'now' : time(32, 56) } : {}),
    ...(has(valid.mtime) ? { mtime: has(valid.mtimeNow) ? 'now' : time(40, 60) } : {}),
    ...(has(valid.ctime) ? { ctime: time(48, 64) } : {}),
    killPrivileges: has(valid.killPrivileges),
  };
}

/** The open file that the program named, if it named one. */
export function handleOfChanges(request: Request): number | undefined {
  return (request.uint32(0) & valid.handle) !== 0 ? request.uint64(8) : undefined;
}
