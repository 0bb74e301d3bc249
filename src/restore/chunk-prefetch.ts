/**
 * Has the chunks that a reader from front to back will need next decoded on all cores. Unlike the stream's own read-ahead it knows that all
 * of the stream will be read, so that runs of zeros do not stop it.
 */
import type { ChunkStream } from '../archive/chunk-stream.js';
import type { ChunkIndex } from '../format/chunk-index.js';
import { dataFrom } from './file-content.js';

export class ChunkPrefetch {
  readonly #stream: ChunkStream;
  readonly #index: ChunkIndex;
  readonly #windowBytesMax: () => number;
  /** Start and end of chunks that were asked for and not passed yet. */
  readonly #ahead: { readonly end: number; readonly bytes: number }[] = [];
  #bytesAhead = 0;
  #next = 0;

  /** `windowBytesMax` is asked again as the reader goes on. */
  constructor(stream: ChunkStream, index: ChunkIndex, windowBytesMax: () => number) {
    this.#stream = stream;
    this.#index = index;
    this.#windowBytesMax = windowBytesMax;
  }

  /** The reader is at `position`. */
  advance(position: number): void {
    for (let [first] = this.#ahead; first !== undefined && first.end <= position; [first] = this.#ahead) {
      this.#ahead.shift();
      this.#bytesAhead -= first.bytes;
    }
    this.#next = Math.max(this.#next, position);
    const windowBytesMax = this.#windowBytesMax();
    while (this.#bytesAhead < windowBytesMax && this.#next < this.#stream.size) {
      const data = dataFrom(this.#stream, this.#next, this.#stream.size);
      if (data >= this.#stream.size) return void (this.#next = data);
      const chunk = this.#index.chunkAt(data);
      if (!this.#stream.prefetch(chunk)) return;
      const end = this.#index.endOf(chunk);
      const bytes = end - this.#index.startOf(chunk);
      this.#ahead.push({ end, bytes });
      this.#bytesAhead += bytes;
      this.#next = end;
    }
  }
}
