/** The ioctl requests that ask for flags of an inode. Protocol: linux/fuse.h; Linux fs.h and msdos_fs.h. */
import type { InodeFlags } from '../../vfs/file-system.js';

export const ioctlReplyBytes = 16;

const getFlags = 0x80086601;
const getFlags32 = 0x80046601;
const getExtendedAttributes = 0x801c581f;
const getFatAttributes = 0x80047210;

/** Pairs of an FS_*_FL bit and the FS_XFLAG_* bit that says the same. */
const extendedFlags = [
  [0x8, 0x20],
  [0x10, 0x8],
  [0x20, 0x10],
  [0x40, 0x80],
  [0x80, 0x40],
  [0x0200_0000, 0x8000],
  [0x2000_0000, 0x200],
] as const;

export function extendedFlagsOf(flags: number): number {
  let extended = 0;
  for (const [flag, bit] of extendedFlags) if ((flags & flag) !== 0) extended |= bit;
  return extended;
}

function integer(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value >>> 0);
  return bytes;
}

/** What each request returns. */
const results = new Map<number, (flags: InodeFlags) => Buffer>([
  [getFlags, ({ flags }) => integer(flags)],
  [getFlags32, ({ flags }) => integer(flags)],
  [getFatAttributes, ({ fatAttributes }) => integer(fatAttributes)],
  [
    getExtendedAttributes,
    ({ flags, projectId }) => {
      const bytes = Buffer.alloc(28);
      bytes.writeUInt32LE(extendedFlagsOf(flags), 0);
      bytes.writeUInt32LE(projectId >>> 0, 12);
      return bytes;
    },
  ],
]);

/** The encoder of what `command` returns, or undefined if it is none of the known requests. */
export function ioctlResult(command: number): ((flags: InodeFlags) => Buffer) | undefined {
  return results.get(command);
}
