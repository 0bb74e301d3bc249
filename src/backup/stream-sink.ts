/** Takes bytes of any number at any time for a stream that wants to be asked for room before; they go there in order when it has it. */
import type { MaybePromise } from '../vfs/file-system.js';
import type { ArchiveStream } from './archive-options.js';

const blockBytes = 64 << 10;
const pieceBytesMax = 4 << 20;

export class StreamSink {
  readonly #stream: Pick<ArchiveStream, 'room' | 'write'>;
  #full: Buffer[] = [];
  #block = Buffer.allocUnsafeSlow(blockBytes);
  #used = 0;

  constructor(stream: Pick<ArchiveStream, 'room' | 'write'>) {
    this.#stream = stream;
  }

  write(bytes: Buffer): void {
    if (bytes.length > blockBytes - this.#used) {
      this.#endBlock();
      if (bytes.length > blockBytes) {
        this.#full.push(Buffer.from(bytes));
        return;
      }
    }
    bytes.copy(this.#block, this.#used);
    this.#used += bytes.length;
  }

  /** Passes on whole blocks: to be called after every entry. */
  drain(): MaybePromise<void> {
    return this.#full.length === 0 ? undefined : this.#drain();
  }

  /** Passes on everything. */
  flush(): MaybePromise<void> {
    if (this.#full.length === 0) {
      if (this.#used === 0) return undefined;
      const ready = this.#stream.room(this.#used);
      if (ready === undefined) {
        this.#stream.write(this.#block.subarray(0, this.#used));
        this.#used = 0;
        return undefined;
      }
      this.#endBlock();
      return this.#drain(ready);
    }
    this.#endBlock();
    return this.#drain();
  }

  async #drain(first?: Promise<void>): Promise<void> {
    await first;
    const blocks = this.#full;
    this.#full = [];
    for (const block of blocks) {
      for (let at = 0; at < block.length; at += pieceBytesMax) {
        const piece = block.subarray(at, at + pieceBytesMax);
        await this.#stream.room(piece.length);
        this.#stream.write(piece);
      }
    }
  }

  #endBlock(): void {
    if (this.#used === 0) return;
    this.#full.push(this.#block.subarray(0, this.#used));
    this.#block = Buffer.allocUnsafeSlow(blockBytes);
    this.#used = 0;
  }
}
