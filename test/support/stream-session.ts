/** What a stream is written through, over the worker threads and a chunk store in a scratch directory, without snapshots around it. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import { ChunkStorer, type ReusedChunk, type StoredChunk } from '../../src/codec/chunk-storer.js';
import { ContentMemory } from '../../src/codec/content-memory.js';
import type { EncryptionKey } from '../../src/crypto/encryption-key.js';
import { parseDynamicIndex, type DynamicIndex } from '../../src/format/dynamic-index.js';
import type { IndexTarget } from '../../src/store/backup-session.js';
import { scratchDirectory } from './scratch.js';

export interface StreamSession {
  /** The store: chunks lie in its `.chunks`. */
  readonly directory: string;
  readonly memory: ContentMemory;
  readonly storer: ChunkStorer;
  /** Index files by their name. */
  readonly indexes: Map<string, Buffer>;
  putChunk(content: Buffer): Promise<StoredChunk>;
  putZeros(length: number): Promise<StoredChunk>;
  reuseChunks(chunks: readonly ReusedChunk[]): Promise<readonly number[]>;
  openIndex(fileName: string): Pick<IndexTarget, 'memory' | 'putChunk' | 'writeIndex'>;
  index(fileName: string): DynamicIndex;
}

export interface StreamSessionOptions {
  readonly key?: EncryptionKey | undefined;
  readonly memoryBytes?: number;
  readonly directory?: string;
}

/** Closed when the test file ends. */
export function newStreamSession({ key, memoryBytes = 160 << 20, directory = scratchDirectory() }: StreamSessionOptions = {}): StreamSession {
  const chunksDirectory = join(directory, '.chunks');
  const temporaryDirectory = join(directory, 'temporary');
  mkdirSync(chunksDirectory, { recursive: true });
  mkdirSync(temporaryDirectory, { recursive: true });
  const memory = new ContentMemory(memoryBytes);
  const storer = new ChunkStorer({ memory, key, chunksDirectory, temporaryDirectory, owner: undefined, durable: false });
  const indexes = new Map<string, Buffer>();
  afterAll(() => storer.close());
  return {
    directory,
    memory,
    storer,
    indexes,
    putChunk: (content) => storer.put(content),
    putZeros: (length) => storer.putZeros(length),
    reuseChunks: (chunks) => storer.touch(chunks),
    openIndex: (fileName) => ({
      memory,
      putChunk: (content) => storer.put(content),
      writeIndex: (bytes) => {
        indexes.set(fileName, Buffer.from(bytes));
        return Promise.resolve();
      },
    }),
    index: (fileName) => {
      const bytes = indexes.get(fileName);
      if (bytes === undefined) throw new Error(`no index ${fileName} was written`);
      return parseDynamicIndex(bytes);
    },
  };
}
