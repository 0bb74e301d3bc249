/**
 * Format: datastore, section 4. What a fixed and a dynamic index have in common: a header of 4096 bytes, then one
 * entry per chunk. An index keeps the bytes of its file and nothing else: 32 or 40 bytes a chunk.
 */
import { createHash } from 'node:crypto';
import { FormatError } from '../errors.js';
import { readInt64, writeInt64 } from './uint64.js';

export interface ChunkIndex {
  readonly kind: 'fixed' | 'dynamic';
  /** 16 bytes. */
  readonly uuid: Buffer;
  /** When the index was made, in seconds since 1970. */
  readonly ctime: number;
  /** Bytes of the image or stream. */
  readonly size: number;
  /** Number of chunks, at least 1. */
  readonly count: number;
  /** Checksum as the header has it; only computeCsum() tells what is there. */
  readonly csum: Buffer;
  /** Digest of chunk `i` as a view into the index, 32 bytes. */
  digestAt(i: number): Buffer;
  /** First byte of chunk `i`, and the byte after its last one. */
  startOf(i: number): number;
  endOf(i: number): number;
  /** Number of the chunk that holds the byte at `offset`, which must be below `size`. */
  chunkAt(offset: number): number;
  /** Numbers of the chunks that have this digest, ascending. */
  chunksOf(digest: Buffer): number[];
  /** SHA-256 over the entries: what the manifest has for the file. */
  computeCsum(): Buffer;
}

export const indexHeaderBytes = 4096;
export const digestBytes = 32;
/** Most bytes of an index file: a fixed index of 128 TiB in chunks of 4 MiB. */
export const indexBytesMax = 1024 * 1024 * 1024;

export interface IndexHeader {
  readonly uuid: Buffer;
  readonly ctime: number;
  readonly csum: Buffer;
}

/** Checks magic and length (`n` entries of `entryBytes`, n >= 1) and takes the fields that both kinds have. */
export function decodeIndexHeader(bytes: Buffer, magic: Buffer, entryBytes: number): IndexHeader {
  if (bytes.length >= magic.length && magic.compare(bytes, 0, magic.length) !== 0) {
    throw new FormatError('BAD_MAGIC', `not such an index: the file begins with ${bytes.toString('hex', 0, magic.length)}`);
  }
  if (bytes.length < indexHeaderBytes + entryBytes) {
    throw new FormatError('TRUNCATED', `an index of ${bytes.length} bytes is too short for a header and one entry`);
  }
  if (bytes.length > indexBytesMax) {
    throw new FormatError('LIMIT_EXCEEDED', `the index has ${bytes.length} bytes, more than the ${indexBytesMax} that are read`);
  }
  if ((bytes.length - indexHeaderBytes) % entryBytes !== 0) {
    throw new FormatError('BAD_STRUCTURE', `an index of ${bytes.length} bytes does not end with a whole entry`);
  }
  return { uuid: bytes.subarray(8, 24), ctime: readInt64(bytes, 24), csum: bytes.subarray(32, 64) };
}

/** A whole index file of `count` entries that are still zero, with everything of the header but the checksum. */
export function allocateIndex(magic: Buffer, count: number, entryBytes: number, header: { uuid: Buffer; ctime: number }): Buffer {
  if (header.uuid.length !== 16) throw new FormatError('BAD_STRUCTURE', 'the uuid of an index has 16 bytes');
  const length = indexHeaderBytes + count * entryBytes;
  if (count < 1 || length > indexBytesMax) {
    throw new FormatError('LIMIT_EXCEEDED', `an index can't have ${count} entries: at least 1, at most ${indexBytesMax} bytes`);
  }
  const bytes = Buffer.alloc(length);
  magic.copy(bytes);
  header.uuid.copy(bytes, 8);
  writeInt64(bytes, header.ctime, 24);
  return bytes;
}

/** Which of the 32-byte digests that stand every `entryBytes` from `first` on are `digest`. */
export function entriesWith(bytes: Buffer, first: number, entryBytes: number, digest: Buffer): number[] {
  const found: number[] = [];
  const start = digest.readUInt32LE();
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let offset = first, i = 0; offset + digestBytes <= bytes.length; offset += entryBytes, i++) {
    if (view.getUint32(offset, true) === start && digest.compare(bytes, offset, offset + digestBytes) === 0) found.push(i);
  }
  return found;
}

export function writeCsum(bytes: Buffer): void {
  csumOf(bytes).copy(bytes, 32);
}

export function csumOf(bytes: Buffer): Buffer {
  return createHash('sha256').update(bytes.subarray(indexHeaderBytes)).digest();
}
