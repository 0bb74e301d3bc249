/**
 * Master boot records: four entries in the first sector; one of them may be an extended partition, which begins a chain of
 * records with one logical partition each.
 */
import { looksFormatted } from './content-signature.js';
import { sectorBytesKnown, type Partition, type SectorReader } from './sector.js';

const recordBytes = 512;
const tableOffset = 446;
const entryBytes = 16;
const extendedTypes = [0x05, 0x0f, 0x85];
/** A protective record of a GPT that is damaged: its one entry is no partition. */
const protectiveType = 0xee;
const logicalMax = 256;

interface Entry {
  readonly type: number;
  /** In sectors. */
  readonly first: number;
  readonly count: number;
}

/** Undefined if the first sector is no boot record with partitions. */
export async function readMbr(read: SectorReader, imageBytes: number): Promise<Partition[] | undefined> {
  const record = await read(0, recordBytes);
  if (record === undefined) return undefined;
  const entries = decodeRecord(record);
  if (entries === undefined || entries.every(({ count }) => count === 0)) return undefined;
  // A file system's boot sector ends like a boot record; its code is no sound table.
  if (!soundTable(record, entries, imageBytes) || entries.some(({ type }) => type === protectiveType)) return undefined;
  const sectorBytes = await sectorBytesOf(read, entries);
  const partitions: Partition[] = [];
  const logical: Partition[] = [];
  for (const [i, entry] of entries.entries()) {
    if (entry.count === 0 || entry.type === 0) continue;
    // The kernel shows an extended partition as one of two sectors, room for a boot loader: nothing to mount.
    if (extendedTypes.includes(entry.type)) await readLogical(read, entry, sectorBytes, logical);
    else partitions.push({ number: i + 1, start: entry.first * sectorBytes, length: entry.count * sectorBytes });
  }
  return [...partitions, ...logical];
}

/** Appends to `partitions`: the numbers of a second chain go on where those of the first end. */
async function readLogical(read: SectorReader, extended: Entry, sectorBytes: number, partitions: Partition[]): Promise<void> {
  const seen = new Set<number>();
  for (let at = extended.first; !seen.has(at) && partitions.length < logicalMax; ) {
    seen.add(at);
    const record = await read(at * sectorBytes, recordBytes);
    const [logical, next] = (record && decodeRecord(record)) ?? [];
    if (logical !== undefined && logical.count > 0) {
      partitions.push({ number: 5 + partitions.length, start: (at + logical.first) * sectorBytes, length: logical.count * sectorBytes });
    }
    if (next === undefined || next.count === 0 || !extendedTypes.includes(next.type)) break;
    at = extended.first + next.first;
  }
}

function decodeRecord(record: Buffer): Entry[] | undefined {
  if (record.readUInt16LE(510) !== 0xaa55) return undefined;
  return [0, 1, 2, 3].map((i) => {
    const at = tableOffset + i * entryBytes;
    return { type: record.readUInt8(at + 4), first: record.readUInt32LE(at + 8), count: record.readUInt32LE(at + 12) };
  });
}

function soundTable(record: Buffer, entries: readonly Entry[], imageBytes: number): boolean {
  const flags = [0, 1, 2, 3].map((i) => record.readUInt8(tableOffset + i * entryBytes));
  const used = entries.filter(({ count }) => count > 0);
  return flags.every((flag) => (flag & 0x7f) === 0) && used.every(({ first }) => first > 0) && used.some(({ first }) => first * recordBytes < imageBytes);
}

/** The table counts in sectors and does not say how long they are: what lies where a partition would begin tells. */
async function sectorBytesOf(read: SectorReader, entries: readonly Entry[]): Promise<number> {
  for (const sectorBytes of sectorBytesKnown) {
    for (const { first, type, count } of entries) {
      if (count === 0) continue;
      const start = first * sectorBytes;
      if (extendedTypes.includes(type)) {
        const record = await read(start, recordBytes);
        if (record?.readUInt16LE(510) === 0xaa55) return sectorBytes;
      } else if (await looksFormatted(read, start)) return sectorBytes;
    }
  }
  return sectorBytesKnown[0];
}
