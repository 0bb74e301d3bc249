/**
 * One snapshot of a server's datastore while it is written, by one session of the backup protocol: it is gone with the connection unless it was finished.
 * Format: protocol, sections 9.7 and 10.
 */
import type { ContentMemory } from '../../codec/content-memory.js';
import type { EncryptionKey } from '../../crypto/encryption-key.js';
import { StoreError, codeOf, messageOf } from '../../errors.js';
import { manifestFileName } from '../../format/archive-name.js';
import type { ChunkIndex } from '../../format/chunk-index.js';
import { snapshotPath, type SnapshotName } from '../../format/snapshot-name.js';
import type { BackupSession, IndexTarget, ReusedChunk, SessionStatistics } from '../backup-session.js';
import { SnapshotFileNames } from '../snapshot-file-names.js';
import { ChunkUploads } from './chunk-uploads.js';
import { RemoteIndexTarget } from './index-target.js';
import type { PreviousFiles } from './previous-files.js';
import type { IndexKind, WriterConnection } from './writer-connection.js';

export interface RemoteSessionParts {
  readonly connection: WriterConnection;
  readonly snapshot: SnapshotName;
  readonly owner: string;
  readonly previous: SnapshotName | undefined;
  readonly previousFiles: PreviousFiles | undefined;
  readonly key: EncryptionKey | undefined;
  readonly warn: (line: string) => void;
  /** Chunks that were written ahead or are in other snapshots, encoded. */
  readonly fetch: (chunk: ReusedChunk) => Promise<Uint8Array | undefined>;
  /** Whether the snapshot is there, when the connection was lost before the server said so. */
  readonly isThere: () => Promise<boolean>;
  /** Called once, when the session has ended one way or the other. */
  readonly ended: () => void;
}

export class RemoteBackupSession implements BackupSession {
  readonly snapshot: SnapshotName;
  readonly owner: string;
  readonly previous: SnapshotName | undefined;
  readonly #parts: RemoteSessionParts;
  readonly #uploads: ChunkUploads;
  readonly #names = new SnapshotFileNames();
  readonly #running = new Set<Promise<unknown>>();
  #isOpen = true;
  #isFinished = false;
  #finishing: Promise<void> | undefined;
  #ending: Promise<void> | undefined;

  constructor(parts: RemoteSessionParts) {
    this.snapshot = parts.snapshot;
    this.owner = parts.owner;
    this.previous = parts.previous;
    this.#parts = parts;
    this.#uploads = new ChunkUploads(parts.key, parts.connection.ended);
  }

  get memory(): ContentMemory {
    return this.#uploads.memory;
  }

  get statistics(): SessionStatistics {
    return this.#uploads.statistics;
  }

  openIndex(fileName: string, size?: number): IndexTarget {
    const kind = this.#names.claim(fileName, ['fixed', 'dynamic']) as IndexKind;
    return new RemoteIndexTarget({
      connection: this.#parts.connection,
      uploads: this.#uploads,
      kind,
      fileName,
      size,
      previous: () => this.#previousIndex(fileName),
      fetch: this.#parts.fetch,
      run: (work) => this.#run(work),
    });
  }

  writeBlob(fileName: string, bytes: Buffer): Promise<void> {
    return this.#run(async () => {
      this.#names.claim(fileName, ['blob']);
      await this.#parts.connection.putBlob(fileName, bytes);
    });
  }

  async finish(manifest: Buffer): Promise<void> {
    if (!this.#isOpen) throw closed();
    this.#isOpen = false;
    this.#finishing = this.#finish(manifest);
    await this.#finishing;
  }

  /** What ends already is not stopped: nobody would know what became of it. */
  async abort(): Promise<void> {
    this.#isOpen = false;
    await this.#finishing?.catch(() => undefined);
    await this.#end();
  }

  async #finish(manifest: Buffer): Promise<void> {
    const { connection } = this.#parts;
    await Promise.all(this.#running);
    await this.#uploads.settled();
    await connection.putBlob(manifestFileName, manifest);
    await this.#confirmed();
    this.#isFinished = true;
    await this.#end();
  }

  async #previousIndex(fileName: string): Promise<ChunkIndex | undefined> {
    const index = await this.#parts.previousFiles?.index(fileName);
    for (let n = 0; index !== undefined && n < index.count; n++) this.#uploads.addKnown(index.digestAt(n));
    return index;
  }

  async #run<T>(work: () => Promise<T>): Promise<T> {
    if (!this.#isOpen) throw closed();
    const running = work();
    this.#running.add(running);
    try {
      return await running;
    } finally {
      this.#running.delete(running);
    }
  }

  /** The answer may be lost on its way. */
  async #confirmed(): Promise<void> {
    const { connection, isThere, warn } = this.#parts;
    try {
      await connection.finish();
    } catch (error) {
      if (codeOf(error) !== 'UNREACHABLE') throw error;
      if (!(await isThere())) throw error;
      warn(`the connection was lost while the backup was ended, but the server has all of ${snapshotPath(this.snapshot)}`);
    }
  }

  /** The server sees that the connection is gone. */
  #end(): Promise<void> {
    return (this.#ending ??= this.#close());
  }

  async #close(): Promise<void> {
    const { connection, warn, ended } = this.#parts;
    connection.close();
    try {
      await Promise.allSettled(this.#running);
      await this.#uploads.close();
    } catch (error) {
      if (!this.#isFinished) warn(`encoding threads did not end well: ${messageOf(error)}`);
    } finally {
      ended();
    }
  }
}

function closed(): StoreError {
  return new StoreError('CLOSED', 'the backup session was ended');
}
