/**
 * catalog.pcat1: magic, one table per directory (children before their parents), root table, position of the root table. The
 * root table has a directory for each archive, named as the archive's index. Format: pxar, section 5
 */
import { FormatError } from '../errors.js';
import type { Decoded } from './decoded.js';
import { checkName } from './pxar/name.js';
import { readUint64 } from './uint64.js';
import { decodeSvarint, decodeVarint, encodeSvarint, encodeVarint } from './varint.js';

export const catalogMagic = Buffer.from('91fd60f9c46758d5', 'hex');
export const catalogPointerBytes = 8;
export const catalogTableBytesMax = 256 * 1024 * 1024;
export const catalogNameBytesMax = 4095;

const entryBytesMin = 3;

export type CatalogEntry =
  | { readonly kind: 'directory'; readonly name: Buffer; readonly tablePosition: number }
  | { readonly kind: 'file'; readonly name: Buffer; readonly size: number; readonly mtimeSec: number }
  | { readonly kind: CatalogPlainKind; readonly name: Buffer };

export type CatalogPlainKind = 'symlink' | 'hardlink' | 'blockdev' | 'chardev' | 'fifo' | 'socket';

const plainBytes = {
  symlink: 0x6c,
  hardlink: 0x68,
  blockdev: 0x62,
  chardev: 0x63,
  fifo: 0x70,
  socket: 0x73,
} as const satisfies Record<CatalogPlainKind, number>;
const plainKinds = new Map<number, CatalogPlainKind>(
  Object.entries(plainBytes).map(([kind, byte]) => [byte, kind as CatalogPlainKind]),
);
const directoryByte = 0x64;
const fileByte = 0x66;

/** The first 8 bytes of a catalog. */
export function checkCatalogMagic(bytes: Buffer): void {
  if (!bytes.equals(catalogMagic)) throw new FormatError('BAD_MAGIC', 'this is no catalog: it does not begin as one');
}

/** The last 8 bytes of a catalog of `catalogBytes`: the position of its root table. */
export function decodeCatalogPointer(bytes: Buffer, catalogBytes: number): number {
  if (bytes.length !== catalogPointerBytes) throw new FormatError('TRUNCATED', 'the catalog is shorter than its smallest form');
  const position = readUint64(bytes, 0, 'the position of the root table');
  if (position < catalogMagic.length || position >= catalogBytes - catalogPointerBytes) {
    throw new FormatError('BAD_STRUCTURE', `the catalog's root table cannot be at position ${position}`);
  }
  return position;
}

/** The table at `tablePosition`, where `window` begins. All positions in it are less than its own. */
export function decodeCatalogTable(window: Buffer, tablePosition: number): Decoded<CatalogEntry[]> {
  const length = decodeVarint(window);
  if ('needBytes' in length) return length;
  if (length.value > catalogTableBytesMax) {
    throw new FormatError(
      'LIMIT_EXCEEDED',
      `a table of the catalog has ${length.value} bytes; ${catalogTableBytesMax} is the limit`,
    );
  }
  const end = length.bytes + length.value;
  if (window.length < end) return { needBytes: end };
  return { value: new TableReader(window.subarray(length.bytes, end), tablePosition).entries(), bytes: end };
}

/** `tablePosition` is where the table will stand; all directories in it have been written before. */
export function encodeCatalogTable(entries: readonly CatalogEntry[], tablePosition: number): Buffer {
  const parts = [encodeVarint(entries.length), ...entries.map((entry) => encodeEntry(entry, tablePosition))];
  const body = Buffer.concat(parts);
  return Buffer.concat([encodeVarint(body.length), body]);
}

class TableReader {
  readonly #body: Buffer;
  readonly #tablePosition: number;
  #at = 0;

  constructor(body: Buffer, tablePosition: number) {
    this.#body = body;
    this.#tablePosition = tablePosition;
  }

  entries(): CatalogEntry[] {
    const count = this.#take(decodeVarint);
    if (count * entryBytesMin > this.#body.length) {
      throw new FormatError('BAD_STRUCTURE', `a table of the catalog has no room for its ${count} entries`);
    }
    const entries: CatalogEntry[] = [];
    while (entries.length < count) entries.push(this.#entry());
    if (this.#at !== this.#body.length)
      throw new FormatError('BAD_STRUCTURE', 'a table of the catalog is longer than its entries');
    return entries;
  }

  #entry(): CatalogEntry {
    const byte = this.#bytes(1).readUInt8();
    const name = this.#name();
    if (byte === directoryByte) return { kind: 'directory', name, tablePosition: this.#childPosition() };
    if (byte === fileByte) return { kind: 'file', name, size: this.#take(decodeVarint), mtimeSec: this.#take(decodeSvarint) };
    const kind = plainKinds.get(byte);
    if (kind === undefined) throw new FormatError('BAD_STRUCTURE', `the catalog has an entry of the unknown kind ${byte}`);
    return { kind, name };
  }

  #name(): Buffer {
    const length = this.#take(decodeVarint);
    if (length > catalogNameBytesMax) throw new FormatError('LIMIT_EXCEEDED', `a name in the catalog has ${length} bytes`);
    const name = Buffer.from(this.#bytes(length));
    checkName(name);
    return name;
  }

  #childPosition(): number {
    const position = this.#tablePosition - this.#take(decodeVarint);
    if (position >= catalogMagic.length && position < this.#tablePosition) return position;
    throw new FormatError('BAD_STRUCTURE', `the catalog places a directory at ${position}, which is not before its parent`);
  }

  #bytes(count: number): Buffer {
    if (count > this.#body.length - this.#at) throw cutOff();
    this.#at += count;
    return this.#body.subarray(this.#at - count, this.#at);
  }

  #take(decode: (window: Buffer, at: number) => Decoded<number>): number {
    const decoded = decode(this.#body, this.#at);
    if ('needBytes' in decoded) throw cutOff();
    this.#at += decoded.bytes;
    return decoded.value;
  }
}

function cutOff(): FormatError {
  return new FormatError('BAD_STRUCTURE', 'a table of the catalog ends in the middle of an entry');
}

function encodeEntry(entry: CatalogEntry, tablePosition: number): Buffer {
  const { kind, name } = entry;
  checkName(name);
  if (name.length > catalogNameBytesMax) throw new FormatError('LIMIT_EXCEEDED', `a name of ${name.length} bytes is too long`);
  const length = encodeVarint(name.length);
  switch (kind) {
    case 'directory':
      return Buffer.concat([Buffer.of(directoryByte), length, name, encodeVarint(tablePosition - entry.tablePosition)]);
    case 'file':
      return Buffer.concat([Buffer.of(fileByte), length, name, encodeVarint(entry.size), encodeSvarint(entry.mtimeSec)]);
    default:
      return Buffer.concat([Buffer.of(plainBytes[kind]), length, name]);
  }
}
