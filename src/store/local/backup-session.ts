/** One snapshot of a local datastore while it is written by this program. Format: datastore, sections 3.7, 4.4 and 5.6. */
import { contentRoomBytesMax, type ContentMemory } from '../../codec/content-memory.js';
import type { EncryptionKey } from '../../crypto/encryption-key.js';
import type { SnapshotName } from '../../format/snapshot-name.js';
import { indexTempName } from '../../format/temp-name.js';
import type { BackupSession, IndexTarget, ReusedChunk, SessionStatistics, StoredChunk } from '../backup-session.js';
import { LocalChunks } from './chunks.js';
import { NewSnapshot, type NewSnapshotParts } from './new-snapshot.js';

const memoryBytes = 5 * contentRoomBytesMax;

export class LocalBackupSession implements BackupSession {
  readonly snapshot: SnapshotName;
  readonly owner: string;
  readonly previous: SnapshotName | undefined;
  readonly #chunks: LocalChunks;
  readonly #files: NewSnapshot;

  constructor(parts: NewSnapshotParts, key: EncryptionKey | undefined) {
    this.snapshot = parts.snapshot;
    this.owner = parts.group.owner;
    this.previous = parts.previous;
    this.#chunks = new LocalChunks({ store: parts.store, key, temporaryDirectory: parts.hidden, memoryBytes });
    this.#files = new NewSnapshot(parts, this.#chunks);
  }

  get memory(): ContentMemory {
    return this.#chunks.memory;
  }

  get statistics(): SessionStatistics {
    return this.#chunks.statistics;
  }

  putChunk(content: Buffer): Promise<StoredChunk> {
    return this.#files.run(() => this.#chunks.putChunk(content));
  }

  putZeros(length: number): Promise<StoredChunk> {
    return this.#files.run(() => this.#chunks.putZeros(length));
  }

  reuseChunks(chunks: readonly ReusedChunk[]): Promise<readonly number[]> {
    this.#files.needPrevious();
    return this.#files.run(() => this.#chunks.reuseChunks(chunks));
  }

  openIndex(fileName: string): IndexTarget {
    this.#files.claim(fileName, ['fixed', 'dynamic']);
    return new LocalIndexTarget(this, (bytes) => this.#files.run(() => this.#files.write(fileName, bytes, indexTempName(fileName))));
  }

  writeBlob(fileName: string, bytes: Buffer): Promise<void> {
    return this.#files.run(() => {
      this.#files.claim(fileName, ['blob']);
      return this.#files.write(fileName, bytes);
    });
  }

  finish(manifest: Buffer): Promise<void> {
    return this.#files.finish(manifest);
  }

  abort(): Promise<void> {
    return this.#files.abort();
  }
}

/** Chunks are put as those of any other index. */
class LocalIndexTarget implements IndexTarget {
  readonly #session: LocalBackupSession;
  readonly writeIndex: (bytes: Buffer) => Promise<void>;

  constructor(session: LocalBackupSession, writeIndex: (bytes: Buffer) => Promise<void>) {
    this.#session = session;
    this.writeIndex = writeIndex;
  }

  get memory(): ContentMemory {
    return this.#session.memory;
  }

  get statistics(): SessionStatistics {
    return this.#session.statistics;
  }

  putChunk(content: Buffer): Promise<StoredChunk> {
    return this.#session.putChunk(content);
  }

  putZeros(length: number): Promise<StoredChunk> {
    return this.#session.putZeros(length);
  }

  reuseChunks(chunks: readonly ReusedChunk[]): Promise<readonly number[]> {
    return this.#session.reuseChunks(chunks);
  }
}
