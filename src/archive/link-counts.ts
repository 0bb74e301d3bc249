/**
 * How many names the files of a pxar archive have. The archive does not say: its hard links have to be found. A catalog names them all; the
 * metadata of a split archive is short enough to be walked through. In an archive that has neither each file shows one name.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { PxarScanner } from '../format/pxar/scanner.js';
import type { MaybePromise } from '../vfs/file-system.js';
import { Catalog } from './catalog.js';
import type { ChunkStream } from './chunk-stream.js';
import { entryId, type NodeId, type PxarTree } from './pxar-tree.js';
import { scanStream } from './stream-scan.js';

/** Opens the catalog of the snapshot; undefined where there is none. */
export type CatalogOpener = () => Promise<ChunkStream | undefined>;

/** Archives up to this are counted before their first file is shown: that takes a fraction of a second. */
const smallBytesMax = 32 << 20;
/** In larger ones a listing waits no longer; what it shows is soon asked for again. */
const listingWaitMs = 2000;
/** One file of a larger one does not wait, and counting begins when that file is likely to have been read. */
const backgroundAfterMs = 500;

export class LinkCounts {
  readonly #tree: PxarTree;
  readonly #archiveName: string;
  readonly #openCatalog: CatalogOpener;
  /** Names beside the first one. */
  readonly #further = new Map<NodeId, number>();
  #counting: Promise<void> | undefined;
  #postponed = false;
  #complete = false;

  constructor(tree: PxarTree, archiveName: string, openCatalog: CatalogOpener) {
    this.#tree = tree;
    this.#archiveName = archiveName;
    this.#openCatalog = openCatalog;
  }

  /** Whether all hard links that can be found were found. */
  get complete(): boolean {
    return this.#complete;
  }

  of(id: NodeId): number {
    return 1 + (this.#further.get(id) ?? 0);
  }

  /** Waits until the counts are complete; in a large archive for a listing only, and not for ever. */
  settle(forWhat: 'one' | 'all'): MaybePromise<void> {
    if (this.#complete) return undefined;
    if (this.#tree.streams.meta.size <= smallBytesMax) return this.#start();
    if (forWhat === 'all') return Promise.race([this.#start(), delay(listingWaitMs, undefined, { ref: false })]);
    if (!this.#postponed) setTimeout(() => void this.#start(), backgroundAfterMs).unref();
    this.#postponed = true;
    return undefined;
  }

  /** What can't be found because of damage stays uncounted: the files themselves can be read. */
  #start(): Promise<void> {
    this.#counting ??= this.#count()
      .catch(() => undefined)
      .then(() => {
        this.#complete = true;
      });
    return this.#counting;
  }

  async #count(): Promise<void> {
    const { meta } = this.#tree.streams;
    if (this.#tree.version === 2) {
      await scanStream(meta, new PxarScanner(), (event) => {
        if (event.type !== 'entry' || event.entry.hardlink === undefined) return;
        this.#add(entryId(event.namePosition - event.entry.hardlink.distance));
      });
      return;
    }
    const stream = await this.#openCatalog();
    if (stream === undefined) return;
    for (const path of await new Catalog(stream).hardlinks(this.#archiveName)) await this.#countPath(path);
  }

  async #countPath(path: readonly Buffer[]): Promise<void> {
    let id = this.#tree.root;
    for (const name of path) {
      const child = await this.#tree.lookup(id, name);
      if (child === undefined) return;
      if (child.linked) this.#add(child.id);
      id = child.id;
    }
  }

  #add(id: NodeId): void {
    this.#further.set(id, this.of(id));
  }
}
