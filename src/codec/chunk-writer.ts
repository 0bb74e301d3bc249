/**
 * Makes sure that contents are in a chunk store: digest first, and what is there already costs no more than that. Synchronous:
 * it runs in worker threads. Format: datastore, sections 2.3 and 3.2.
 */
import { chunkDigest } from '../crypto/chunk-digest.js';
import type { EncryptionKey } from '../crypto/encryption-key.js';
import { chunkBytesMax } from '../format/blob.js';
import type { Zstd } from '../os/zstd/zstd.js';
import { ChunkEncoder } from './chunk-encoder.js';
import { ChunkFiles, type ChunkName } from './chunk-files.js';
import type { ChunkPlace, StoreOutcome } from './worker-messages.js';

export interface ChunkWriterOptions {
  readonly zstd: Zstd;
  readonly key: EncryptionKey | undefined;
  readonly place: ChunkPlace;
}

export class ChunkWriter {
  readonly #encoder: ChunkEncoder;
  readonly #files: ChunkFiles;
  readonly #idKey: Buffer | undefined;
  /** Digests of zero contents that are stored, by their length. */
  readonly #zeroDigests = new Map<number, Buffer>();
  /** Pages that nobody writes to cost no memory. */
  readonly #zeros = Buffer.alloc(chunkBytesMax);

  constructor({ zstd, key, place }: ChunkWriterOptions) {
    this.#encoder = new ChunkEncoder(zstd, key);
    this.#files = new ChunkFiles(place, key !== undefined);
    this.#idKey = key?.idKey;
  }

  /** `content`: 1 byte to 16 MiB. */
  store(content: Buffer): StoreOutcome {
    return this.#isZero(content) ? this.storeZeros(content.length) : this.#store(content);
  }

  storeZeros(length: number): StoreOutcome {
    const digest = this.#zeroDigests.get(length);
    if (digest !== undefined) return { digest, added: false, encodedBytes: 0 };
    const outcome = this.#store(this.#zeros.subarray(0, length));
    this.#zeroDigests.set(length, Buffer.from(outcome.digest));
    return outcome;
  }

  /** Positions of those that are missing or can't be whole. The others are kept from the next garbage collection. */
  missingOf(chunks: readonly ChunkName[]): number[] {
    return chunks.flatMap((chunk, position) => (this.#files.reuse(chunk) ? [] : [position]));
  }

  #store(content: Buffer): StoreOutcome {
    const digest = chunkDigest(content, this.#idKey);
    if (this.#files.reuse({ digest, length: content.length })) return { digest, added: false, encodedBytes: 0 };
    const { header, payload } = this.#encoder.encode(content);
    this.#files.write(digest, [header, payload]);
    return { digest, added: true, encodedBytes: header.length + payload.length };
  }

  #isZero(content: Buffer): boolean {
    return content.equals(this.#zeros.subarray(0, content.length));
  }
}
