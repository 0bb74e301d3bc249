/** Sets of bytes of one chunk, as ranges in order that neither overlap nor touch. */

/** Bytes [start, end). */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

export class ByteRanges {
  #list: readonly ByteRange[];

  constructor(ranges: readonly ByteRange[] = []) {
    this.#list = [];
    for (const range of ranges) this.add(range);
  }

  get list(): readonly ByteRange[] {
    return this.#list;
  }

  get isEmpty(): boolean {
    return this.#list.length === 0;
  }

  add({ start, end }: ByteRange): void {
    if (start >= end) return;
    const first = this.#list.findIndex((range) => range.end >= start);
    if (first === -1) {
      this.#list = [...this.#list, { start, end }];
      return;
    }
    let behind = first;
    while (behind < this.#list.length && (this.#list[behind]?.start ?? Infinity) <= end) behind++;
    const touched = this.#list.slice(first, behind);
    const merged = { start: Math.min(start, touched[0]?.start ?? start), end: Math.max(end, touched.at(-1)?.end ?? end) };
    this.#list = [...this.#list.slice(0, first), merged, ...this.#list.slice(behind)];
  }

  clear(): void {
    this.#list = [];
  }

  covers({ start, end }: ByteRange): boolean {
    return start >= end || this.#list.some((range) => range.start <= start && range.end >= end);
  }

  /** The parts of the set in a range. */
  within({ start, end }: ByteRange): ByteRange[] {
    return this.#list
      .filter((range) => range.start < end && range.end > start)
      .map((range) => ({ start: Math.max(range.start, start), end: Math.min(range.end, end) }));
  }

  /** The parts of a range that are not in the set. */
  gaps({ start, end }: ByteRange): ByteRange[] {
    const gaps: ByteRange[] = [];
    let at = start;
    for (const range of this.within({ start, end })) {
      if (range.start > at) gaps.push({ start: at, end: range.start });
      at = range.end;
    }
    if (at < end) gaps.push({ start: at, end });
    return gaps;
  }
}
