/**
 * GUID partition tables (UEFI specification, chapter 5): a header in the second sector, a copy of it in the last one, each with the place
 * of an array of entries. Header and array have CRCs; a damaged primary gives way to the copy.
 */
import { crc32 } from 'node:zlib';
import { sectorBytesKnown, type Partition, type SectorReader } from './sector.js';

const signature = 'EFI PART';
const headerBytesMin = 92;
const entryBytesMin = 128;
const entryBytesMax = 4096;
const entriesMax = 1024;

interface GptHeader {
  readonly entriesOffset: number;
  readonly entryCount: number;
  readonly entryBytes: number;
  readonly entriesCrc: number;
}

/** Undefined if there is no intact table. */
export async function readGpt(read: SectorReader, imageBytes: number): Promise<Partition[] | undefined> {
  for (const sectorBytes of sectorBytesKnown) {
    const lastSector = Math.floor(imageBytes / sectorBytes) - 1;
    for (const sector of [1, lastSector]) {
      const header = decodeHeader(await read(sector * sectorBytes, sectorBytes), sector, sectorBytes);
      const partitions = header && (await readEntries(read, header, sectorBytes));
      if (partitions !== undefined) return partitions;
    }
  }
  return undefined;
}

function decodeHeader(bytes: Buffer | undefined, sector: number, sectorBytes: number): GptHeader | undefined {
  if (bytes?.toString('latin1', 0, 8) !== signature) return undefined;
  const headerBytes = bytes.readUInt32LE(12);
  if (headerBytes < headerBytesMin || headerBytes > bytes.length) return undefined;
  const checked = Buffer.from(bytes.subarray(0, headerBytes));
  checked.writeUInt32LE(0, 16);
  if (crc32(checked) !== bytes.readUInt32LE(16) || bytes.readBigUInt64LE(24) !== BigInt(sector)) return undefined;
  const header = {
    entriesOffset: Number(bytes.readBigUInt64LE(72)) * sectorBytes,
    entryCount: bytes.readUInt32LE(80),
    entryBytes: bytes.readUInt32LE(84),
    entriesCrc: bytes.readUInt32LE(88),
  };
  const { entryCount, entryBytes, entriesOffset } = header;
  const sane = entryCount <= entriesMax && entryBytes >= entryBytesMin && entryBytes <= entryBytesMax && Number.isSafeInteger(entriesOffset);
  return sane ? header : undefined;
}

async function readEntries(read: SectorReader, header: GptHeader, sectorBytes: number): Promise<Partition[] | undefined> {
  const { entriesOffset, entryCount, entryBytes, entriesCrc } = header;
  const entries = await read(entriesOffset, entryCount * entryBytes);
  if (entries === undefined || crc32(entries) !== entriesCrc) return undefined;
  const partitions: Partition[] = [];
  for (let i = 0; i < entryCount; i++) {
    const entry = entries.subarray(i * entryBytes, (i + 1) * entryBytes);
    if (entry.subarray(0, 16).every((byte) => byte === 0)) continue;
    const first = Number(entry.readBigUInt64LE(32));
    const last = Number(entry.readBigUInt64LE(40));
    partitions.push({ number: i + 1, start: first * sectorBytes, length: (last - first + 1) * sectorBytes });
  }
  return partitions;
}
