/**
 * What a staged image was cloned from, and which chunks are still as there. Only what is reported depends on it: its file may be behind,
 * and one that is damaged counts as none. Bytes of the file: CRC-32, checksum of the index, one bit a chunk.
 */
import { constants } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { crc32 } from 'node:zlib';
import { imageBytesMax, imageChunkBytes } from './image-record.js';
import { Turns } from './image-turns.js';

const csumBytes = 32;
const bitsOffset = 4 + csumBytes;
const fileBytesMax = bitsOffset + imageBytesMax / imageChunkBytes / 8;

export class ImageOrigin {
  readonly #handle: FileHandle;
  readonly #turns = new Turns();
  #csum: Buffer | undefined;
  #clean = new Uint8Array(0);
  #isWritten = true;

  private constructor(handle: FileHandle) {
    this.#handle = handle;
  }

  /** Made if it is not there. */
  static async open(path: string): Promise<ImageOrigin> {
    const handle = await open(path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600);
    const origin = new ImageOrigin(handle);
    const { size } = await handle.stat();
    if (size >= bitsOffset && size <= fileBytesMax) await origin.#load(size);
    return origin;
  }

  /** Of the index, 32 bytes; undefined if nothing is as in one. */
  get csum(): Buffer | undefined {
    return this.#csum;
  }

  /** Chunks [first, end) are those of the index now. Of a second index nothing is noted while anything else is as in the first. */
  note(csum: Buffer, first: number, end: number): void {
    if (this.#csum?.equals(csum) !== true) {
      for (let chunk = first; chunk < end; chunk++) this.clear(chunk);
      if (this.#clean.some((bits) => bits !== 0)) return;
      this.#csum = Buffer.from(csum);
    }
    this.#reserve(end);
    for (let chunk = first; chunk < end; chunk++) this.#clean[chunk >>> 3] = (this.#clean[chunk >>> 3] ?? 0) | (1 << (chunk & 7));
    this.#isWritten = false;
  }

  /** The chunk was changed. */
  clear(chunk: number): void {
    if (!this.#isClean(chunk)) return;
    this.#clean[chunk >>> 3] = (this.#clean[chunk >>> 3] ?? 0) & ~(1 << (chunk & 7));
    this.#isWritten = false;
  }

  clearFrom(first: number): void {
    for (let chunk = first; chunk < this.#clean.length * 8; chunk++) this.clear(chunk);
  }

  /** Of an image of so many bytes: how many are in chunks that are not as in the index. */
  dirtyBytes(size: number): number {
    let bytes = 0;
    for (let chunk = 0; chunk * imageChunkBytes < size; chunk++) {
      if (!this.#isClean(chunk)) bytes += Math.min(imageChunkBytes, size - chunk * imageChunkBytes);
    }
    return bytes;
  }

  async write(): Promise<void> {
    if (this.#isWritten) return;
    await this.#turns.run(async () => {
      if (this.#isWritten || this.#csum === undefined) return;
      this.#isWritten = true;
      try {
        const rest = Buffer.concat([this.#csum, this.#clean]);
        const bytes = Buffer.alloc(4 + rest.length);
        bytes.writeUInt32LE(crc32(rest));
        rest.copy(bytes, 4);
        await this.#handle.write(bytes, 0, bytes.length, 0);
      } catch (error) {
        this.#isWritten = false;
        throw error;
      }
    });
  }

  close(): Promise<void> {
    return this.#turns.run(() => this.#handle.close());
  }

  async #load(size: number): Promise<void> {
    const bytes = Buffer.alloc(size);
    const { bytesRead } = await this.#handle.read(bytes, 0, size, 0);
    if (bytesRead < size || bytes.readUInt32LE() !== crc32(bytes.subarray(4))) return;
    this.#csum = bytes.subarray(4, bitsOffset);
    this.#clean = new Uint8Array(bytes.subarray(bitsOffset));
  }

  #isClean(chunk: number): boolean {
    return ((this.#clean[chunk >>> 3] ?? 0) & (1 << (chunk & 7))) !== 0;
  }

  #reserve(chunks: number): void {
    const bytes = Math.ceil(chunks / 8);
    if (bytes <= this.#clean.length) return;
    const larger = new Uint8Array(bytes);
    larger.set(this.#clean);
    this.#clean = larger;
  }
}
