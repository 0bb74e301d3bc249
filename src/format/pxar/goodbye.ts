/**
 * Goodbye tables: the children of a directory, findable by the hash of their name, behind the last of them.
 * Distances count backward from the position of the GOODBYE header. Format: pxar, sections 2.3 to 2.5
 */
import { FormatError } from '../../errors.js';
import { readUint64 } from '../uint64.js';
import { slotsInOrder } from './binary-tree.js';
import { goodbyeEntriesMax, goodbyeItemBytes, itemHeaderAt, itemHeaderBytes } from './item.js';
import type { U64 } from './u64.js';

export const goodbyeTailMarker: U64 = { hi: 0xef5eed5b, lo: 0x753e1555 };

export interface GoodbyeTail {
  /** from the directory's ENTRY (the root: from position 0) to the GOODBYE header */
  readonly entryDistance: number;
  /** the whole GOODBYE item with header and tail */
  readonly tableBytes: number;
}

export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

/** The last 24 bytes of a directory. Its GOODBYE header stands `tableBytes` before their end. */
export function decodeGoodbyeTail(bytes: Buffer): GoodbyeTail {
  if (bytes.length !== goodbyeItemBytes) throw new FormatError('TRUNCATED', 'a directory ends before its goodbye table does');
  if (bytes.readUInt32LE(0) !== goodbyeTailMarker.lo || bytes.readUInt32LE(4) !== goodbyeTailMarker.hi) {
    throw new FormatError('BAD_MAGIC', 'a directory does not end with a goodbye table; the archive is damaged or cut off');
  }
  const tableBytes = readUint64(bytes, 16, 'the size of a goodbye table');
  if (tableBytes > itemHeaderBytes + goodbyeItemBytes * (goodbyeEntriesMax + 1)) {
    throw new FormatError('LIMIT_EXCEEDED', `a goodbye table of ${tableBytes} bytes is more than ${goodbyeEntriesMax} entries`);
  }
  const itemBytes = tableBytes - itemHeaderBytes;
  if (itemBytes < goodbyeItemBytes || itemBytes % goodbyeItemBytes !== 0) {
    throw new FormatError('BAD_STRUCTURE', `a goodbye table cannot have ${tableBytes} bytes`);
  }
  return { entryDistance: readUint64(bytes, 8, 'the length of a directory'), tableBytes };
}

/** A GOODBYE item, all of it. */
export function decodeGoodbyeTable(bytes: Buffer): GoodbyeTable {
  if (bytes.length < itemHeaderBytes + goodbyeItemBytes) {
    throw new FormatError('TRUNCATED', `a goodbye table cannot have ${bytes.length} bytes`);
  }
  const { type, contentBytes } = itemHeaderAt(bytes, 0);
  const tail = decodeGoodbyeTail(bytes.subarray(bytes.length - goodbyeItemBytes));
  if (type !== 'GOODBYE' || contentBytes + itemHeaderBytes !== bytes.length || tail.tableBytes !== bytes.length) {
    throw new FormatError('BAD_STRUCTURE', 'the header and the tail of a goodbye table contradict each other');
  }
  return new GoodbyeTable(bytes, tail.entryDistance);
}

/** Slots are 0 to count - 1. Kept as typed arrays, 28 bytes a child. */
export class GoodbyeTable {
  readonly count: number;
  readonly entryDistance: number;
  readonly #hashesHi: Uint32Array;
  readonly #hashesLo: Uint32Array;
  readonly #distances: Float64Array;
  readonly #sizes: Float64Array;
  readonly #order: Uint32Array;

  /** Use decodeGoodbyeTable, which has checked the frame of `bytes`. */
  constructor(bytes: Buffer, entryDistance: number) {
    this.count = (bytes.length - itemHeaderBytes) / goodbyeItemBytes - 1;
    this.entryDistance = entryDistance;
    this.#hashesHi = new Uint32Array(this.count);
    this.#hashesLo = new Uint32Array(this.count);
    this.#distances = new Float64Array(this.count);
    this.#sizes = new Float64Array(this.count);
    for (let slot = 0; slot < this.count; slot += 1) {
      const at = itemHeaderBytes + slot * goodbyeItemBytes;
      this.#hashesLo[slot] = bytes.readUInt32LE(at);
      this.#hashesHi[slot] = bytes.readUInt32LE(at + 4);
      this.#distances[slot] = this.#checkedDistance(readUint64(bytes, at + 8, 'the distance of a child'));
      this.#sizes[slot] = readUint64(bytes, at + 16, 'the size of a child');
    }
    this.#checkHashes();
    this.#order = Uint32Array.from({ length: this.count }, (_, slot) => slot);
    this.#order.sort((a, b) => this.distance(b) - this.distance(a));
    this.#separate();
  }

  hash(slot: number): U64 {
    return { hi: at(this.#hashesHi, slot), lo: at(this.#hashesLo, slot) };
  }

  /** From the child's FILENAME header to the GOODBYE header: more than 0, less than `entryDistance`. */
  distance(slot: number): number {
    return at(this.#distances, slot);
  }

  /**
   * From the child's FILENAME header to its end in this stream, which is not beyond the next child: the content that tables
   * of v2 count with a file, although it is in the other stream, is left out.
   */
  size(slot: number): number {
    return at(this.#sizes, slot);
  }

  /** Where the child lies if the GOODBYE header is at `goodbyePosition`: apart from all others, and within the directory. */
  range(slot: number, goodbyePosition: number): ByteRange {
    const start = goodbyePosition - this.distance(slot);
    return { start, end: start + this.size(slot) };
  }

  /** All slots with this hash, in no order; different names may share one. */
  find(hash: U64): number[] {
    const found: number[] = [];
    const open = [0];
    for (let slot = open.pop(); slot !== undefined; slot = open.pop()) {
      if (slot >= this.count) continue;
      const order = compareHashes(hash, this.hash(slot));
      if (order === 0) found.push(slot);
      if (order <= 0) open.push(2 * slot + 1);
      if (order >= 0) open.push(2 * slot + 2);
    }
    return found;
  }

  /** The slots in the order in which the children stand in the archive. */
  byArchiveOrder(): Uint32Array {
    return this.#order.slice();
  }

  #checkedDistance(distance: number): number {
    if (distance > 0 && distance < this.entryDistance) return distance;
    throw new FormatError('BAD_STRUCTURE', 'a goodbye table points outside its directory');
  }

  /** Without this, a small damaged archive could be a tree without end: children within each other, or many times the same. */
  #separate(): void {
    for (let place = 0; place < this.count; place += 1) {
      const slot = at(this.#order, place);
      const next = place + 1 < this.count ? this.distance(at(this.#order, place + 1)) : 0;
      const room = this.distance(slot) - next;
      if (room === 0) throw new FormatError('BAD_STRUCTURE', 'a goodbye table has the same child twice');
      this.#sizes[slot] = Math.min(this.size(slot), room);
    }
  }

  #checkHashes(): void {
    let previous: U64 = { hi: 0, lo: 0 };
    for (const slot of slotsInOrder(this.count)) {
      const hash = this.hash(slot);
      if (compareHashes(previous, hash) > 0) throw new FormatError('BAD_STRUCTURE', 'a goodbye table is not ordered by hash');
      previous = hash;
    }
  }
}

export function compareHashes(a: U64, b: U64): number {
  return a.hi - b.hi || a.lo - b.lo;
}

function at(values: Uint32Array | Float64Array, slot: number): number {
  const value = values[slot];
  if (value === undefined) throw new RangeError(`slot ${slot} is not in this goodbye table`);
  return value;
}
