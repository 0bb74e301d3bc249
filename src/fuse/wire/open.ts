/** open_out. Protocol: linux/fuse.h. */
import { setInt64 } from './integers.js';

export const openBytes = 16;

export const openFlag = {
  DIRECT_IO: 1 << 0,
  KEEP_CACHE: 1 << 1,
  CACHE_DIR: 1 << 3,
  NOFLUSH: 1 << 5,
} as const;

export function writeOpen(view: DataView, handle: number, flags: number, at = 0): void {
  setInt64(view, at, handle);
  view.setUint32(at + 8, flags, true);
  view.setUint32(at + 12, 0, true);
}
