/** Where encoded chunks come from: files that a worker reads by itself, or bytes that have to be fetched before. */
import type { ChunkIndex } from '../format/chunk-index.js';

export interface ChunkRef {
  readonly digest: Buffer;
  /** Bytes of content. */
  readonly length: number;
  /** Number of the key among those of the cache, -1: not encrypted. */
  readonly keyNumber: number;
  /** The index that named the chunk, as the store gave it; undefined where that is not known any more. */
  readonly origin?: ChunkIndex | undefined;
}

export interface ChunkFiles {
  readonly kind: 'files';
  pathOf(digest: Buffer): string;
}

export interface FetchedChunks {
  readonly kind: 'fetched';
  /** Chunks, and bytes of content, that may be asked for at once. Both may change with what is learned of the way to the store. */
  readonly requestsMax: number;
  readonly bytesInFlightMax: number;
  /**
   * The file of a chunk, unchecked, in memory of its own, which the caller may hand over. CHUNK_MISSING, UNREACHABLE, or what else the store
   * says; CHUNK_CORRUPT for more bytes than any chunk has.
   */
  fetch(chunk: ChunkRef): Promise<Uint8Array<ArrayBuffer>>;
}

export type ChunkSource = ChunkFiles | FetchedChunks;
