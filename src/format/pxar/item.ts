/**
 * Items: everything in a pxar stream is a 16-byte header (type, full size) and its content.
 * Types are 64-bit constants, held here as two halves. Unknown types are refused: there is no skipping.
 * Format: pxar, sections 1.1, 1.2, 1.5
 */
import { FormatError } from '../../errors.js';
import type { Decoded } from '../decoded.js';
import { readUint64, writeInt64 } from '../uint64.js';
import { writeU64, type U64 } from './u64.js';

export const itemHeaderBytes = 16;
export const goodbyeItemBytes = 24;

export const nameBytesMax = 4096;
export const preludeBytesMax = 1024 * 1024;
export const goodbyeEntriesMax = 4 * 1024 * 1024;
/** Directories within directories, the root included. */
export const directoryDepthMax = 4096;
const attributeBytesMax = 255 + 65_536;
const distanceBytes = 8;

export interface ItemKind extends U64 {
  readonly contentBytesMin: number;
  readonly contentBytesMax: number;
}

function kind(hi: number, lo: number, contentBytesMin: number, contentBytesMax = contentBytesMin): ItemKind {
  return { hi, lo, contentBytesMin, contentBytesMax };
}

export const itemKinds = {
  FORMAT_VERSION: kind(0x730f6c75, 0xdf16a40d, 8),
  ENTRY: kind(0xd5956474, 0xe588acef, 40),
  ENTRY_V1: kind(0x11da850a, 0x1c1cceff, 32),
  PRELUDE: kind(0xe309d79d, 0x9f7b771b, 0, preludeBytesMax),
  FILENAME: kind(0x16701121, 0x063917b3, 2, nameBytesMax + 1),
  SYMLINK: kind(0x27f971e7, 0xdbf5dc5f, 2, nameBytesMax + 1),
  DEVICE: kind(0x9fc9e906, 0x586d5ce9, 16),
  XATTR: kind(0x0dab0229, 0xb57dcd03, 2, attributeBytesMax),
  ACL_USER: kind(0x2ce8540a, 0x457d55b8, 16),
  ACL_GROUP: kind(0x136e3ece, 0xb04c03ab, 16),
  ACL_GROUP_OBJ: kind(0x10868031, 0xe9582876, 8),
  ACL_DEFAULT: kind(0xbbbb1341, 0x5a6896f5, 32),
  ACL_DEFAULT_USER: kind(0xc89357b4, 0x0532cd1f, 16),
  ACL_DEFAULT_GROUP: kind(0xf90a8a58, 0x16038ffe, 16),
  FCAPS: kind(0x2da9dd9d, 0xb5f7fb67, 0, attributeBytesMax),
  QUOTA_PROJID: kind(0xe07540e8, 0x2f7d1cbb, 8),
  HARDLINK: kind(0x51269c84, 0x22bd7275, distanceBytes + 2, distanceBytes + nameBytesMax + 1),
  PAYLOAD: kind(0x28147a1b, 0x0b7c1a25, 0, Number.MAX_SAFE_INTEGER - itemHeaderBytes),
  PAYLOAD_REF: kind(0x419d3d6b, 0xc4ba977e, 16),
  GOODBYE: kind(0x2fec4fa6, 0x42d5731d, goodbyeItemBytes, goodbyeItemBytes * (goodbyeEntriesMax + 1)),
  PAYLOAD_START_MARKER: kind(0x834c68c2, 0x194a4ed2, 0),
  PAYLOAD_TAIL_MARKER: kind(0x6c72b78b, 0x984c81b5, 0),
} as const satisfies Record<string, ItemKind>;

export type ItemType = keyof typeof itemKinds;

export interface ItemHeader {
  readonly type: ItemType;
  readonly contentBytes: number;
}

interface NamedKind extends ItemKind {
  readonly type: ItemType;
}

const kindsByLo = new Map<number, NamedKind>(
  Object.entries(itemKinds).map(([type, value]) => [value.lo, { type: type as ItemType, ...value }]),
);

export function decodeItemHeader(window: Buffer): Decoded<ItemHeader> {
  if (window.length < itemHeaderBytes) return { needBytes: itemHeaderBytes };
  return { value: itemHeaderAt(window, 0), bytes: itemHeaderBytes };
}

/** The header at offset `at` of `window`, which holds all 16 bytes of it; its content size is within the type's limits. */
export function itemHeaderAt(window: Buffer, at: number): ItemHeader {
  const lo = window.readUInt32LE(at);
  const hi = window.readUInt32LE(at + 4);
  const found = kindsByLo.get(lo);
  if (found?.hi !== hi) {
    const digits = hi.toString(16).padStart(8, '0') + lo.toString(16).padStart(8, '0');
    throw new FormatError('BAD_STRUCTURE', `0x${digits} is no pxar item type; the archive is damaged here`);
  }
  const contentBytes = readUint64(window, at + 8, `the size of a ${found.type} item`) - itemHeaderBytes;
  if (contentBytes < found.contentBytesMin || contentBytes > found.contentBytesMax) refuseSize(found, contentBytes);
  if (found.type === 'GOODBYE' && contentBytes % goodbyeItemBytes !== 0) refuseSize(found, contentBytes);
  return { type: found.type, contentBytes };
}

/** `contentBytes` must be within the limits of the type, as the reader checks it. */
export function encodeItemHeader(type: ItemType, contentBytes: number): Buffer {
  const header = Buffer.allocUnsafe(itemHeaderBytes);
  writeItemHeader(header, 0, type, contentBytes);
  return header;
}

/** As encodeItemHeader(), to offset `at` of a buffer; gives where the content goes. */
export function writeItemHeader(target: Buffer, at: number, type: ItemType, contentBytes: number): number {
  const kind = itemKinds[type];
  if (contentBytes < kind.contentBytesMin || contentBytes > kind.contentBytesMax) refuseSize({ type, ...kind }, contentBytes);
  writeU64(target, kind, at);
  writeInt64(target, itemHeaderBytes + contentBytes, at + 8);
  return at + itemHeaderBytes;
}

export function encodeItem(type: ItemType, content: Buffer): Buffer {
  const item = Buffer.allocUnsafe(itemHeaderBytes + content.length);
  content.copy(item, writeItemHeader(item, 0, type, content.length));
  return item;
}

function refuseSize({ type, contentBytesMin, contentBytesMax }: NamedKind, contentBytes: number): never {
  const code = contentBytes > contentBytesMax && contentBytesMin !== contentBytesMax ? 'LIMIT_EXCEEDED' : 'BAD_STRUCTURE';
  throw new FormatError(code, `a pxar ${type} item cannot have ${contentBytes} bytes of content`);
}
