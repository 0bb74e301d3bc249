/**
 * What the file `map` of a staged image is made of: 4096 bytes with the header, twice, then a record of 128 bytes for each chunk. A record
 * of zeros is a hole. All have a CRC-32, that of a record begun with its place, so that what a power cut left half is not taken for whole.
 */
import { crc32 } from 'node:zlib';
import { FormatError } from '../../errors.js';
import { digestBytes, indexBytesMax, indexHeaderBytes } from '../../format/chunk-index.js';
import { readUint64, writeInt64 } from '../../format/uint64.js';
import type { ByteRange } from './image-ranges.js';

export const imageChunkBytes = 4 << 20;
/** Most that a fixed index can hold. */
export const imageBytesMax = Math.floor((indexBytesMax - indexHeaderBytes) / digestBytes) * imageChunkBytes;

/** A content in the datastore, 1 byte to a chunk. Zeros follow if it is shorter. */
export interface StoredContent {
  readonly digest: Buffer;
  readonly length: number;
}

/** `spooled`: `ranges` lie in the file `data`, the rest is as `base` has it, or zeros. `lost`: nothing is known. */
export type ChunkRecord =
  | { readonly kind: 'hole' }
  | ({ readonly kind: 'stored' } & StoredContent)
  | { readonly kind: 'spooled'; readonly base: StoredContent | undefined; readonly ranges: readonly ByteRange[] }
  | { readonly kind: 'lost' };

export const recordBytes = 128;
export const recordRangesMax = 10;

/** Bytes of a record: kind, number of ranges, 2 zeros, CRC, length of the content (0: none), its digest, then start and end of each range. */
const crcOffset = 4;
const lengthOffset = 8;
const digestOffset = 12;
const rangesOffset = 44;
const storedKind = 1;
const spooledKind = 2;
const nothing = Buffer.alloc(recordBytes);

/** Into 128 zero bytes; what is lost cannot be written. */
export function encodeRecord(record: Exclude<ChunkRecord, { kind: 'lost' }>, chunk: number, into: Buffer): void {
  if (record.kind === 'hole') return;
  const content = record.kind === 'stored' ? record : record.base;
  into[0] = record.kind === 'stored' ? storedKind : spooledKind;
  if (content !== undefined) {
    into.writeUInt32LE(content.length, lengthOffset);
    content.digest.copy(into, digestOffset);
  }
  if (record.kind === 'spooled') encodeRanges(record.ranges, into);
  into.writeUInt32LE(recordCrc(into, chunk), crcOffset);
}

export function decodeRecord(bytes: Buffer, chunk: number): ChunkRecord {
  if (bytes.equals(nothing)) return { kind: 'hole' };
  if (bytes.readUInt32LE(crcOffset) !== recordCrc(bytes, chunk)) return { kind: 'lost' };
  const length = bytes.readUInt32LE(lengthOffset);
  if (length > imageChunkBytes) return { kind: 'lost' };
  const content = length === 0 ? undefined : { digest: Buffer.from(bytes.subarray(digestOffset, digestOffset + digestBytes)), length };
  if (bytes[0] === storedKind && content !== undefined) return { kind: 'stored', ...content };
  const ranges = decodeRanges(bytes);
  return bytes[0] === spooledKind && ranges !== undefined ? { kind: 'spooled', base: content, ranges } : { kind: 'lost' };
}

function encodeRanges(ranges: readonly ByteRange[], into: Buffer): void {
  if (ranges.length > recordRangesMax) throw new RangeError(`a record has at most ${recordRangesMax} ranges, not ${ranges.length}`);
  into[1] = ranges.length;
  for (const [i, { start, end }] of ranges.entries()) {
    into.writeUInt32LE(start, rangesOffset + i * 8);
    into.writeUInt32LE(end, rangesOffset + i * 8 + 4);
  }
}

/** Undefined unless they are in order and apart. */
function decodeRanges(bytes: Buffer): ByteRange[] | undefined {
  const ranges: ByteRange[] = [];
  const count = bytes[1] ?? 0;
  if (count === 0 || count > recordRangesMax) return undefined;
  for (let i = 0, last = -1; i < count; i++) {
    const start = bytes.readUInt32LE(rangesOffset + i * 8);
    const end = bytes.readUInt32LE(rangesOffset + i * 8 + 4);
    if (start <= last || end <= start || end > imageChunkBytes) return undefined;
    ranges.push({ start, end });
    last = end;
  }
  return ranges;
}

function recordCrc(record: Buffer, chunk: number): number {
  return crc32(record.subarray(lengthOffset), crc32(record.subarray(0, crcOffset), chunk));
}

export const headerBytes = 4096;
const slotBytes = 2048;
const magic = Buffer.from('pbsfsIMG');
const version = 1;
/** Bytes of a slot: magic, version, bytes of a chunk, number of the write, bytes of the image, CRC. */
const slotFieldsBytes = 32;

export interface MapHeader {
  /** Counts the writes; their slots alternate. */
  readonly sequence: number;
  /** Bytes of the image. */
  readonly size: number;
}

/** A slot, and where in the file it goes. */
export function encodeHeader({ sequence, size }: MapHeader): { readonly bytes: Buffer; readonly offset: number } {
  const bytes = Buffer.alloc(slotBytes);
  magic.copy(bytes);
  bytes.writeUInt32LE(version, 8);
  bytes.writeUInt32LE(imageChunkBytes, 12);
  writeInt64(bytes, sequence, 16);
  writeInt64(bytes, size, 24);
  bytes.writeUInt32LE(crc32(bytes.subarray(0, slotFieldsBytes)), slotFieldsBytes);
  return { bytes, offset: (sequence % 2) * slotBytes };
}

/** The newest slot that is whole. BAD_STRUCTURE, UNSUPPORTED_VERSION. `path`: of the map, for messages. */
export function decodeHeader(bytes: Buffer, path: string): MapHeader {
  const slots = [0, slotBytes].flatMap((offset) => decodeSlot(bytes.subarray(offset, offset + slotBytes), path) ?? []);
  const [first, second] = slots;
  if (first === undefined) throw new FormatError('BAD_STRUCTURE', `${path} is not the map of a staged image, or damaged: remove the staged image`);
  return second !== undefined && second.sequence > first.sequence ? second : first;
}

function decodeSlot(bytes: Buffer, path: string): MapHeader | undefined {
  if (bytes.length < slotBytes || !bytes.subarray(0, magic.length).equals(magic)) return undefined;
  if (bytes.readUInt32LE(slotFieldsBytes) !== crc32(bytes.subarray(0, slotFieldsBytes))) return undefined;
  const found = bytes.readUInt32LE(8);
  if (found !== version || bytes.readUInt32LE(12) !== imageChunkBytes) {
    throw new FormatError('UNSUPPORTED_VERSION', `${path} has version ${found}: another version of pbsfs made it, use that one`);
  }
  const size = readUint64(bytes, 24, `the size in ${path}`);
  return size <= imageBytesMax ? { sequence: readUint64(bytes, 16, `the number in ${path}`), size } : undefined;
}
