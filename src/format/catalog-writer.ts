/**
 * Writes a catalog in the order of the archives it is of. Each directory's table is written when the directory is left;
 * memory holds the entries of the directories on the current path. Format: pxar, section 5.1
 */
import { FormatError } from '../errors.js';
import { catalogMagic, catalogPointerBytes, encodeCatalogTable, type CatalogEntry } from './catalog.js';
import { writeInt64 } from './uint64.js';

interface OpenTable {
  readonly name: Buffer;
  readonly entries: CatalogEntry[];
}

export class CatalogWriter {
  readonly #sink: (bytes: Buffer) => void;
  readonly #open: OpenTable[] = [{ name: Buffer.alloc(0), entries: [] }];
  #position = 0;

  constructor(sink: (bytes: Buffer) => void) {
    this.#sink = sink;
    this.#write(catalogMagic);
  }

  /** The outermost directories are the archives, named as their indexes (`root.pxar.didx`). */
  openDirectory(name: Buffer): void {
    this.#open.push({ name, entries: [] });
  }

  closeDirectory(): void {
    if (this.#open.length < 2) throw new FormatError('BAD_STRUCTURE', 'the catalog has no directory to close');
    const { name, tablePosition } = this.#writeTable();
    this.#table().entries.push({ kind: 'directory', name, tablePosition });
  }

  add(entry: Exclude<CatalogEntry, { readonly kind: 'directory' }>): void {
    this.#table().entries.push(entry);
  }

  /** Writes the root table and its position. */
  finish(): void {
    if (this.#open.length !== 1) throw new FormatError('BAD_STRUCTURE', `${this.#open.length - 1} directories are still open`);
    const pointer = Buffer.alloc(catalogPointerBytes);
    writeInt64(pointer, this.#writeTable().tablePosition, 0);
    this.#write(pointer);
  }

  #writeTable(): { name: Buffer; tablePosition: number } {
    const { name, entries } = this.#table();
    const tablePosition = this.#position;
    this.#write(encodeCatalogTable(entries, tablePosition));
    this.#open.pop();
    return { name, tablePosition };
  }

  #table(): OpenTable {
    const table = this.#open.at(-1);
    if (table === undefined) throw new FormatError('BAD_STRUCTURE', 'the catalog is already finished');
    return table;
  }

  #write(bytes: Buffer): void {
    this.#sink(bytes);
    this.#position += bytes.length;
  }
}
