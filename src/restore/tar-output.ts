/** Gathers what is written, and waits for whoever reads it. */
import type { MaybePromise } from '../vfs/file-system.js';

const batchBytes = 1 << 20;

export class TarOutput {
  readonly #write: (bytes: Buffer) => Promise<void>;
  #batch: Buffer = Buffer.allocUnsafe(batchBytes);
  #length = 0;

  constructor(write: (bytes: Buffer) => Promise<void>) {
    this.#write = write;
  }

  /** Takes a copy of `bytes` before it returns. */
  write(bytes: Buffer): MaybePromise<void> {
    if (this.#length + bytes.length <= batchBytes) {
      bytes.copy(this.#batch, this.#length);
      this.#length += bytes.length;
      return undefined;
    }
    const waiting = Buffer.concat([this.#batch.subarray(0, this.#length), bytes]);
    this.#length = 0;
    return this.#write(waiting);
  }

  async flush(): Promise<void> {
    const waiting = this.#batch.subarray(0, this.#length);
    this.#batch = Buffer.allocUnsafe(batchBytes);
    this.#length = 0;
    if (waiting.length > 0) await this.#write(waiting);
  }
}
