/**
 * Chunks that were put before there is a snapshot for them. A server takes chunks only for a snapshot that is being written, so they wait encoded in a
 * directory, laid out as the chunks of a datastore; a backup session sends those that its indexes name. All go when nothing needs any of them.
 */
import { mkdirSync } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { codeOf, FileError } from '../../errors.js';
import type { StorerStatistics } from '../../codec/chunk-storer.js';
import type { ContentMemory } from '../../codec/content-memory.js';
import type { EncryptionKey } from '../../crypto/encryption-key.js';
import { chunkPath } from '../../format/chunk-path.js';
import type { ChunkWriter, ChunkWriterOptions, StoredChunk } from '../chunk-writer.js';
import { LocalChunks } from '../local/chunks.js';

const memoryBytes = 160 << 20;

/** Those of one spool, for reading. */
export class PendingChunks {
  readonly directory: string;

  constructor(directory: string) {
    this.directory = directory;
  }

  /** A chunk file; undefined if it does not wait here. */
  async get(digest: Buffer): Promise<Uint8Array<ArrayBuffer> | undefined> {
    try {
      const bytes = await readFile(join(this.directory, chunkPath(digest)));
      // An interrupted write leaves no such file, a full disk may.
      return bytes.length === 0 ? undefined : new Uint8Array(bytes);
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return undefined;
      throw error;
    }
  }
}

export interface OpenedPending {
  readonly pending: PendingChunks;
  readonly writer: ChunkWriter;
}

/** NOT_SUPPORTED without a directory for them. */
export function openPendingWriter({ spool, key }: ChunkWriterOptions): OpenedPending {
  if (spool === undefined) throw new FileError('NOT_SUPPORTED', 'a server takes chunks only for a snapshot that is being written; they need a spool to wait in');
  const directory = join(spool, 'pending-chunks');
  const temporaryDirectory = join(directory, 'tmp');
  for (const path of [temporaryDirectory, join(directory, '.chunks')]) mkdirSync(path, { recursive: true, mode: 0o700 });
  const store = { location: directory, owner: undefined, syncLevel: 'filesystem' } as const;
  const chunks = new LocalChunks({ store, key, temporaryDirectory, memoryBytes });
  return { pending: new PendingChunks(directory), writer: new PendingWriter(chunks, key, directory) };
}

class PendingWriter implements ChunkWriter {
  readonly key: EncryptionKey | undefined;
  readonly #chunks: LocalChunks;
  readonly #directory: string;
  #closing: Promise<void> | undefined;

  constructor(chunks: LocalChunks, key: EncryptionKey | undefined, directory: string) {
    this.key = key;
    this.#chunks = chunks;
    this.#directory = directory;
  }

  get memory(): ContentMemory {
    return this.#chunks.memory;
  }

  get statistics(): StorerStatistics {
    return this.#chunks.statistics;
  }

  putChunk(content: Buffer): Promise<StoredChunk> {
    return this.#chunks.putChunk(content);
  }

  putZeros(length: number): Promise<StoredChunk> {
    return this.#chunks.putZeros(length);
  }

  /** What does not wait here was taken from a snapshot on the server: whether it is there shows when it is read, or sent. */
  reuseChunks(): Promise<readonly number[]> {
    return Promise.resolve([]);
  }

  sync(): Promise<void> {
    return this.#chunks.sync();
  }

  close(): Promise<void> {
    return (this.#closing ??= this.#chunks.close());
  }

  async discard(): Promise<void> {
    await this.close();
    await rm(this.#directory, { recursive: true, force: true });
  }
}
