/**
 * The listing of one directory of a pxar archive. Children that can't be read for damage are left out, and the listing ends with the
 * error, so that the others are seen and nobody takes it for complete.
 */
import type { ByteSpan } from '../archive/damage.js';
import type { PxarDirectory } from '../archive/pxar-directory.js';
import type { PxarChild, PxarTree } from '../archive/pxar-tree.js';
import type { DirectoryEntry, MaybePromise } from '../vfs/file-system.js';

const chunksPlannedMax = 8;

export interface ListingUse {
  readonly entryOf: (child: PxarChild) => DirectoryEntry;
  /** Told of each child that is left out. */
  readonly report: (error: unknown) => void;
}

export class PxarListing {
  readonly #tree: PxarTree;
  readonly #directory: PxarDirectory;
  readonly #use: ListingUse;
  /** Places of children that can't be read, ascending; reads go forward, so that all below the current one are known. */
  readonly #unreadable: number[] = [];
  #error: Error | undefined;
  /** The part of the stream that was found lost last: there may be ten thousands of children in one chunk. */
  #lost: ByteSpan = { start: 0, end: 0 };
  #planned = 0;

  constructor(tree: PxarTree, directory: PxarDirectory, use: ListingUse) {
    this.#tree = tree;
    this.#directory = directory;
    this.#use = use;
  }

  /** Entries from `index` of the readable ones on: those at hand, but at least one unless the end is reached. */
  read(index: number, count: number): MaybePromise<readonly DirectoryEntry[]> {
    return this.#readFrom(this.#placeOf(index), count);
  }

  #readFrom(start: number, count: number): MaybePromise<readonly DirectoryEntry[]> {
    this.#plan(start);
    const entries: DirectoryEntry[] = [];
    for (let place = start; place < this.#directory.count && entries.length < count; place++) {
      const child = this.#child(place);
      if (child instanceof Promise) {
        if (entries.length > 0) return entries;
        return child.then((entry) => (entry === undefined ? this.#readFrom(place + 1, count) : [entry]));
      }
      if (child !== undefined) entries.push(child);
    }
    if (entries.length === 0 && this.#error !== undefined) throw this.#error;
    return entries;
  }

  #child(place: number): MaybePromise<DirectoryEntry | undefined> {
    const slot = this.#directory.slotAt(place);
    const { start } = this.#directory.range(slot);
    if (start >= this.#lost.start && start < this.#lost.end) return this.#skip(place);
    try {
      const child = this.#tree.child(this.#directory, slot);
      if (!(child instanceof Promise)) return this.#use.entryOf(child);
      return child.then(this.#use.entryOf).catch((error: unknown) => this.#leaveOut(place, error));
    } catch (error) {
      return this.#leaveOut(place, error);
    }
  }

  #leaveOut(place: number, error: unknown): undefined {
    this.#use.report(error);
    this.#error ??= error instanceof Error ? error : new Error(String(error));
    const { meta } = this.#tree.streams;
    const { start } = this.#directory.range(this.#directory.slotAt(place));
    const [lost] = meta.lostRanges(start, meta.size);
    if (lost?.start === start) this.#lost = lost;
    return this.#skip(place);
  }

  #skip(place: number): undefined {
    const inOrder = place > (this.#unreadable.at(-1) ?? -1);
    if (!inOrder && this.#unreadable.includes(place)) return;
    this.#unreadable.push(place);
    if (!inOrder) this.#unreadable.sort((a, b) => a - b);
  }

  #placeOf(index: number): number {
    let place = index;
    for (const unreadable of this.#unreadable) if (unreadable <= place) place++;
    return place;
  }

  /** Decodes the chunks of the children that come next in all workers at once. */
  #plan(place: number): void {
    const { meta } = this.#tree.streams;
    if (place >= this.#directory.count) return;
    let last = this.#chunkOf(place);
    let next = Math.max(this.#planned, place + 1);
    for (let chunks = 0; next < this.#directory.count && chunks < chunksPlannedMax; next++) {
      const chunk = this.#chunkOf(next);
      if (chunk === last) continue;
      if (!meta.prefetch(chunk)) break;
      last = chunk;
      chunks++;
    }
    this.#planned = next;
  }

  #chunkOf(place: number): number {
    return this.#tree.streams.meta.chunkAt(this.#directory.range(this.#directory.slotAt(place)).start);
  }
}
