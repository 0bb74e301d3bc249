/**
 * Decoders of what stands in front of an archive's root, of a name, and of an entry. Pure and synchronous, see
 * ../decoded.ts; buffers in the results are copies, so that the window's memory can be reused.
 * Format: pxar, sections 1.3 to 1.5
 */
import { FormatError } from '../../errors.js';
import type { Decoded, Incomplete } from '../decoded.js';
import { readUint64 } from '../uint64.js';
import { AttributeReader } from './attributes.js';
import { checkKind, fileTypeMask, fileTypes, type PxarContent, type PxarEntry, type PxarMetadata } from './entry.js';
import { itemHeaderAt, itemHeaderBytes, type ItemType } from './item.js';
import { checkName, checkRelativePath } from './name.js';
import { decodeStat } from './stat.js';
import { readU32OfU64 } from './u64.js';

/** All items of one entry together, without content of a file. */
export const entryBytesMax = 16 * 1024 * 1024;

const slash = 0x2f;

export interface Preamble {
  readonly version: 1 | 2;
  readonly prelude: Buffer | undefined;
}

/** What is in front of the root's ENTRY, at position 0: nothing in v1 (0 bytes taken). */
export function decodePreamble(window: Buffer): Decoded<Preamble> {
  if (window.length < itemHeaderBytes) return { needBytes: itemHeaderBytes };
  const first = itemHeaderAt(window, 0);
  if (first.type === 'ENTRY' || first.type === 'ENTRY_V1') return { value: { version: 1, prelude: undefined }, bytes: 0 };
  if (first.type !== 'FORMAT_VERSION') {
    throw new FormatError('BAD_STRUCTURE', `a pxar archive cannot begin with a ${first.type} item`);
  }
  const versionEnd = itemHeaderBytes + first.contentBytes;
  if (window.length < versionEnd) return { needBytes: versionEnd };
  const version = readUint64(window, itemHeaderBytes, 'a format version');
  if (version !== 1 && version !== 2) {
    throw new FormatError('UNSUPPORTED_VERSION', `this is a pxar archive of version ${version}; versions 1 and 2 can be read`);
  }
  const preludeStart = versionEnd + itemHeaderBytes;
  if (window.length < preludeStart) return { needBytes: preludeStart };
  const second = itemHeaderAt(window, versionEnd);
  if (second.type !== 'PRELUDE') return { value: { version, prelude: undefined }, bytes: versionEnd };
  if (version === 1) throw new FormatError('BAD_STRUCTURE', 'a pxar archive of version 1 cannot have a PRELUDE item');
  const preludeEnd = preludeStart + second.contentBytes;
  if (window.length < preludeEnd) return { needBytes: preludeEnd };
  return { value: { version, prelude: Buffer.from(window.subarray(preludeStart, preludeEnd)) }, bytes: preludeEnd };
}

/** A FILENAME item. */
export function decodeName(window: Buffer): Decoded<Buffer> {
  if (window.length < itemHeaderBytes) return { needBytes: itemHeaderBytes };
  const { type, contentBytes } = itemHeaderAt(window, 0);
  if (type !== 'FILENAME') throw new FormatError('BAD_STRUCTURE', `a ${type} item stands where a FILENAME should be`);
  const end = itemHeaderBytes + contentBytes;
  if (window.length < end) return { needBytes: end };
  const name = terminated(window, itemHeaderBytes, end, type);
  checkName(name);
  return { value: name, bytes: end };
}

export interface EntryWindow {
  /** true: nothing follows the window, so an entry that is cut off is an error and a fifo or socket may end with it */
  readonly atStreamEnd: boolean;
}

/**
 * An entry, beginning after its FILENAME (the root: at its ENTRY). The bytes taken end before the first child or the GOODBYE
 * of a directory, after a PAYLOAD header (the data follows), and after the last item of everything else.
 */
export function decodeEntry(window: Buffer, { atStreamEnd }: EntryWindow): Decoded<PxarEntry> {
  if (window.length < itemHeaderBytes) return incomplete(itemHeaderBytes, atStreamEnd);
  const first = itemHeaderAt(window, 0);
  if (first.type !== 'ENTRY' && first.type !== 'ENTRY_V1' && first.type !== 'HARDLINK') {
    throw new FormatError('BAD_STRUCTURE', `a ${first.type} item stands where an ENTRY should be`);
  }
  let at = itemHeaderBytes + first.contentBytes;
  if (window.length < at) return incomplete(at, atStreamEnd);
  if (first.type === 'HARDLINK') return { value: decodeHardlink(window, at), bytes: at };
  const stat = decodeStat(first.type, window, itemHeaderBytes);
  const attributes = new AttributeReader();
  for (;;) {
    if (atStreamEnd && at === window.length && isFifoOrSocket(stat.mode)) {
      return { value: plainEntry(attributes.finish(stat)), bytes: at };
    }
    const start = at + itemHeaderBytes;
    if (window.length < start) return incomplete(start, atStreamEnd);
    const { type, contentBytes } = itemHeaderAt(window, at);
    if (type === 'FILENAME' || type === 'GOODBYE') return { value: plainEntry(attributes.finish(stat)), bytes: at };
    if (type === 'PAYLOAD') {
      return { value: fileEntry(attributes.finish(stat), { where: 'inline', size: contentBytes }), bytes: start };
    }
    const end = start + contentBytes;
    if (end > entryBytesMax)
      throw new FormatError('LIMIT_EXCEEDED', `an entry has more than ${entryBytesMax} bytes of attributes`);
    if (window.length < end) return incomplete(end, atStreamEnd);
    if (!attributes.add(type, window, start, end)) {
      return { value: bodyEntry(type, attributes.finish(stat), window, start, end), bytes: end };
    }
    at = end;
  }
}

function incomplete(needBytes: number, atStreamEnd: boolean): Incomplete {
  if (atStreamEnd) throw new FormatError('TRUNCATED', 'the archive ends in the middle of an entry');
  return { needBytes };
}

/** An entry that no item of its own ends. */
function plainEntry(metadata: PxarMetadata): PxarEntry {
  const type = metadata.mode & fileTypeMask;
  if (type === fileTypes.fifo) return { kind: 'fifo', metadata };
  if (type === fileTypes.socket) return { kind: 'socket', metadata };
  checkKind('directory', metadata.mode);
  return { kind: 'directory', metadata };
}

function isFifoOrSocket(mode: number): boolean {
  const type = mode & fileTypeMask;
  return type === fileTypes.fifo || type === fileTypes.socket;
}

function fileEntry(metadata: PxarMetadata, content: PxarContent): PxarEntry {
  checkKind('file', metadata.mode);
  return { kind: 'file', metadata, content };
}

function bodyEntry(type: ItemType, metadata: PxarMetadata, window: Buffer, start: number, end: number): PxarEntry {
  switch (type) {
    case 'PAYLOAD_REF': {
      const offset = readUint64(window, start, 'the offset of a payload');
      return fileEntry(metadata, { where: 'payload', offset, size: readUint64(window, start + 8, 'the size of a payload') });
    }
    case 'SYMLINK':
      checkKind('symlink', metadata.mode);
      return { kind: 'symlink', metadata, target: terminated(window, start, end, type) };
    case 'DEVICE': {
      checkKind('device', metadata.mode);
      const major = readU32OfU64(window, start, 'a device number');
      return { kind: 'device', metadata, device: { major, minor: readU32OfU64(window, start + 8, 'a device number') } };
    }
    default:
      throw new FormatError('BAD_STRUCTURE', `a ${type} item cannot be part of an entry`);
  }
}

function decodeHardlink(window: Buffer, end: number): PxarEntry {
  const distance = readUint64(window, itemHeaderBytes, 'the distance of a hard link');
  if (distance === 0) throw new FormatError('BAD_STRUCTURE', 'a hard link points at itself');
  const path = terminated(window, itemHeaderBytes + 8, end, 'HARDLINK');
  const target = path[0] === slash ? path.subarray(1) : path;
  checkRelativePath(target);
  return { kind: 'hardlink', metadata: undefined, hardlink: { distance, target } };
}

/** A copy of the bytes before the zero byte that must be the last one, and the only one. */
function terminated(window: Buffer, start: number, end: number, type: ItemType): Buffer {
  const text = Buffer.from(window.subarray(start, end - 1));
  if (window[end - 1] !== 0 || text.length === 0 || text.includes(0)) {
    throw new FormatError('BAD_STRUCTURE', `a ${type} item is empty, has a zero byte inside, or none at its end`);
  }
  return text;
}
