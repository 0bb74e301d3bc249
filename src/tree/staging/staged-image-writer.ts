/** An image in staging, open to be written. */
import type { EncryptionKey } from '../../crypto/encryption-key.js';
import { FileError } from '../../errors.js';
import type { MaybePromise } from '../../vfs/file-system.js';
import type { Allocation, CopiedRange, WritableFile, WriteOptions } from '../../vfs/writable-file-system.js';
import { OpenImageFile } from '../stream-file.js';
import type { StagedImage } from './image-file.js';

export interface StagedImageUse {
  /** Of the chunks that are written. */
  readonly key: EncryptionKey | undefined;
  /** Something is about to be written. Throws if nothing may be written now. */
  readonly writing: () => void;
  readonly flushed: () => MaybePromise<unknown>;
  readonly closed: () => void;
}

export class StagedImageWriter implements WritableFile {
  readonly caching = 'exclusive';
  readonly #image: StagedImage;
  readonly #file: WritableFile;
  readonly #use: StagedImageUse;
  #open = true;

  constructor(image: StagedImage, use: StagedImageUse) {
    this.#image = image;
    this.#file = image.openToWrite();
    this.#use = use;
  }

  read(offset: number, length: number): MaybePromise<readonly Uint8Array[]> {
    return this.#file.read(offset, length);
  }

  seek(offset: number, what: 'data' | 'hole'): MaybePromise<number> {
    return this.#file.seek(offset, what);
  }

  write(offset: number, data: Buffer): MaybePromise<number> {
    this.#use.writing();
    return this.#image.write(offset, data);
  }

  allocate(allocation: Allocation, options: WriteOptions): MaybePromise<void> {
    this.#use.writing();
    return this.#file.allocate(allocation, options);
  }

  /** Whole chunks of a snapshot's image are taken without being read. NOT_SUPPORTED for other sources: the kernel copies those. */
  copyFrom({ source, sourceOffset, targetOffset, length }: CopiedRange): MaybePromise<number> {
    if (!(source instanceof OpenImageFile)) throw new FileError('NOT_SUPPORTED', 'only images of snapshots are copied without being read');
    this.#use.writing();
    const { index } = source;
    const keyFits = source.fits(this.#use.key);
    const readAt = (offset: number, bytes: number): MaybePromise<readonly Uint8Array[]> => source.read(offset, bytes);
    return this.#image.cloneRange({ index, keyFits, readAt }, sourceOffset, targetOffset, length);
  }

  async flush(): Promise<void> {
    await this.#file.flush();
    await this.#use.flushed();
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#use.closed();
    this.#file.close();
  }
}
