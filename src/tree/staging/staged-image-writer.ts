/** An image in staging, open to be written. */
import type { EncryptionKey } from '../../crypto/encryption-key.js';
import { FileError } from '../../errors.js';
import type { MaybePromise } from '../../vfs/file-system.js';
import type { Allocation, CopiedRange, WritableFile } from '../../vfs/writable-file-system.js';
import { OpenImageFile } from '../stream-file.js';
import type { StagedImage } from './image-file.js';

export interface StagedImageUse {
  /** Of the chunks that are written. */
  readonly key: EncryptionKey | undefined;
  /** Throws if nothing may be written now. */
  readonly check: () => void;
  /** Called when what was written is flushed. */
  readonly changed: () => MaybePromise<unknown>;
  readonly closed: () => void;
}

export class StagedImageWriter implements WritableFile {
  readonly caching = 'exclusive';
  readonly #image: StagedImage;
  readonly #file: WritableFile;
  readonly #use: StagedImageUse;
  #written = false;
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
    this.#use.check();
    this.#written = true;
    return this.#image.write(offset, data);
  }

  allocate(allocation: Allocation): MaybePromise<void> {
    this.#use.check();
    this.#written = true;
    return this.#file.allocate(allocation);
  }

  /** Whole chunks of a snapshot's image are taken without being read. NOT_SUPPORTED for other sources: the kernel copies those. */
  copyFrom({ source, sourceOffset, targetOffset, length }: CopiedRange): MaybePromise<number> {
    this.#use.check();
    if (!(source instanceof OpenImageFile)) throw new FileError('NOT_SUPPORTED', 'only images of snapshots are copied without being read');
    this.#written = true;
    const { index } = source;
    const keyFits = source.fits(this.#use.key);
    const readAt = (offset: number, bytes: number): MaybePromise<readonly Uint8Array[]> => source.read(offset, bytes);
    return this.#image.cloneRange({ index, keyFits, readAt }, sourceOffset, targetOffset, length);
  }

  async flush(): Promise<void> {
    await this.#file.flush();
    if (this.#written) await this.#use.changed();
    this.#written = false;
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#use.closed();
    this.#file.close();
  }
}
