/**
 * One snapshot of a local datastore whose files and chunks come encoded from a client. Format: protocol, sections 9.2 and 10;
 * datastore, sections 3.2 to 3.7.
 */
import { join } from 'node:path';
import type { ChunkInserter, InsertLane, InsertOutcome, ReceivedChunk } from '../../codec/chunk-inserter.js';
import type { SnapshotName } from '../../format/snapshot-name.js';
import { indexTempName } from '../../format/temp-name.js';
import { beginSnapshot, type NewSnapshotOptions } from './begin-backup.js';
import { readWhole } from './directory.js';
import { NewSnapshot, type NewSnapshotParts } from './new-snapshot.js';
import { serverPaths, type ServerPaths } from './server.js';

export interface ReceiveOptions extends NewSnapshotOptions {
  readonly inserter: ChunkInserter;
}

/** As beginBackup() of a datastore rejects. */
export async function receiveLocalBackup(location: string, options: ReceiveOptions, paths: ServerPaths = serverPaths): Promise<ReceivedBackup> {
  return await beginSnapshot(location, paths, options, (parts) => new ReceivedBackup(parts, options.inserter));
}

export class ReceivedBackup {
  readonly snapshot: SnapshotName;
  readonly owner: string;
  /** Nobody removes it meanwhile, and it must be there at the end. */
  readonly previous: SnapshotName | undefined;
  readonly #lane: InsertLane;
  readonly #files: NewSnapshot;

  constructor(parts: NewSnapshotParts, inserter: ChunkInserter) {
    this.snapshot = parts.snapshot;
    this.owner = parts.group.owner;
    this.previous = parts.previous;
    const { store, hidden } = parts;
    const chunksDirectory = join(store.location, '.chunks');
    const place = { chunksDirectory, temporaryDirectory: hidden, owner: store.owner, durable: store.syncLevel === 'file' };
    this.#lane = inserter.lane(place);
    this.#files = new NewSnapshot(parts, this.#lane);
    this.#files.needPrevious();
  }

  /** As InsertLane.insert() rejects. */
  insertChunk(chunk: ReceivedChunk): Promise<InsertOutcome> {
    return this.#files.run(() => this.#lane.insert(chunk));
  }

  /** A whole index file, in place of one of the same name. One at a time. */
  writeIndex(fileName: string, bytes: Uint8Array): Promise<void> {
    return this.#files.run(() => this.#files.write(fileName, bytes, indexTempName(fileName)));
  }

  /** An encoded blob, in place of one of the same name. */
  writeBlob(fileName: string, bytes: Uint8Array): Promise<void> {
    return this.#files.run(() => this.#files.write(fileName, bytes));
  }

  /** An encoded blob that was written before. NOT_FOUND. */
  readBlob(fileName: string, bytesMax: number): Promise<Buffer> {
    return this.#files.run(() => readWhole(join(this.#files.path, fileName), bytesMax));
  }

  /** Writes the manifest (an encoded blob) and makes the snapshot visible. All that was locked is free then. */
  finish(manifest: Buffer): Promise<void> {
    return this.#files.finish(manifest);
  }

  /** Removes what was written but for chunks, and the group if it was made for this. Does nothing after finish(). Never rejects. */
  abort(): Promise<void> {
    return this.#files.abort();
  }
}
