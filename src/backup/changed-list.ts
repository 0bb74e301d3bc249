/**
 * Lists of the blocks of an image that changed since its last backup: as JSON, the way tools print them, or as a bitmap. Whole chunks are
 * what is read again, so ranges are rounded outwards to them. Whatever a list does not clearly call clean counts as changed.
 */
import { FormatError } from '../errors.js';
import { parseJson } from '../format/json.js';
import { imageChunkBytes } from './image-chunks.js';

/** Bytes [start, end). */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

export interface ChangedBlocks {
  /** Sorted, apart, whole chunks of 4 MiB. */
  readonly ranges: readonly ByteRange[];
  /** Bytes of image that the list speaks of, at least and at most: an image of another size is not its image. */
  readonly imageBytesMin: number;
  readonly imageBytesMax: number;
  /** Checksum of the index after which the list was begun, 64 hex digits. */
  readonly since?: string | undefined;
}

export const changedFileBytesMax = 256 << 20;

const jsonBytesMax = 64 << 20;
const entriesMax = 1 << 20;
/** Tools round the size of an image up to their sectors or clusters. */
const roundingBytesMax = 64 << 10;
const granularityBytesMin = 512;
const granularityBytesMax = 2 ** 31;

/**
 * A JSON array, or a JSON object a line, of `{"start", "length"}` (or `offset` for `start`). `"dirty": false`, `"description": "clean"` and, without
 * a description, `"type": 0` mark what did not change, all else did. BAD_STRUCTURE, also for a map of what is allocated, LIMIT_EXCEEDED.
 */
export function parseChangedJson(bytes: Buffer, what: string): ChangedBlocks {
  const list = new ChunkRanges();
  let reach = 0;
  for (const { at, value } of entriesOf(bytes, what)) {
    const entry = entryOf(value, `${what}, ${at}`);
    reach = Math.max(reach, entry.end);
    if (entry.dirty && entry.end > entry.start) list.add(entry.start, entry.end);
  }
  return { ranges: list.merged(), imageBytesMin: Math.max(reach - roundingBytesMax, 0), imageBytesMax: Number.MAX_SAFE_INTEGER };
}

/** Bit i, the least significant of a byte first, covers the bytes from i * granularity on. BAD_STRUCTURE. */
export function parseChangedBitmap(bytes: Buffer, granularity: number, what: string): ChangedBlocks {
  if (granularity < granularityBytesMin || granularity > granularityBytesMax || !Number.isInteger(Math.log2(granularity))) {
    throw new FormatError('BAD_STRUCTURE', `${what}: a granularity is a power of two from ${granularityBytesMin} to ${granularityBytesMax}, not ${granularity}`);
  }
  const imageBytesMax = bytes.length * 8 * granularity;
  if (bytes.length === 0 || !Number.isSafeInteger(imageBytesMax)) {
    throw new FormatError('BAD_STRUCTURE', `${what}: ${bytes.length} bytes of ${granularity} bytes a bit are no bitmap of an image`);
  }
  const list = new ChunkRanges();
  let imageBytesMin = 0;
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at] ?? 0;
    for (let bit = 0; byte >> bit !== 0; bit++) {
      if (((byte >> bit) & 1) === 0) continue;
      const start = (at * 8 + bit) * granularity;
      imageBytesMin = start + 1;
      list.add(start, start + granularity);
    }
  }
  return { ranges: list.merged(), imageBytesMin, imageBytesMax };
}

/** How many bytes of an image of `size` bytes have to be read. */
export function changedBytes({ ranges }: ChangedBlocks, size: number): number {
  return clipRanges(ranges, size).reduce((sum, { start, end }) => sum + end - start, 0);
}

/** The part of the ranges that lies in an image of `size` bytes. */
export function clipRanges(ranges: readonly ByteRange[], size: number): ByteRange[] {
  return ranges.filter(({ start }) => start < size).map(({ start, end }) => ({ start, end: Math.min(end, size) }));
}

/** Collects ranges as chunks; those that touch the one before are merged at once, so that a list in order stays small. */
class ChunkRanges {
  readonly #ranges: { start: number; end: number }[] = [];

  add(start: number, end: number): void {
    const range = { start: Math.floor(start / imageChunkBytes) * imageChunkBytes, end: Math.ceil(end / imageChunkBytes) * imageChunkBytes };
    appendMerged(this.#ranges, range);
  }

  merged(): ByteRange[] {
    const merged: { start: number; end: number }[] = [];
    for (const range of this.#ranges.sort((a, b) => a.start - b.start)) appendMerged(merged, range);
    return merged;
  }
}

function appendMerged(ranges: { start: number; end: number }[], range: ByteRange): void {
  const last = ranges.at(-1);
  if (last !== undefined && range.start >= last.start && range.start <= last.end) last.end = Math.max(last.end, range.end);
  else ranges.push({ ...range });
}

interface Located {
  /** `line 3`, `entry 3`. */
  readonly at: string;
  readonly value: unknown;
}

function* entriesOf(bytes: Buffer, what: string): Generator<Located> {
  if (bytes.length > jsonBytesMax) throw new FormatError('LIMIT_EXCEEDED', `${what} has more than ${jsonBytesMax} bytes of JSON`);
  const isArray = /^\s*\[/.test(bytes.toString('latin1', 0, 4096));
  let count = 0;
  for (const located of isArray ? arrayEntries(bytes, what) : lineEntries(bytes, what)) {
    if (++count > entriesMax) throw new FormatError('LIMIT_EXCEEDED', `${what} has more than ${entriesMax} ranges; a bitmap has room for more`);
    yield located;
  }
}

function* arrayEntries(bytes: Buffer, what: string): Generator<Located> {
  const list = parseJson(bytes, what, jsonBytesMax) as unknown[];
  for (const [i, value] of list.entries()) yield { at: `entry ${i + 1}`, value };
}

function* lineEntries(bytes: Buffer, what: string): Generator<Located> {
  for (let start = 0, number = 1; start < bytes.length; number++) {
    const found = bytes.indexOf(0x0a, start);
    const end = found === -1 ? bytes.length : found;
    const line = bytes.subarray(start, end);
    start = end + 1;
    if (line.toString('latin1').trim() !== '') yield { at: `line ${number}`, value: parseJson(line, `${what}, line ${number},`, jsonBytesMax) };
  }
}

interface Entry extends ByteRange {
  readonly dirty: boolean;
}

function entryOf(value: unknown, what: string): Entry {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw bad(what, 'is not an object with "start" and "length"');
  const { start = 'offset' in value ? value.offset : undefined, length, dirty } = value as { start?: unknown; length?: unknown; dirty?: unknown };
  if (!isCount(start) || !isCount(length)) throw bad(what, 'has no "start" and "length" that are whole numbers of bytes');
  const end = start + length;
  if (!Number.isSafeInteger(end)) throw bad(what, 'ends beyond any image');
  if (dirty !== undefined && typeof dirty !== 'boolean') throw bad(what, '"dirty" is neither true nor false');
  return { start, end, dirty: dirty ?? dirtyByType(value, what) };
}

/** What NBD tools print for the context of a bitmap: `type` 1, `dirty`, or 0, `clean`. That of another context tells nothing about changes. */
function dirtyByType(value: object, what: string): boolean {
  const { type, description } = value as { type?: unknown; description?: unknown };
  if (type === undefined && description === undefined) return true;
  if (description === 'dirty' || (description === undefined && type === 1)) return true;
  if (description === 'clean' || (description === undefined && type === 0)) return false;
  throw bad(what, `is of type ${JSON.stringify(description ?? type)}: a map of what is allocated, not of what changed; ask for the context qemu:dirty-bitmap:NAME`);
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

function bad(what: string, fault: string): FormatError {
  return new FormatError('BAD_STRUCTURE', `${what}: ${fault}`);
}
