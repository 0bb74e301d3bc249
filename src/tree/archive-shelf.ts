/**
 * Open archives and images. What was used last stays open, bounded by the memory of the indexes; those who still read from one that
 * had to go keep it alive for themselves.
 *
 * Each pxar archive has a range of inode numbers of its own for as long as the tree lives: its nodes' numbers, moved up.
 */
import { LRUCache } from 'lru-cache';
import { FileError, StoreError } from '../errors.js';
import type { PxarArchive } from './pxar-archive.js';
import type { Ino } from '../vfs/file-system.js';
import type { OpenStream } from './stream-opener.js';

export interface ArchivePlace {
  readonly key: string;
  /** Added to the numbers of its nodes. */
  readonly base: Ino;
  /** First number that is not its own. */
  readonly end: Ino;
  /** Of the root directory. */
  readonly root: Ino;
  open(): Promise<PxarArchive>;
}

type Shelved = PxarArchive | OpenStream;

/** Inode numbers below this are those of nodes outside of archives. */
export const archiveInoMin: Ino = 2 ** 32;
const indexBytesMax = 64 << 20;
const bytesPerChunk = 40;
/** Caches of nodes and directories that an open archive may have grown. */
const archiveBytes = 1 << 20;

export class ArchiveShelf {
  readonly #places: ArchivePlace[] = [];
  readonly #placeOfKey = new Map<string, ArchivePlace>();
  readonly #open = new LRUCache<string, Shelved>({
    maxSize: indexBytesMax,
    maxEntrySize: Number.MAX_SAFE_INTEGER,
    sizeCalculation: (shelved) => Math.min(bytesOf(shelved), indexBytesMax),
    dispose: closeShelved,
  });
  readonly #opening = new Map<string, Promise<Shelved>>();
  #nextBase = archiveInoMin;

  /** The place of an archive whose metadata stream has `size` bytes. */
  place(key: string, size: number, open: () => Promise<PxarArchive>): ArchivePlace {
    const known = this.#placeOfKey.get(key);
    if (known !== undefined) return known;
    const base = this.#nextBase;
    const root = base + size * 2;
    const end = root + 2;
    if (end > Number.MAX_SAFE_INTEGER) throw new StoreError('NOT_FOUND', 'too many archives were opened for one mount: mount again');
    this.#nextBase = end;
    const place = { key, base, end, root, open };
    this.#places.push(place);
    this.#placeOfKey.set(key, place);
    return place;
  }

  placeOf(ino: Ino): ArchivePlace {
    let low = 0;
    let high = this.#places.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#places[middle]?.end ?? 0) > ino) high = middle;
      else low = middle + 1;
    }
    const place = this.#places[low];
    if (place === undefined || ino < place.base) throw new FileError('INVALID_ARGUMENT', `no file has the inode number ${ino}`);
    return place;
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
