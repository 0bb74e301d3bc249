/**
 * Keeps unchanged files from being read: their chunks of the previous payload are put into the new one. Whether that pays is known when a run
 * of neighbouring files ends, so entries are queued until then, without descriptors: what has to be read is opened again. Format: pxar, section 7
 */
import { fileTypeMask, fileTypes, type PxarEntry, type PxarMetadata } from '../format/pxar/entry.js';
import type { DynamicIndex } from '../format/dynamic-index.js';
import { FormatError } from '../errors.js';
import { nameBytesMax } from '../format/pxar/item.js';
import type { MaybePromise } from '../vfs/file-system.js';
import { andThen } from '../vfs/maybe.js';
import { linkKey, type ArchiveOutput, type FoundEntry, type LinkedFile } from './archive-output.js';
import type { ReferenceTree } from './archive-options.js';
import type { ArchiveTally } from './archive-tally.js';
import type { ClonedContent } from './cloned-content.js';
import { chunkGroups, coverOf, type ByteRange, type Cover } from './covering-chunks.js';
import { ReferenceWalk } from './reference-walk.js';
import { specialEntry } from './special-entry.js';
import type { TreeVisitor, VisitAgain } from './tree-walker.js';

/** Of what is injected, this part may be bytes that no file refers to. */
const paddingMax = 0.1;
const injectedChunksMax = 128;
const keptChunksMax = 1024;
const queuedMax = 65_536;
/** Of attributes and link targets. */
const queuedBytesMax = 16 << 20;

type Queued =
  | { readonly kind: 'begin'; readonly name: Buffer; readonly metadata: PxarMetadata }
  | { readonly kind: 'end' }
  | { readonly kind: 'special'; readonly name: Buffer; readonly entry: PxarEntry }
  | QueuedFile
  | { readonly kind: 'hardlink'; readonly name: Buffer; readonly key: string };

interface QueuedFile {
  readonly kind: 'file';
  readonly name: Buffer;
  readonly metadata: PxarMetadata;
  readonly size: number;
  /** In the old payload. */
  readonly offset: number;
  readonly key: string | undefined;
}

interface HeldChunk {
  readonly number: number;
  /** Bytes of it that no file refers to, so far. */
  readonly padding: number;
}

export interface ReuseOptions {
  readonly visitAgain: VisitAgain;
  readonly tally: ArchiveTally;
  /** Whether a file counts as changed that is not a clone, whatever its metadata. */
  readonly clonesOnly: boolean;
}

export class PayloadReuse implements TreeVisitor {
  readonly #output: ArchiveOutput;
  readonly #reference: ReferenceTree;
  readonly #index: DynamicIndex;
  /** Of the index. */
  readonly #csum: string;
  /** Undefined: metadata is not trusted, only clones are known to be unchanged. */
  readonly #walk: ReferenceWalk | undefined;
  readonly #visitAgain: VisitAgain;
  readonly #tally: ArchiveTally;
  #queue: Queued[] = [];
  #queuedBytes = 0;
  readonly #queuedKeys = new Set<string>();
  /** Of the old payload, what the queued files cover. */
  #range: { start: number; end: number } = { start: 0, end: 0 };
  #held: HeldChunk | undefined;
  /** The last offset in the old payload that was taken: offsets must go up, in both payloads. */
  #lastOffset = -1;
  #missingTold = false;
  #backwardTold = false;
  #hasClones = false;

  constructor(output: ArchiveOutput, reference: ReferenceTree, { visitAgain, tally, clonesOnly }: ReuseOptions) {
    this.#output = output;
    this.#reference = reference;
    this.#index = reference.payloadIndex;
    this.#csum = this.#index.csum.toString('hex');
    this.#walk = clonesOnly ? undefined : new ReferenceWalk(reference, tally.warn);
    this.#visitAgain = visitAgain;
    this.#tally = tally;
  }

  async beginDirectory(name: Buffer, metadata: PxarMetadata): Promise<void> {
    await this.#walk?.enter(name);
    if (this.#queue.length > 0) return this.#enqueue({ kind: 'begin', name, metadata }, bytesOf(metadata));
    this.#injectHeld();
    await this.#output.beginDirectory(name, metadata);
  }

  endDirectory(): MaybePromise<void> {
    this.#walk?.leave();
    return this.#queue.length > 0 ? this.#enqueue({ kind: 'end' }, 0) : this.#output.endDirectory();
  }

  entry(found: FoundEntry): MaybePromise<void> {
    if ((found.stat.mode & fileTypeMask) === fileTypes.regular) return this.#file(found);
    const entry = specialEntry(found, this.#tally.warn);
    if (entry === undefined) return undefined;
    const { name, metadata } = found;
    if (this.#queue.length > 0) return this.#enqueue({ kind: 'special', name, entry }, bytesOf(metadata) + (entry.target?.length ?? 0));
    this.#injectHeld();
    return this.#output.special(name, entry);
  }

  /** To be called when all entries were given. */
  async finish(): Promise<void> {
    await this.#flush({ hold: false });
    this.#injectHeld();
  }

  #file(found: FoundEntry): MaybePromise<void> {
    const { name, stat, metadata } = found;
    const key = linkKey(stat);
    if (key !== undefined && (this.#queuedKeys.has(key) || this.#output.linkTarget(key) !== undefined)) {
      return this.#enqueue({ kind: 'hardlink', name, key }, 0);
    }
    const { clone } = found;
    this.#hasClones ||= clone !== undefined;
    const range = clone === undefined ? this.#walk?.unchanged(name, stat, metadata) : this.#rangeOf(clone);
    return andThen(range, (old) => (old !== undefined && this.#goesOn(old) ? this.#reuse(found, key, old) : this.#encode(found)));
  }

  /** A clone of the reference's file is that, whatever became of its name and attributes. */
  #rangeOf({ payload }: ClonedContent): ByteRange | undefined {
    return payload?.csum === this.#csum && payload.end <= this.#index.size ? payload : undefined;
  }

  /** Whether the file is behind all others that were taken from the old payload. */
  #goesOn({ start }: ByteRange): boolean {
    if (start > this.#lastOffset) return true;
    // Clones may have any name.
    if (this.#hasClones || this.#backwardTold) return false;
    this.#tally.warn('the archive of the previous snapshot has files out of order; they are read again');
    this.#backwardTold = true;
    return false;
  }

  #reuse({ name, stat, metadata, path }: FoundEntry, key: string | undefined, range: ByteRange): MaybePromise<void> {
    this.#lastOffset = range.start;
    const queued: Queued = { kind: 'file', name, metadata, size: stat.size, offset: range.start, key };
    const first = this.#range.end === 0;
    const neighbour = first || this.#range.end === range.start;
    const full = this.#queue.length >= queuedMax || this.#queuedBytes >= queuedBytesMax;
    const add = (): MaybePromise<void> => {
      if (first || !neighbour) this.#range = { ...range };
      else this.#range.end = range.end;
      // One that can't be linked to, as its path is too long, is no first name of others.
      if (key !== undefined && path().length - 1 <= nameBytesMax) this.#queuedKeys.add(key);
      return this.#enqueue(queued, bytesOf(metadata));
    };
    return neighbour && !full ? add() : this.#flush({ hold: true, continued: neighbour }).then(add);
  }

  async #encode(found: FoundEntry): Promise<void> {
    if (this.#queue.length > 0) await this.#flush({ hold: false });
    this.#injectHeld();
    await this.#output.entry(found);
  }

  #enqueue(queued: Queued, bytes: number): MaybePromise<void> {
    this.#queue.push(queued);
    this.#queuedBytes += bytes;
    const full = this.#queue.length >= 2 * queuedMax || this.#queuedBytes >= 2 * queuedBytesMax;
    return full ? this.#flush({ hold: true }) : undefined;
  }

  /** `hold`: the last chunk waits for files that follow in it. `continued`: it is known that such a file follows. */
  async #flush({ hold, continued = false }: { readonly hold: boolean; readonly continued?: boolean }): Promise<void> {
    const range = this.#range;
    const cover = range.start === range.end ? undefined : coverOf(this.#index, range);
    if (cover === undefined || this.#paddingOf(cover, range, continued) > paddingMax || !(await this.#keepChunks(cover))) {
      await this.#readQueued();
    } else {
      if (this.#held?.number !== cover.first) this.#injectHeld();
      this.#held = undefined;
      await this.#referToQueued(this.#output.payloadPosition + cover.padStart - range.start);
      this.#inject(cover.first, hold ? cover.last : cover.last + 1);
      if (hold) this.#held = { number: cover.last, padding: cover.padEnd + (cover.first === cover.last ? cover.padStart : 0) };
    }
    this.#range = { start: range.end, end: range.end };
  }

  #paddingOf({ first, padStart, padEnd }: Cover, { start, end }: ByteRange, continued: boolean): number {
    const total = end - start + padStart + padEnd;
    const held = this.#held;
    const usedBefore = held?.number === first ? this.#chunkBytes(first) - held.padding : 0;
    return (padStart + (continued ? 0 : padEnd) - usedBefore) / total;
  }

  /** False if one of the chunks is not there any more. */
  async #keepChunks({ first, last }: Cover): Promise<boolean> {
    for (const group of chunkGroups(this.#index, first, last + 1, keptChunksMax)) {
      const missing = await this.#reference.reuse(group);
      if (missing.length === 0) continue;
      if (!this.#missingTold) this.#tally.warn('chunks of the previous snapshot are missing in the datastore; the files in them are read again');
      this.#missingTold = true;
      return false;
    }
    return true;
  }

  #takeQueue(): readonly Queued[] {
    const queue = this.#queue;
    this.#queue = [];
    this.#queuedBytes = 0;
    this.#queuedKeys.clear();
    return queue;
  }

  async #readQueued(): Promise<void> {
    this.#injectHeld();
    for (const queued of this.#takeQueue()) {
      await this.#tally.turn();
      if (queued.kind === 'file') this.#tally.filesReencoded += 1;
      const target = queued.kind === 'hardlink' ? this.#output.linkTarget(queued.key) : undefined;
      if (queued.kind === 'file' || (queued.kind === 'hardlink' && target === undefined)) {
        await this.#visitAgain(this.#output.directoryNames, queued.name, (entry) => this.#output.entry(entry));
      } else {
        await this.#emit(queued, target);
      }
    }
  }

  /** Writes no byte of the payload: its chunks are injected after. `shift`: from offsets in the old payload to those in the new one. */
  async #referToQueued(shift: number): Promise<void> {
    this.#output.suggestCut();
    for (const queued of this.#takeQueue()) {
      const turn = this.#tally.turn();
      if (turn !== undefined) await turn;
      const emitted =
        queued.kind === 'file'
          ? this.#output.reusedFile(queued.name, queued.metadata, { offset: queued.offset + shift, size: queued.size }, queued.key)
          : this.#emit(queued, queued.kind === 'hardlink' ? this.#output.linkTarget(queued.key) : undefined);
      if (emitted !== undefined) await emitted;
    }
  }

  #emit(queued: Exclude<Queued, { readonly kind: 'file' }>, target: LinkedFile | undefined): MaybePromise<void> {
    switch (queued.kind) {
      case 'begin':
        return this.#output.beginDirectory(queued.name, queued.metadata);
      case 'end':
        return this.#output.endDirectory();
      case 'special':
        return this.#output.special(queued.name, queued.entry);
      case 'hardlink':
        if (target === undefined) throw new FormatError('BAD_STRUCTURE', 'a hard link was queued without its first name; please report this');
        return this.#output.hardlink(queued.name, target);
    }
  }

  #injectHeld(): void {
    const held = this.#held;
    this.#held = undefined;
    if (held !== undefined) this.#inject(held.number, held.number + 1);
  }

  #inject(from: number, to: number): void {
    for (const group of chunkGroups(this.#index, from, to, injectedChunksMax)) this.#output.inject(group);
  }

  #chunkBytes(n: number): number {
    return this.#index.endOf(n) - this.#index.startOf(n);
  }
}

function bytesOf({ xattrs, fcaps }: PxarMetadata): number {
  return xattrs.reduce((sum, { name, value }) => sum + name.length + value.length, fcaps?.length ?? 0);
}
