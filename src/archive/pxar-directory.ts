/** The children of one directory of a pxar archive by their slot in its goodbye table, and the order in which they stand in the archive. */
import type { ByteRange, GoodbyeTable } from '../format/pxar/goodbye.js';
import { compareHashes } from '../format/pxar/goodbye.js';
import { nameHash } from '../format/pxar/name-hash.js';
import type { U64 } from '../format/pxar/u64.js';

export interface PxarDirectory {
  /** Position of the directory's own entry (after its FILENAME). */
  readonly entryPosition: number;
  readonly count: number;
  /** Slot of the child that stands at place `index` in the archive. */
  slotAt(index: number): number;
  /** Where a child begins (its FILENAME header) and at most ends; exact for directories. */
  range(slot: number): ByteRange;
  /** Slots of the children whose name has this hash. */
  find(hash: U64): readonly number[];
}

export class IndexedDirectory implements PxarDirectory {
  readonly entryPosition: number;
  readonly #table: GoodbyeTable;
  readonly #goodbyePosition: number;
  readonly #slots: Uint32Array;

  constructor(table: GoodbyeTable, goodbyePosition: number, entryPosition: number) {
    this.#table = table;
    this.#goodbyePosition = goodbyePosition;
    this.entryPosition = entryPosition;
    this.#slots = table.byArchiveOrder();
  }

  get count(): number {
    return this.#slots.length;
  }

  slotAt(index: number): number {
    return this.#slots[index] ?? 0;
  }

  range(slot: number): ByteRange {
    return this.#table.range(slot, this.#goodbyePosition);
  }

  find(hash: U64): readonly number[] {
    return this.#table.find(hash);
  }
}

export interface FoundChild extends ByteRange {
  readonly name: Buffer;
}

/** A directory whose goodbye table is lost: its children as a scan found them. */
export class RebuiltDirectory implements PxarDirectory {
  readonly entryPosition: number;
  readonly #children: readonly FoundChild[];

  constructor(children: readonly FoundChild[], entryPosition: number) {
    this.#children = children;
    this.entryPosition = entryPosition;
  }

  get count(): number {
    return this.#children.length;
  }

  slotAt(index: number): number {
    return index;
  }

  range(slot: number): ByteRange {
    return this.#children[slot] ?? { start: 0, end: 0 };
  }

  find(hash: U64): readonly number[] {
    const slots = this.#children.map((_, slot) => slot);
    return slots.filter((slot) => compareHashes(hash, nameHash(this.#children[slot]?.name ?? Buffer.alloc(0))) === 0);
  }
}
