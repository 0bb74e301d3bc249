/** The ioctl requests that ask for flags of an inode or set them. Protocol: linux/fuse.h; Linux fs.h and msdos_fs.h. */
import type { InodeFlags } from '../../vfs/file-system.js';
import type { InodeFlagChanges } from '../../vfs/writable-file-system.js';
import type { Request } from './request.js';

export const ioctlReplyBytes = 16;

const getFlags = 0x80086601;
const getFlags32 = 0x80046601;
const getExtendedAttributes = 0x801c581f;
const getFatAttributes = 0x80047210;
const setFlags = 0x40086602;
const setFlags32 = 0x40046602;
const setExtendedAttributes = 0x401c5820;

/** FS_XFLAG_HASATTR, which is only told. */
const hasAttributes = 0x8000_0000;

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

/** What a request sets, undefined if it is none that sets, `unknown` if it sets what no flag here stands for. */
export function parseFlagChanges(request: Request): InodeFlagChanges | 'unknown' | undefined {
  const command = request.uint32(12);
  const dataBytes = request.payloadBytes - 32;
  if ((command === setFlags || command === setFlags32) && dataBytes >= 4) {
    const flags = request.uint32(32);
    return { set: flags, clear: ~flags };
  }
  if (command !== setExtendedAttributes || dataBytes < 28) return undefined;
  const extended = request.uint32(32) & ~hasAttributes;
  const known = extendedFlags.reduce((bits, [, bit]) => bits | bit, 0);
  const extentSize = request.uint32(36);
  if ((extended & ~known) !== 0 || extentSize !== 0) return 'unknown';
  let set = 0;
  let clear = 0;
  for (const [flag, bit] of extendedFlags) {
    if ((extended & bit) !== 0) set |= flag;
    else clear |= flag;
  }
  return { set, clear, projectId: request.uint32(44) };
}
