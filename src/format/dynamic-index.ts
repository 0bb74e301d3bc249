/** Format: datastore, section 4.2. `.didx`: a stream cut into chunks of any size; an entry is the chunk's end and digest. */
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
import { writeInt64 } from './uint64.js';

const magic = Buffer.from('1c914ea519bab3cd', 'hex');
const entryBytes = 40;
const endBytes = 8;
const two32 = 0x1_0000_0000;

/** Ends are strictly increasing by at most chunkBytesMax: parseDynamicIndex() has seen to that. */
export class DynamicIndex implements ChunkIndex {
  readonly kind = 'dynamic';
  readonly uuid: Buffer;
  readonly ctime: number;
  readonly csum: Buffer;
  readonly count: number;
  readonly #bytes: Buffer;
  readonly #view: DataView;

  /** Only for parseDynamicIndex(), which has checked the bytes. */
  constructor(bytes: Buffer, header: IndexHeader) {
    this.uuid = header.uuid;
    this.ctime = header.ctime;
    this.csum = header.csum;
    this.count = (bytes.length - indexHeaderBytes) / entryBytes;
    this.#bytes = bytes;
    this.#view = viewOf(bytes);
  }

  get size(): number {
    return endAt(this.#view, this.count - 1);
  }

  digestAt(i: number): Buffer {
    this.#check(i);
    const offset = indexHeaderBytes + i * entryBytes + endBytes;
    return this.#bytes.subarray(offset, offset + digestBytes);
  }

  startOf(i: number): number {
    this.#check(i);
    return i === 0 ? 0 : endAt(this.#view, i - 1);
  }

  endOf(i: number): number {
    this.#check(i);
    return endAt(this.#view, i);
  }

  chunkAt(offset: number): number {
    if (!(offset >= 0 && offset < this.size)) throw new RangeError(`offset ${offset} is not below ${this.size}`);
    // The first chunk whose end is above the offset lies within [low, high].
    let low = 0;
    let high = this.count - 1;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (endAt(this.#view, middle) > offset) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  chunksOf(digest: Buffer): number[] {
    return entriesWith(this.#bytes, indexHeaderBytes + endBytes, entryBytes, digest);
  }

  computeCsum(): Buffer {
    return csumOf(this.#bytes);
  }

  #check(i: number): void {
    if (!(i >= 0 && i < this.count)) throw new RangeError(`chunk ${i} is not below ${this.count}`);
  }
}

/** Keeps `bytes`, the whole file. Throws TRUNCATED, BAD_MAGIC, BAD_STRUCTURE or LIMIT_EXCEEDED. */
export function parseDynamicIndex(bytes: Buffer): DynamicIndex {
  const index = new DynamicIndex(bytes, decodeIndexHeader(bytes, magic, entryBytes));
  checkEnds(viewOf(bytes), index.count);
  return index;
}

export interface DynamicIndexParts {
  readonly uuid: Buffer;
  readonly ctime: number;
  /** End of each chunk in the stream, in order. */
  readonly ends: readonly number[];
  /** 32 bytes for each chunk, in order. */
  readonly digests: Buffer;
}

/** The whole file, its checksum included. */
export function encodeDynamicIndex(parts: DynamicIndexParts): Buffer {
  const count = parts.ends.length;
  if (parts.digests.length !== count * digestBytes) {
    throw new FormatError('BAD_STRUCTURE', `${count} chunks need as many digests of 32 bytes, not ${parts.digests.length} bytes`);
  }
  const bytes = allocateIndex(magic, count, entryBytes, parts);
  for (const [i, end] of parts.ends.entries()) {
    const offset = indexHeaderBytes + i * entryBytes;
    writeInt64(bytes, end, offset);
    parts.digests.copy(bytes, offset + endBytes, i * digestBytes, (i + 1) * digestBytes);
  }
  checkEnds(viewOf(bytes), count);
  writeCsum(bytes);
  return bytes;
}

function checkEnds(view: DataView, count: number): void {
  let start = 0;
  for (let i = 0; i < count; i++) {
    const end = endAt(view, i);
    // Steps and their number are bounded (indexBytesMax), so an end that passes is far below 2^53.
    if (!(end > start && end - start <= chunkBytesMax)) {
      throw new FormatError('BAD_STRUCTURE', `chunk ${i} ends at ${end}, not 1 to ${chunkBytesMax} bytes after ${start}`);
    }
    start = end;
  }
}

function endAt(view: DataView, i: number): number {
  const offset = indexHeaderBytes + i * entryBytes;
  return view.getUint32(offset + 4, true) * two32 + view.getUint32(offset, true);
}

function viewOf(bytes: Buffer): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
