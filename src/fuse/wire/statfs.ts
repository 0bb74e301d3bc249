/** kstatfs: 80 bytes. Protocol: linux/fuse.h. */
import type { FileSystemStatistics } from '../../vfs/file-system.js';
import { setInt64 } from './integers.js';

export const statfsBytes = 80;

export function writeStatfs(bytes: Uint8Array, view: DataView, statistics: FileSystemStatistics): void {
  bytes.fill(0, 0, statfsBytes);
  setInt64(view, 0, statistics.blocks);
  setInt64(view, 8, statistics.blocksFree);
  setInt64(view, 16, statistics.blocksAvailable ?? statistics.blocksFree);
  setInt64(view, 24, statistics.files);
  setInt64(view, 32, statistics.filesFree ?? 0);
  view.setUint32(40, statistics.blockSize, true);
  view.setUint32(44, statistics.nameLengthMax, true);
  view.setUint32(48, statistics.blockSize, true);
}
