/**
 * The bits of an entry's flags: each stands for a chattr flag of Linux (FS_*_FL) or an attribute of FAT.
 * Bits that are none of these are never stored and mean nothing. Format: pxar, section 1.6
 */
import type { U64 } from './u64.js';

type BitPair = readonly [pxar: number, system: number];

const chattrBits: readonly BitPair[] = [
  [0x1_0000, 0x20], // append
  [0x2_0000, 0x80], // noatime
  [0x4_0000, 0x04], // compr
  [0x8_0000, 0x80_0000], // nocow
  [0x10_0000, 0x40], // nodump
  [0x20_0000, 0x1_0000], // dirsync
  [0x40_0000, 0x10], // immutable
  [0x80_0000, 0x08], // sync
  [0x100_0000, 0x400], // nocomp
  [0x200_0000, 0x2000_0000], // projinherit
];

const fatBits: readonly BitPair[] = [
  [0x2000, 0x02], // hidden
  [0x4000, 0x04], // system
  [0x8000, 0x20], // archive
];

/** FS_*_FL as FS_IOC_GETFLAGS gives them. */
export function chattrFlags(flags: U64): number {
  return chattrBits.reduce((sum, [pxar, system]) => ((flags.lo & pxar) === 0 ? sum : sum | system), 0);
}

/** Attributes as FAT_IOCTL_GET_ATTRIBUTES gives them. */
export function fatAttributes(flags: U64): number {
  return fatBits.reduce((sum, [pxar, system]) => ((flags.lo & pxar) === 0 ? sum : sum | system), 0);
}

/** The flags of an entry whose file has these FS_*_FL and FAT attributes; bits without a counterpart are dropped. */
export function entryFlags(chattr: number, fat = 0): U64 {
  const chattrPart = chattrBits.reduce((sum, [pxar, system]) => ((chattr & system) === 0 ? sum : sum | pxar), 0);
  const fatPart = fatBits.reduce((sum, [pxar, system]) => ((fat & system) === 0 ? sum : sum | pxar), 0);
  return { hi: 0, lo: chattrPart | fatPart };
}
