/**
 * Open archives and images. What was used last stays open, bounded by the memory of the indexes; those who still read from one that
 * had to go keep it alive for themselves.
 *
 * Each pxar archive has a range of inode numbers of its own for as long as the tree lives: its nodes' numbers, moved up.
 */
import { LRUCache } from 'lru-cache';
import { StoreError } from '../errors.js';
import type { ArchiveRoot } from './archive-root.js';
import type { PxarArchive } from './pxar-archive.js';
import type { Ino } from '../vfs/file-system.js';
import { stale } from './node.js';
import type { OpenStream } from '../archive/stream-opener.js';

type Shelved = PxarArchive | OpenStream;

/** Inode numbers below this are those of nodes outside of archives. */
export const archiveInoMin: Ino = 2 ** 32;
const indexBytesMax = 64 << 20;
const bytesPerChunk = 40;
/** Caches of nodes and directories that an open archive may have grown. */
const archiveBytes = 1 << 20;

export class ArchiveShelf {
  readonly #roots: ArchiveRoot[] = [];
  readonly #rootOfKey = new Map<string, ArchiveRoot>();
  readonly #open = new LRUCache<string, Shelved>({
    maxSize: indexBytesMax,
    maxEntrySize: Number.MAX_SAFE_INTEGER,
    sizeCalculation: (shelved) => Math.min(bytesOf(shelved), indexBytesMax),
    dispose: closeShelved,
  });
  readonly #opening = new Map<string, Promise<Shelved>>();
  #nextBase = archiveInoMin;

  /** The root under `key`, made with inode numbers for the nodes of a stream of `size` bytes when it is asked for first. */
  root(key: string, size: number, create: (base: Ino, end: Ino) => ArchiveRoot): ArchiveRoot {
    const known = this.#rootOfKey.get(key);
    if (known !== undefined) return known;
    const end = this.#nextBase + (size + 1) * 2;
    if (end > Number.MAX_SAFE_INTEGER) throw new StoreError('NOT_FOUND', 'too many archives were opened for one mount: mount again');
    const root = create(this.#nextBase, end);
    this.#nextBase = end;
    this.#roots.push(root);
    this.#rootOfKey.set(key, root);
    return root;
  }

  rootOf(ino: Ino): ArchiveRoot {
    let low = 0;
    let high = this.#roots.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#roots[middle]?.end ?? 0) > ino) high = middle;
      else low = middle + 1;
    }
    const root = this.#roots[low];
    if (root === undefined || ino < root.base) throw stale(ino);
    return root;
  }

  /** What is on the shelf under `key`, or what `open` gives, which is kept. */
  take<T extends Shelved>(key: string, open: () => Promise<T>): T | Promise<T> {
    const kept = this.#open.get(key);
    if (kept !== undefined) return kept as T;
    let opening = this.#opening.get(key) as Promise<T> | undefined;
    if (opening === undefined) {
      opening = open().then((shelved) => {
        this.#open.set(key, shelved);
        return shelved;
      });
      this.#opening.set(key, opening);
      const done = (): boolean => this.#opening.delete(key);
      opening.then(done, done);
    }
    return opening;
  }

  get openCount(): number {
    return this.#open.size;
  }
}

function streamsOf(shelved: Shelved): readonly OpenStream[] {
  return 'streams' in shelved ? shelved.streams : [shelved];
}

function bytesOf(shelved: Shelved): number {
  const indexes = streamsOf(shelved).reduce((sum, { index }) => sum + index.count * bytesPerChunk, 1 << 12);
  return 'streams' in shelved ? indexes + archiveBytes : indexes;
}

function closeShelved(shelved: Shelved): void {
  for (const { stream } of streamsOf(shelved)) stream.close();
}
