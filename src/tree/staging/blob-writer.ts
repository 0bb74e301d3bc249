/** A file at the top of staging, open to be written: what becomes a blob has a limit. */
import type { MaybePromise } from '../../vfs/file-system.js';
import type { Allocation, WritableFile, WriteOptions } from '../../vfs/writable-file-system.js';

export class BlobWriter implements WritableFile {
  readonly caching = 'exclusive';
  readonly #file: WritableFile;
  readonly #check: (size: number) => void;

  /** `check` throws if a file of that size can't be, or if nothing may be written now. */
  constructor(file: WritableFile, check: (size: number) => void) {
    this.#file = file;
    this.#check = check;
  }

  read(offset: number, length: number): MaybePromise<readonly Uint8Array[]> {
    return this.#file.read(offset, length);
  }

  seek(offset: number, what: 'data' | 'hole'): MaybePromise<number> {
    return this.#file.seek(offset, what);
  }

  write(offset: number, data: Buffer, options: WriteOptions): MaybePromise<number> {
    this.#check(offset + data.length);
    return this.#file.write(offset, data, options);
  }

  allocate(allocation: Allocation, options: WriteOptions): MaybePromise<void> {
    this.#check(allocation.keepSize ? 0 : allocation.offset + allocation.length);
    return this.#file.allocate(allocation, options);
  }

  flush(): MaybePromise<void> {
    return this.#file.flush();
  }

  close(): void {
    this.#file.close();
  }
}
