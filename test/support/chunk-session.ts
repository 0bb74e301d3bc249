/** What an image is written through, over the worker threads and a chunk store in a scratch directory, without snapshots around it. */
import { join } from 'node:path';
import { mkdirSync } from 'node:fs';
import { ChunkDecoder } from '../../src/codec/chunk-decoder.js';
import { ChunkStorer } from '../../src/codec/chunk-storer.js';
import { ContentMemory, type Room } from '../../src/codec/content-memory.js';
import type { EncryptionKey } from '../../src/crypto/encryption-key.js';
import type { ChunkIndex } from '../../src/format/chunk-index.js';
import { chunkPath } from '../../src/format/chunk-path.js';
import { parseFixedIndex, type FixedIndex } from '../../src/format/fixed-index.js';
import type { SnapshotName } from '../../src/format/snapshot-name.js';
import type { BackupSession, IndexTarget, StoredChunk } from '../../src/store/backup-session.js';
import { zstd } from './chunks.js';
import { scratchDirectory } from './scratch.js';

export interface ChunkSessionOptions {
  readonly key?: EncryptionKey | undefined;
  /** Directory of the store; a new one by default. */
  readonly store?: string;
  readonly memoryBytes?: number;
  readonly workers?: number;
}

export interface ChunkSession extends BackupSession, Pick<IndexTarget, 'putChunk'> {
  readonly store: string;
  /** Calls of putChunk(). */
  readonly chunksPut: number;
  index(fileName: string): FixedIndex;
  /** Bytes of an image, out of the store. */
  content(index: ChunkIndex): Promise<Buffer>;
  memoryBytesTaken(): number;
  close(): Promise<void>;
}

const snapshot: SnapshotName = { namespace: [], type: 'vm', id: '100', time: 1_700_000_000 };

function none(): Promise<void> {
  return Promise.resolve();
}

/** Content memory that knows how much of it is taken. */
class CountedMemory extends ContentMemory {
  bytesTaken = 0;

  override take(length: number): Room | Promise<Room> {
    const room = super.take(length);
    if (room instanceof Promise) return room.then((late) => this.#counted(late));
    return this.#counted(room);
  }

  override give(room: Room): void {
    this.bytesTaken -= room.bytes;
    super.give(room);
  }

  #counted(room: Room): Room {
    this.bytesTaken += room.bytes;
    return room;
  }
}

export function chunkSession({ key, store = scratchDirectory(), memoryBytes = 128 << 20, workers }: ChunkSessionOptions = {}): ChunkSession {
  const chunksDirectory = join(store, '.chunks');
  const temporaryDirectory = join(scratchDirectory(), 'temporary');
  for (const path of [chunksDirectory, temporaryDirectory]) mkdirSync(path, { recursive: true });
  const memory = new CountedMemory(memoryBytes);
  const storer = new ChunkStorer({ memory, key, chunksDirectory, temporaryDirectory, owner: undefined, durable: false, ...(workers !== undefined && { workers }) });
  const indexes = new Map<string, Buffer>();
  let chunksPut = 0;
  const putChunk = (content: Buffer): Promise<StoredChunk> => {
    chunksPut++;
    return storer.put(content);
  };
  return {
    store,
    memory,
    get statistics() {
      return storer.statistics;
    },
    get chunksPut() {
      return chunksPut;
    },
    snapshot,
    owner: 'root@pam',
    previous: undefined,
    writeBlob: none,
    finish: none,
    abort: none,
    putChunk,
    openIndex: (fileName) => ({
      memory,
      get statistics() {
        return storer.statistics;
      },
      putChunk,
      putZeros: (length) => storer.putZeros(length),
      reuseChunks: (chunks) => storer.touch(chunks),
      writeIndex: (bytes) => {
        indexes.set(fileName, Buffer.from(bytes));
        return Promise.resolve();
      },
    }),
    index: (fileName) => {
      const bytes = indexes.get(fileName);
      if (bytes === undefined) throw new Error(`no index ${fileName} was written`);
      return parseFixedIndex(bytes);
    },
    content: (index) => {
      const bytes = Buffer.alloc(index.size);
      const decoder = new ChunkDecoder(zstd);
      for (let i = 0; i < index.count; i++) {
        const digest = index.digestAt(i);
        decoder.decode({ path: join(store, chunkPath(digest)), digest, key }, bytes.subarray(index.startOf(i), index.endOf(i)));
      }
      return Promise.resolve(bytes);
    },
    memoryBytesTaken: () => memory.bytesTaken,
    close: () => storer.close(),
  };
}
