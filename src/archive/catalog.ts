/** The catalog of a snapshot's archives, read from front to back. Format: pxar, section 5. */
import { catalogMagic, catalogPointerBytes, checkCatalogMagic, decodeCatalogPointer, decodeCatalogTable, type CatalogEntry } from '../format/catalog.js';
import type { ChunkStream } from './chunk-stream.js';
import { decodeAt } from './pxar-tree.js';

export class Catalog {
  readonly #stream: ChunkStream;

  constructor(stream: ChunkStream) {
    this.#stream = stream;
  }

  /** Every table: children before their parents, the root table last. */
  async *tables(): AsyncGenerator<{ readonly position: number; readonly entries: readonly CatalogEntry[] }> {
    const { size } = this.#stream;
    checkCatalogMagic((await this.#stream.window(0, catalogMagic.length)).subarray(0, catalogMagic.length));
    for (let position = catalogMagic.length; position < size - catalogPointerBytes; ) {
      const at = position;
      const { value, bytes } = await decodeAt(this.#stream, at, (window) => decodeCatalogTable(window, at));
      yield { position, entries: value };
      position += bytes;
    }
  }

  async rootPosition(): Promise<number> {
    const start = this.#stream.size - catalogPointerBytes;
    return decodeCatalogPointer((await this.#stream.window(start, catalogPointerBytes)).subarray(0, catalogPointerBytes), this.#stream.size);
  }

  /** Paths below the root of the archive whose index is `archiveName` that are hard links to an earlier name. */
  async hardlinks(archiveName: string): Promise<readonly (readonly Buffer[])[]> {
    const rootPosition = await this.rootPosition();
    /** What was found in a table and below it, until its parent takes it over. */
    const found = new Map<number, Buffer[][]>();
    let rootEntries: readonly CatalogEntry[] = [];
    for await (const { position, entries } of this.tables()) {
      if (position === rootPosition) {
        rootEntries = entries;
        break;
      }
      const paths = entries.flatMap((entry) => pathsIn(entry, found));
      if (paths.length > 0) found.set(position, paths);
    }
    const archive = rootEntries.find(({ name }) => name.toString('latin1') === archiveName);
    return archive?.kind === 'directory' ? (found.get(archive.tablePosition) ?? []) : [];
  }
}

function pathsIn(entry: CatalogEntry, found: Map<number, Buffer[][]>): Buffer[][] {
  if (entry.kind === 'hardlink') return [[entry.name]];
  if (entry.kind !== 'directory') return [];
  const below = found.get(entry.tablePosition);
  if (below === undefined) return [];
  found.delete(entry.tablePosition);
  return below.map((path) => [entry.name, ...path]);
}
