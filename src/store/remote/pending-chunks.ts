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
import type { ChunkWriter, ChunkWriterOptions, ReusedChunk, StoredChunk } from '../chunk-writer.js';
import { CloneSources, type SnapshotHolder } from './clone-sources.js';
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

/** `ended`: called when the writer is closed. NOT_SUPPORTED without a directory for them. */
export async function openPendingWriter({ spool, key, warn }: ChunkWriterOptions, holder: SnapshotHolder, ended: () => void): Promise<OpenedPending> {
  if (spool === undefined) throw new FileError('NOT_SUPPORTED', 'a server takes chunks only for a snapshot that is being written; they need a spool to wait in');
  const directory = join(spool, 'pending-chunks');
  const temporaryDirectory = join(directory, 'tmp');
  for (const path of [temporaryDirectory, join(directory, '.chunks')]) mkdirSync(path, { recursive: true, mode: 0o700 });
  const store = { location: directory, owner: undefined, syncLevel: 'filesystem' } as const;
  const sources = new CloneSources(join(directory, 'clone-sources.json'), holder);
  await sources.holdAgain(warn);
  const chunks = new LocalChunks({ store, key, temporaryDirectory, memoryBytes });
  return { pending: new PendingChunks(directory), writer: new PendingWriter({ chunks, sources, key, directory, ended }) };
}

interface WriterParts {
  readonly chunks: LocalChunks;
  readonly sources: CloneSources;
  readonly key: EncryptionKey | undefined;
  readonly directory: string;
  readonly ended: () => void;
}

class PendingWriter implements ChunkWriter {
  readonly #parts: WriterParts;
  #closing: Promise<void> | undefined;

  constructor(parts: WriterParts) {
    this.#parts = parts;
  }

  get key(): EncryptionKey | undefined {
    return this.#parts.key;
  }

  get memory(): ContentMemory {
    return this.#parts.chunks.memory;
  }

  get statistics(): StorerStatistics {
    return this.#parts.chunks.statistics;
  }

  putChunk(content: Buffer): Promise<StoredChunk> {
    return this.#parts.chunks.putChunk(content);
  }

  putZeros(length: number): Promise<StoredChunk> {
    return this.#parts.chunks.putZeros(length);
  }

  /** What does not wait here is of a snapshot, which is kept. */
  async reuseChunks(chunks: readonly ReusedChunk[]): Promise<readonly number[]> {
    const { chunks: waiting, sources } = this.#parts;
    const others = await waiting.reuseChunks(chunks);
    const missing: number[] = [];
    for (const position of others) {
      const digest = chunks[position]?.digest ?? Buffer.alloc(0);
      if (!(await sources.keep(digest))) missing.push(position);
    }
    return missing;
  }

  sync(): Promise<void> {
    return this.#parts.chunks.sync();
  }

  close(): Promise<void> {
    return (this.#closing ??= this.#close());
  }

  async discard(): Promise<void> {
    await this.close();
    await rm(this.#parts.directory, { recursive: true, force: true });
  }

  async #close(): Promise<void> {
    const { chunks, sources, ended } = this.#parts;
    ended();
    sources.release();
    await chunks.close();
  }
}
