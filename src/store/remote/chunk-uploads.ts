/**
 * The chunks of a backup session on their way to the server. What the session knows is not sent; everything else is sent once. A content's memory
 * is free as soon as it is encoded and may be sent: the answer is only waited for before an index is written. Format: protocol, section 10.
 */
import { ContentEncoder, type ContentPlace } from '../../codec/content-encoder.js';
import { ContentMemory, contentRoomBytesMax } from '../../codec/content-memory.js';
import { DigestSet } from '../../codec/digest-set.js';
import type { EncryptionKey } from '../../crypto/encryption-key.js';
import { StoreError } from '../../errors.js';
import { chunkBytesMax } from '../../format/blob.js';
import type { SessionStatistics, StoredChunk } from '../backup-session.js';
import { UploadBudget } from './upload-budget.js';
import type { UploadedChunk } from './writer-connection.js';

/** Sends a chunk; resolves when the server has it. */
export type SendChunk = (chunk: UploadedChunk) => Promise<void>;

const memoryBytes = 5 * contentRoomBytesMax;

export class ChunkUploads {
  readonly memory = new ContentMemory(memoryBytes);
  readonly #encoder: ContentEncoder;
  readonly #budget = new UploadBudget();
  /** What may stand in an index, and what of it was only begun to be sent. */
  readonly #known = new DigestSet();
  readonly #begun = new DigestSet();
  readonly #put = new DigestSet();
  readonly #zeros = new Map<number, Promise<Buffer>>();
  readonly #running = new Set<Promise<void>>();
  readonly #ended: AbortSignal;
  readonly #counts = { chunks: 0, bytes: 0, chunksAdded: 0, bytesAdded: 0, encodedBytesAdded: 0 };
  #failure: Error | undefined;

  /** Fails everything when `ended` is aborted, with its reason. */
  constructor(key: EncryptionKey | undefined, ended: AbortSignal) {
    this.#encoder = new ContentEncoder({ memory: this.memory, key });
    this.#encoder.start();
    this.#ended = ended;
  }

  get statistics(): SessionStatistics {
    return { ...this.#counts };
  }

  /** Chunks of the previous snapshot. */
  addKnown(digest: Buffer): void {
    this.#known.add(digest);
  }

  /** Whether the chunk may stand in an index when settled() has resolved. */
  has(digest: Buffer): boolean {
    return this.#known.has(digest) || this.#begun.has(digest);
  }

  async put(content: Buffer, send: SendChunk): Promise<StoredChunk> {
    checkLength(content.length);
    this.throwFailure();
    const place = this.#encoder.placeOf(content);
    return await this.#upload(await this.#encoder.digest(place), place, send);
  }

  async putZeros(length: number, send: SendChunk): Promise<StoredChunk> {
    checkLength(length);
    this.throwFailure();
    const place: ContentPlace = { offset: undefined, length };
    const digest = this.#zeros.get(length) ?? this.#encoder.digest(place);
    this.#zeros.set(length, digest);
    return await this.#upload(await digest, place, send);
  }

  /** A chunk that is encoded already, by whom has its key. Resolves when it may be sent. */
  async putEncoded(chunk: UploadedChunk, send: SendChunk): Promise<void> {
    this.throwFailure();
    if (this.has(chunk.digest)) return;
    this.#begun.add(Buffer.from(chunk.digest));
    await this.#send(chunk, send);
  }

  /** All that was put has arrived. Rejects with what stopped any of it. */
  async settled(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running);
    this.throwFailure();
  }

  throwFailure(): void {
    if (this.#ended.aborted) throw this.#ended.reason;
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** Resolves when the threads have ended. */
  async close(): Promise<void> {
    await Promise.all(this.#running);
    await this.#encoder.close();
  }

  async #upload(digest: Buffer, place: ContentPlace, send: SendChunk): Promise<StoredChunk> {
    this.#count(digest, place.length);
    if (this.has(digest)) return { digest, added: false, encodedBytes: 0 };
    this.#begun.add(digest);
    try {
      const encoded = await this.#encoder.encode(place);
      const encodedBytes = encoded.length;
      await this.#send({ digest, length: place.length, encoded }, send, () => this.#encoder.giveBack(encoded));
      return { digest, added: true, encodedBytes };
    } catch (error) {
      // Who has put the same meanwhile was told that it is on its way.
      this.#failure ??= asError(error);
      throw error;
    }
  }

  /** `sent`: nothing reads from the chunk any more. */
  async #send(chunk: UploadedChunk, send: SendChunk, sent?: () => void): Promise<void> {
    const { digest, length } = chunk;
    const encodedBytes = chunk.encoded.length;
    await this.#budget.take(encodedBytes);
    const running = this.#sent(chunk, send)
      .then(() => {
        this.#known.add(digest);
        this.#counts.chunksAdded++;
        this.#counts.bytesAdded += length;
        this.#counts.encodedBytesAdded += encodedBytes;
        sent?.();
      })
      .catch((error: unknown) => {
        this.#failure ??= asError(error);
      })
      .finally(() => {
        this.#running.delete(running);
        this.#budget.give(encodedBytes);
      });
    this.#running.add(running);
  }

  async #sent(chunk: UploadedChunk, send: SendChunk): Promise<void> {
    this.throwFailure();
    await send(chunk);
  }

  #count(digest: Buffer, length: number): void {
    if (!this.#put.add(digest)) return;
    this.#counts.chunks++;
    this.#counts.bytes += length;
  }
}

function checkLength(length: number): void {
  if (!(length >= 1 && length <= chunkBytesMax)) throw new RangeError(`a chunk has 1 to ${chunkBytesMax} bytes, not ${length}`);
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new StoreError('CLOSED', String(error));
}
