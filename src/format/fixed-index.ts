/** Format: datastore, section 4.1. `.fidx`: an image cut into chunks of one size, the last one possibly shorter. */
import { FormatError } from '../errors.js';
import { chunkBytesMax } from './blob.js';
import {
  allocateIndex,
  csumOf,
  decodeIndexHeader,
  digestBytes,
  entriesWith,
  indexHeaderBytes,
  writeCsum,
  type ChunkIndex,
  type IndexHeader,
} from './chunk-index.js';
import { readUint64, writeInt64 } from './uint64.js';

export const fixedChunkBytesMin = 64 * 1024;

const magic = Buffer.from('2f7f41ed91fd0fcd', 'hex');
const sizeOffset = 0x40;
const chunkSizeOffset = 0x48;

export class FixedIndex implements ChunkIndex {
  readonly kind = 'fixed';
  readonly uuid: Buffer;
  readonly ctime: number;
  readonly csum: Buffer;
  readonly size: number;
  readonly chunkSize: number;
  readonly count: number;
  readonly #bytes: Buffer;

  /** Only for parseFixedIndex(), which has checked the bytes. */
  constructor(bytes: Buffer, header: IndexHeader, size: number, chunkSize: number) {
    this.uuid = header.uuid;
    this.ctime = header.ctime;
    this.csum = header.csum;
    this.size = size;
    this.chunkSize = chunkSize;
    this.count = Math.ceil(size / chunkSize);
    this.#bytes = bytes;
  }

  digestAt(i: number): Buffer {
    this.#check(i);
    const offset = indexHeaderBytes + i * digestBytes;
    return this.#bytes.subarray(offset, offset + digestBytes);
  }

  startOf(i: number): number {
    this.#check(i);
    return i * this.chunkSize;
  }

  endOf(i: number): number {
    this.#check(i);
    return Math.min((i + 1) * this.chunkSize, this.size);
  }

  chunkAt(offset: number): number {
    if (!(offset >= 0 && offset < this.size)) throw new RangeError(`offset ${offset} is not below ${this.size}`);
    return Math.floor(offset / this.chunkSize);
  }

  chunksOf(digest: Buffer): number[] {
    return entriesWith(this.#bytes, indexHeaderBytes, digestBytes, digest);
  }

  computeCsum(): Buffer {
    return csumOf(this.#bytes);
  }

  #check(i: number): void {
    if (!(i >= 0 && i < this.count)) throw new RangeError(`chunk ${i} is not below ${this.count}`);
  }
}

/** Keeps `bytes`, the whole file. Throws TRUNCATED, BAD_MAGIC, BAD_STRUCTURE or LIMIT_EXCEEDED. */
export function parseFixedIndex(bytes: Buffer): FixedIndex {
  const header = decodeIndexHeader(bytes, magic, digestBytes);
  const size = readUint64(bytes, sizeOffset, 'the image size of the index');
  const chunkSize = readUint64(bytes, chunkSizeOffset, 'the chunk size of the index');
  checkChunkSize(chunkSize);
  const index = new FixedIndex(bytes, header, size, chunkSize);
  const length = indexHeaderBytes + index.count * digestBytes;
  if (bytes.length !== length) {
    const found = `the index has ${bytes.length} bytes`;
    throw new FormatError('BAD_STRUCTURE', `${found}, but ${size} bytes in chunks of ${chunkSize} need ${length}`);
  }
  return index;
}

export interface FixedIndexParts {
  readonly uuid: Buffer;
  readonly ctime: number;
  readonly size: number;
  readonly chunkSize: number;
  /** 32 bytes for each chunk, in order. */
  readonly digests: Buffer;
}

/** The whole file, its checksum included. */
export function encodeFixedIndex(parts: FixedIndexParts): Buffer {
  checkChunkSize(parts.chunkSize);
  const count = Math.ceil(parts.size / parts.chunkSize);
  if (parts.digests.length !== count * digestBytes) {
    throw new FormatError('BAD_STRUCTURE', `${parts.size} bytes in chunks of ${parts.chunkSize} need ${count} digests`);
  }
  const bytes = allocateIndex(magic, count, digestBytes, parts);
  writeInt64(bytes, parts.size, sizeOffset);
  writeInt64(bytes, parts.chunkSize, chunkSizeOffset);
  parts.digests.copy(bytes, indexHeaderBytes);
  writeCsum(bytes);
  return bytes;
}

/** Not a power of two between the bounds: no server made it, and offsets could not be mapped by it. */
function checkChunkSize(chunkSize: number): void {
  const fits = chunkSize >= fixedChunkBytesMin && chunkSize <= chunkBytesMax && (chunkSize & (chunkSize - 1)) === 0;
  if (!fits) {
    const range = `${fixedChunkBytesMin} to ${chunkBytesMax}`;
    throw new FormatError('BAD_STRUCTURE', `the chunk size of the index is ${chunkSize}, not a power of two from ${range}`);
  }
}
