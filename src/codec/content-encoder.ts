/** The front of the worker threads that make encoded chunks of contents in shared memory: digests first, as most need no more. Format: datastore, section 2. */
import type { EncryptionKey } from '../crypto/encryption-key.js';
import { StoreError } from '../errors.js';
import { longestChunkFile } from './chunk-encoder.js';
import type { ContentMemory } from './content-memory.js';
import { JobQueue } from './job-queue.js';
import { KeptRooms } from './kept-rooms.js';
import type { ContentPlace } from './worker-messages.js';
import { WorkerPool } from './worker-pool.js';

export type { ContentPlace };

export interface ContentEncoderOptions {
  readonly memory: ContentMemory;
  /** Present if chunks are to be encrypted. */
  readonly key: EncryptionKey | undefined;
  readonly workers?: number;
}

/** Chunk files of images that are on their way to a server. */
const roomsMax = 16;

export class ContentEncoder {
  readonly #memory: ContentMemory;
  readonly #pool: WorkerPool;
  readonly #queue: JobQueue;
  readonly #rooms = new KeptRooms(roomsMax);

  constructor({ memory, key, workers }: ContentEncoderOptions) {
    this.#memory = memory;
    this.#pool = new WorkerPool({ kind: 'encode', memory: memory.memory, key: key && new Uint8Array(key.encKey) }, workers);
    this.#queue = new JobQueue(this.#pool, () => new StoreError('CLOSED', 'the backup was ended before this chunk was encoded'));
  }

  /** Lets the worker threads start. */
  start(): void {
    this.#pool.start();
  }

  /** `content`: a view of the memory, which must not change before what is done with the place settles. */
  placeOf(content: Buffer): ContentPlace {
    if (content.buffer !== this.#memory.memory) throw new RangeError('a content that is to be encoded lies in the shared memory');
    return { offset: content.byteOffset, length: content.length };
  }

  /** 32 bytes; with the key's own digests if there is one. */
  async digest(place: ContentPlace): Promise<Buffer> {
    const { digest } = await this.#queue.run({ kind: 'digest', ...place });
    return Buffer.from(digest.buffer, digest.byteOffset, digest.byteLength);
  }

  /** A chunk file, whose memory is to be given back. */
  async encode(place: ContentPlace): Promise<Uint8Array> {
    const room = this.#rooms.take(longestChunkFile(place.length));
    return (await this.#queue.run({ kind: 'encode', ...place, room })).encoded;
  }

  /** A chunk file that nobody reads any more. */
  giveBack(encoded: Uint8Array): void {
    this.#rooms.give(encoded);
  }

  /** Resolves when what runs is done and the threads have ended; what waits is refused. */
  close(): Promise<void> {
    return this.#queue.close();
  }
}
