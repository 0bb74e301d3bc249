/** An image to back up: a file or block device, read at any place, or a stream of unknown length. */
import { constants } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { FileError, PbsfsError, StoreError, codeOf, messageOf } from '../errors.js';
import { blockDeviceBytes } from '../os/block-device.js';
import { nextData, nextHole } from '../os/file-extents.js';

export interface ImageFile {
  readonly kind: 'file';
  readonly path: string;
  /** Bytes when it was opened, at least 1: what is backed up whatever becomes of the file. */
  readonly size: number;
  /** Fills `into` with what lies from `offset` on; fewer bytes than asked for only at the end. The system's error, with path and offset. */
  read(into: Buffer, offset: number): Promise<number>;
  /** The first byte from `offset` on that is not in a hole; `size` if there is none. */
  dataFrom(offset: number): number;
  sizeNow(): Promise<number>;
  close(): Promise<void>;
}

export interface ImageStream {
  readonly kind: 'stream';
  readonly path: string;
  readonly size: undefined;
  readonly input: Readable;
  close(): Promise<void>;
}

export type ImageSource = ImageFile | ImageStream;

/** `-` is `input`, standard input if not given. NOT_FOUND, NO_PERMISSION, IS_A_DIRECTORY, INVALID_ARGUMENT for what can be no image. */
export async function openImageSource(path: string, input: Readable = process.stdin): Promise<ImageSource> {
  if (path === '-') return { kind: 'stream', path: 'standard input', size: undefined, input, close: () => Promise.resolve() };
  const handle = await openFile(path);
  try {
    const facts = await sizeOf(handle, path);
    if (facts.size === 0) throw new FileError('INVALID_ARGUMENT', `${path} is empty; an image has at least one byte`);
    return new OpenImage(handle, path, facts.size, facts.holes);
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/** Without waiting for the other end of a fifo. */
async function openFile(path: string): Promise<FileHandle> {
  try {
    return await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (cause) {
    if (codeOf(cause) === 'ENOENT') throw new StoreError('NOT_FOUND', `${path} does not exist`, { cause });
    if (codeOf(cause) === 'EACCES') throw new StoreError('NO_PERMISSION', `${path} can't be read: no permission`, { cause });
    if (codeOf(cause) === 'ENXIO') throw new FileError('INVALID_ARGUMENT', `${path} is a socket or a device without driver, no image`, { cause });
    throw cause;
  }
}

/** `holes`: whether it may have some. */
async function sizeOf(handle: FileHandle, path: string): Promise<{ size: number; holes: boolean }> {
  const facts = await handle.stat();
  if (facts.isFile()) return { size: facts.size, holes: facts.blocks * 512 < facts.size };
  if (facts.isBlockDevice()) return { size: blockDeviceBytes(handle.fd), holes: false };
  if (facts.isDirectory()) throw new FileError('IS_A_DIRECTORY', `${path} is a directory; back it up as NAME.pxar:${path}`);
  if (facts.isFIFO()) throw new FileError('INVALID_ARGUMENT', `${path} is a fifo, which has no size; give it as standard input: NAME.img:- < ${path}`);
  throw new FileError('INVALID_ARGUMENT', `${path} is neither a file nor a block device`);
}

class OpenImage implements ImageFile {
  readonly kind = 'file';
  readonly #handle: FileHandle;
  #holes: boolean;
  /** Everything before `#dataStart` from where it was looked for is a hole, everything from there to `#dataEnd` is data. */
  #dataStart = 0;
  #dataEnd = 0;

  constructor(
    handle: FileHandle,
    readonly path: string,
    readonly size: number,
    holes: boolean,
  ) {
    this.#handle = handle;
    this.#holes = holes;
  }

  async read(into: Buffer, offset: number): Promise<number> {
    let filled = 0;
    while (filled < into.length) {
      const { bytesRead } = await this.#read(into.subarray(filled), offset + filled);
      if (bytesRead === 0) break;
      filled += bytesRead;
    }
    return filled;
  }

  dataFrom(offset: number): number {
    if (!this.#holes) return offset;
    if (offset < this.#dataStart || offset >= this.#dataEnd) this.#findData(offset);
    return Math.min(Math.max(offset, this.#dataStart), this.size);
  }

  async sizeNow(): Promise<number> {
    const facts = await this.#handle.stat();
    return facts.isFile() ? facts.size : this.size;
  }

  close(): Promise<void> {
    return this.#handle.close();
  }

  async #read(into: Buffer, offset: number): Promise<{ bytesRead: number }> {
    try {
      return await this.#handle.read(into, 0, into.length, offset);
    } catch (cause) {
      if (!(cause instanceof Error)) throw cause;
      const { code, errno, syscall } = cause as NodeJS.ErrnoException;
      const error = new Error(`${this.path} can't be read at byte ${offset}: ${messageOf(cause)}`, { cause });
      throw Object.assign(error, { code, errno, syscall, path: this.path });
    }
  }

  #findData(offset: number): void {
    try {
      this.#dataStart = nextData(this.#handle.fd, offset) ?? Infinity;
      this.#dataEnd = this.#dataStart === Infinity ? Infinity : nextHole(this.#handle.fd, this.#dataStart);
    } catch (error) {
      if (!(error instanceof PbsfsError && error.code === 'NOT_SUPPORTED')) throw error;
      this.#holes = false;
      this.#dataStart = offset;
    }
  }
}
