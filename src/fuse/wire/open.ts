/** open_out. Protocol: linux/fuse.h. */
import { setInt64 } from './integers.js';

export const openBytes = 16;

export const openFlag = {
  DIRECT_IO: 1 << 0,
  KEEP_CACHE: 1 << 1,
  CACHE_DIR: 1 << 3,
} as const;

export function writeOpen(view: DataView, handle: number, flags: number): void {
  setInt64(view, 0, handle);
  view.setUint32(8, flags, true);
  view.setUint32(12, 0, true);
}
