/** The children of one directory of a pxar archive by their slot in its goodbye table, and the order in which they stand in the archive. */
import type { ByteRange, GoodbyeTable } from '../format/pxar/goodbye.js';
import type { U64 } from '../format/pxar/u64.js';

export class PxarDirectory {
  /** Position of the directory's own entry (after its FILENAME). */
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

  /** Slot of the child that stands at place `index` in the archive. */
  slotAt(index: number): number {
    return this.#slots[index] ?? 0;
  }

  /** Where a child begins (its FILENAME header) and at most ends; exact for directories. */
  range(slot: number): ByteRange {
    return this.#table.range(slot, this.#goodbyePosition);
  }

  /** Slots of the children whose name has this hash. */
  find(hash: U64): readonly number[] {
    return this.#table.find(hash);
  }
}
