/** The file `data` of a staged image: bytes of chunks that are not in the datastore yet, each at its own offset, with holes between. */
import { constants } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { FormatError } from '../../errors.js';
import { discardRange, nextData, nextHole } from '../../os/file-extents.js';
import { SharedSync } from '../../os/shared-sync.js';
import type { ByteRange } from './image-ranges.js';
import { imageChunkBytes } from './image-record.js';

export class ImageData {
  readonly #path: string;
  readonly #handle: FileHandle;
  /** Chunks that take space. */
  readonly #allocated: Set<number>;
  readonly #sync = new SharedSync(() => this.#handle.datasync());

  private constructor(path: string, handle: FileHandle, allocated: Set<number>) {
    this.#path = path;
    this.#handle = handle;
    this.#allocated = allocated;
  }

  /** Made if it is not there. */
  static async open(path: string): Promise<ImageData> {
    const handle = await open(path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600);
    return new ImageData(path, handle, allocatedChunks(handle.fd));
  }

  get allocated(): ReadonlySet<number> {
    return this.#allocated;
  }

  /** It will take space. */
  reserve(chunk: number): void {
    this.#allocated.add(chunk);
  }

  /** Fills `into` with the bytes from `start` of the chunk on. */
  async read(chunk: number, start: number, into: Buffer): Promise<void> {
    for (let filled = 0; filled < into.length; ) {
      const { bytesRead } = await this.#handle.read(into, filled, into.length - filled, chunk * imageChunkBytes + start + filled);
      if (bytesRead === 0) throw new FormatError('TRUNCATED', `${this.#path} is shorter than its map says: it was cut by something else`);
      filled += bytesRead;
    }
  }

  /** `content`: of the chunk, from its start on. */
  async write(chunk: number, ranges: readonly ByteRange[], content: Buffer): Promise<void> {
    this.#allocated.add(chunk);
    try {
      for (const { start, end } of ranges) {
        for (let at = start; at < end; ) {
          const { bytesWritten } = await this.#handle.write(content, at, end - at, chunk * imageChunkBytes + at);
          at += bytesWritten;
        }
      }
    } finally {
      this.#sync.note();
    }
  }

  /** What was written before survives a power cut. */
  sync(): Promise<void> {
    return this.#sync.done();
  }

  /** Gives the space of a chunk back. */
  discard(chunk: number): void {
    discardRange(this.#handle.fd, chunk * imageChunkBytes, imageChunkBytes);
    this.#allocated.delete(chunk);
  }

  close(): Promise<void> {
    return this.#handle.close();
  }
}

function allocatedChunks(fd: number): Set<number> {
  const chunks = new Set<number>();
  for (let start = nextData(fd, 0); start !== undefined; ) {
    const end = nextHole(fd, start);
    for (let chunk = Math.floor(start / imageChunkBytes); chunk * imageChunkBytes < end; chunk++) chunks.add(chunk);
    start = nextData(fd, end);
  }
  return chunks;
}
