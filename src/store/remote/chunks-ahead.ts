/** Encoded chunks of a datastore on a server, with those that wait in a spool to be sent: these first. */
import type { ChunkRef, FetchedChunks } from '../../codec/chunk-source.js';
import type { PendingChunks } from './pending-chunks.js';

export class ChunksAhead implements FetchedChunks {
  readonly kind = 'fetched';
  readonly #chunks: FetchedChunks;
  /** Undefined: nothing waits. */
  pending: PendingChunks | undefined;

  constructor(chunks: FetchedChunks) {
    this.#chunks = chunks;
  }

  get requestsMax(): number {
    return this.#chunks.requestsMax;
  }

  get bytesInFlightMax(): number {
    return this.#chunks.bytesInFlightMax;
  }

  async fetch(chunk: ChunkRef): Promise<Uint8Array<ArrayBuffer>> {
    return (await this.pending?.get(chunk.digest)) ?? (await this.#chunks.fetch(chunk));
  }
}
