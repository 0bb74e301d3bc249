/** Memory of the indexes that a client writes: taken when entries come, not when they are announced. */
import { FormatError } from '../../../errors.js';
import { digestBytes } from '../../../format/chunk-index.js';

/** Of all open indexes of a session: images of 32 TiB. */
export const indexMemoryBytesMax = 256 * 1024 * 1024;
const pageEntries = 2048;
const pageBytes = pageEntries * digestBytes;

export class IndexMemory {
  #bytes = 0;

  constructor(private readonly bytesMax = indexMemoryBytesMax) {}

  /** LIMIT_EXCEEDED. */
  take(bytes: number): void {
    if (this.#bytes + bytes > this.bytesMax) {
      throw new FormatError('LIMIT_EXCEEDED', `the open indexes of this backup take more than ${this.bytesMax} bytes: close some of them first`);
    }
    this.#bytes += bytes;
  }

  give(bytes: number): void {
    this.#bytes -= bytes;
  }
}

/** Digests by their position, in any order. Those that were not set are zeros. */
export class DigestTable {
  readonly #memory: IndexMemory;
  readonly #pages = new Map<number, Buffer>();

  constructor(memory: IndexMemory) {
    this.#memory = memory;
  }

  set(position: number, digest: Buffer): void {
    const number = Math.floor(position / pageEntries);
    digest.copy(this.#pages.get(number) ?? this.#newPage(number), (position % pageEntries) * digestBytes);
  }

  /** The first `count`, one after the other. */
  concat(count: number): Buffer {
    const bytes = Buffer.alloc(count * digestBytes);
    for (const [number, page] of this.#pages) page.copy(bytes, number * pageBytes);
    return bytes;
  }

  release(): void {
    this.#memory.give(this.#pages.size * pageBytes);
    this.#pages.clear();
  }

  #newPage(number: number): Buffer {
    this.#memory.take(pageBytes);
    const page = Buffer.alloc(pageBytes);
    this.#pages.set(number, page);
    return page;
  }
}

/** Whether one of these digests is all zeros: a position that was never set. */
export function hasUnset(digests: Buffer): boolean {
  const zeros = Buffer.alloc(digestBytes);
  for (let offset = 0; offset < digests.length; offset += digestBytes) {
    if (digests.readUInt32LE(offset) === 0 && zeros.compare(digests, offset, offset + digestBytes) === 0) return true;
  }
  return false;
}
