/** The bytes of a file in memory, with holes: pages that were never written, or were punched out. */
import { Buffer } from 'node:buffer';

export const pageBytes = 4096;

export class PagedContent {
  size = 0;
  /** @type {Map<number, Buffer>} */
  #pages = new Map();

  get pages() {
    return this.#pages.size;
  }

  /** @param {number} offset @param {number} length */
  read(offset, length) {
    const bytes = Buffer.alloc(Math.max(Math.min(length, this.size - offset), 0));
    this.#each(offset, bytes.length, (number, start, end, at) => {
      this.#pages.get(number)?.copy(bytes, at, start, end);
    });
    return bytes;
  }

  /** @param {number} offset @param {Buffer} data */
  write(offset, data) {
    this.#each(offset, data.length, (number, start, end, at) => {
      data.copy(this.#page(number), start, at, at + end - start);
    });
    this.size = Math.max(this.size, offset + data.length);
  }

  /** @param {number} size */
  truncate(size) {
    if (size < this.size) {
      this.zero(size, Math.ceil(size / pageBytes) * pageBytes - size);
      for (const number of this.#pages.keys()) if (number * pageBytes >= size) this.#pages.delete(number);
    }
    this.size = size;
  }

  /** Zeros what lies in the range; whole pages become holes. @param {number} offset @param {number} length */
  punch(offset, length) {
    this.#each(offset, length, (number, start, end) => {
      if (end - start === pageBytes) this.#pages.delete(number);
      else this.#pages.get(number)?.fill(0, start, end);
    });
  }

  /** @param {number} offset @param {number} length */
  zero(offset, length) {
    this.#each(offset, length, (number, start, end) => {
      this.#pages.get(number)?.fill(0, start, end);
    });
  }

  /** @param {number} offset @param {number} length */
  reserve(offset, length) {
    this.#each(offset, length, (number) => {
      this.#page(number);
    });
  }

  /** @param {number} offset @param {'data' | 'hole'} what @returns {number | undefined} */
  seek(offset, what) {
    for (let at = offset; at < this.size; at = (Math.floor(at / pageBytes) + 1) * pageBytes) {
      if (this.#pages.has(Math.floor(at / pageBytes)) === (what === 'data')) return at;
    }
    return what === 'hole' && offset < this.size ? this.size : undefined;
  }

  /** @param {number} number */
  #page(number) {
    const known = this.#pages.get(number);
    if (known !== undefined) return known;
    const page = Buffer.alloc(pageBytes);
    this.#pages.set(number, page);
    return page;
  }

  /**
   * @param {number} offset
   * @param {number} length
   * @param {(page: number, start: number, end: number, at: number) => void} use With the range inside of the page, and where it is in the whole.
   */
  #each(offset, length, use) {
    for (let at = 0; at < length;) {
      const number = Math.floor((offset + at) / pageBytes);
      const start = offset + at - number * pageBytes;
      const end = Math.min(pageBytes, start + length - at);
      use(number, start, end, at);
      at += end - start;
    }
  }
}
