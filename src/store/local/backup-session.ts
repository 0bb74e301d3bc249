/**
 * One snapshot of a local datastore while it is written: a hidden directory in its group, which gets its name when it is whole.
 * Format: datastore, sections 3.7, 4.4 and 5.6.
 */
import { closeSync, constants, openSync } from 'node:fs';
import { lstat, readdir, rm, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { contentRoomBytesMax, type ContentMemory } from '../../codec/content-memory.js';
import { FileError, StoreError, codeOf, messageOf } from '../../errors.js';
import { archiveKind, manifestFileName } from '../../format/archive-name.js';
import { snapshotPath, type SnapshotName } from '../../format/snapshot-name.js';
import { indexTempName } from '../../format/temp-name.js';
import type { BackupOptions, BackupSession, IndexTarget, ReusedChunk, SessionStatistics, StoredChunk } from '../backup-session.js';
import { renameNew, syncDirectory, writeWhole } from './atomic-file.js';
import { LocalChunks } from './chunks.js';
import { removeNewGroup, type WritableGroup } from './group.js';
import { LockStack } from './locks.js';
import { lockManifest, removeSnapshotLocks } from './snapshot-locks.js';
import type { WritableStore } from './writable-store.js';

const memoryBytes = 5 * contentRoomBytesMax;

export interface LocalSessionParts extends BackupOptions {
  readonly store: WritableStore;
  readonly group: WritableGroup;
  readonly previous: SnapshotName | undefined;
  /** The directory to write into; locked. */
  readonly hidden: string;
  /** Of everything that the session locks; the session releases them. */
  readonly locks: LockStack;
}

export class LocalBackupSession implements BackupSession {
  readonly snapshot: SnapshotName;
  readonly owner: string;
  readonly previous: SnapshotName | undefined;
  readonly #parts: LocalSessionParts;
  readonly #chunks: LocalChunks;
  readonly #names = new Set<string>();
  readonly #running = new Set<Promise<unknown>>();
  /** Of the datastore, from the beginning: what the disk fails to write until the end is told to whoever has had it open. */
  readonly #fd: number;
  #isOpen = true;
  #isEnded = false;
  #reused = false;
  #finishing: Promise<void> | undefined;
  #aborting: Promise<void> | undefined;

  constructor(parts: LocalSessionParts) {
    const { store, hidden, key } = parts;
    this.snapshot = parts.snapshot;
    this.owner = parts.group.owner;
    this.previous = parts.previous;
    this.#parts = parts;
    this.#fd = openSync(store.location, constants.O_RDONLY | constants.O_DIRECTORY);
    this.#chunks = new LocalChunks({ store, key, temporaryDirectory: hidden, memoryBytes });
  }

  get memory(): ContentMemory {
    return this.#chunks.memory;
  }

  get statistics(): SessionStatistics {
    return this.#chunks.statistics;
  }

  putChunk(content: Buffer): Promise<StoredChunk> {
    return this.#run(() => this.#chunks.putChunk(content));
  }

  putZeros(length: number): Promise<StoredChunk> {
    return this.#run(() => this.#chunks.putZeros(length));
  }

  reuseChunks(chunks: readonly ReusedChunk[]): Promise<readonly number[]> {
    this.#reused = true;
    return this.#run(() => this.#chunks.reuseChunks(chunks));
  }

  openIndex(fileName: string): IndexTarget {
    this.#claim(fileName, ['fixed', 'dynamic']);
    return new LocalIndexTarget(this, (bytes) => this.#run(() => this.#write(fileName, bytes, indexTempName(fileName))));
  }

  writeBlob(fileName: string, bytes: Buffer): Promise<void> {
    return this.#run(() => {
      this.#claim(fileName, ['blob']);
      return this.#write(fileName, bytes);
    });
  }

  async finish(manifest: Buffer): Promise<void> {
    if (!this.#isOpen) throw closed();
    this.#isOpen = false;
    this.#finishing = this.#finish(manifest);
    try {
      await this.#finishing;
    } catch (error) {
      await this.abort();
      throw error;
    }
  }

  abort(): Promise<void> {
    this.#isOpen = false;
    return (this.#aborting ??= this.#abort());
  }

  get #isDurable(): boolean {
    return this.#parts.store.syncLevel === 'file';
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

  #claim(fileName: string, kinds: readonly (string | undefined)[]): void {
    if (!kinds.includes(archiveKind(fileName)) || fileName === manifestFileName) {
      throw new FileError('INVALID_ARGUMENT', `'${fileName}' cannot be the name of such a file in a snapshot`);
    }
    if (this.#names.has(fileName)) throw new StoreError('EXISTS', `the snapshot has a file ${fileName} already: two archives have one name`);
    this.#names.add(fileName);
  }

  #write(name: string, bytes: Buffer, tempName?: string): Promise<void> {
    const { hidden, store } = this.#parts;
    return writeWhole(hidden, name, bytes, { owner: store.owner, durable: this.#isDurable, ...(tempName !== undefined && { tempName }) });
  }

  async #finish(manifest: Buffer): Promise<void> {
    const { store, group, hidden } = this.#parts;
    await Promise.all(this.#running);
    await this.#checkPrevious();
    await this.#removeStrangers();
    const manifestLocks = new LockStack();
    try {
      await lockManifest(store, this.snapshot, manifestLocks);
      await this.#write(manifestFileName, manifest);
      if (store.syncLevel === 'filesystem') await this.#chunks.syncFiles(this.#fd);
      await this.#chunks.close();
      if (group.made && this.#isDurable) await syncUpTo(store.location, dirname(group.directory));
      await this.#show(hidden, join(store.location, snapshotPath(this.snapshot)));
    } finally {
      manifestLocks.release();
    }
    this.#end();
  }

  #end(): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    closeSync(this.#fd);
    this.#parts.locks.release();
  }

  /** Nothing can fail after it has become visible, except that it could not be made durable: then it is hidden again. */
  async #show(hidden: string, path: string): Promise<void> {
    renameShown(hidden, path);
    if (this.#parts.store.syncLevel === 'none') return;
    try {
      await syncDirectory(this.#parts.group.directory);
    } catch (error) {
      renameNew(path, hidden);
      throw error;
    }
  }

  async #checkPrevious(): Promise<void> {
    if (this.previous === undefined || !this.#reused) return;
    const path = join(this.#parts.store.location, snapshotPath(this.previous), manifestFileName);
    try {
      await lstat(path);
    } catch (cause) {
      if (codeOf(cause) !== 'ENOENT' && codeOf(cause) !== 'ENOTDIR') throw cause;
      const text = `the previous snapshot, whose chunks were used again, was removed meanwhile (${path})`;
      throw new StoreError('NOT_FOUND', `${text}: back up again`, { cause });
    }
  }

  /** Temporary files that could not be removed. */
  async #removeStrangers(): Promise<void> {
    const { hidden } = this.#parts;
    for (const name of await readdir(hidden)) if (!this.#names.has(name)) await unlink(join(hidden, name));
  }

  async #abort(): Promise<void> {
    const { warn, hidden, store, group } = this.#parts;
    if (this.#finishing !== undefined && (await succeeds(this.#finishing))) return;
    await Promise.allSettled(this.#running);
    const attempt = async (what: string, act: () => Promise<void>): Promise<void> => {
      await act().catch((error: unknown) => {
        warn(`${what}: ${messageOf(error)}`);
      });
    };
    await attempt('chunk workers did not end well', () => this.#chunks.close());
    await attempt(`${hidden} could not be removed, the next backup of this group will`, () => rm(hidden, { recursive: true, force: true }));
    await attempt('lock files could not be removed', () => removeSnapshotLocks(store, this.snapshot));
    if (group.made) {
      await attempt(`the new group ${group.directory} could not be removed`, () => removeNewGroup(store, this.snapshot, group.directory));
    }
    this.#end();
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

function renameShown(hidden: string, path: string): void {
  try {
    renameNew(hidden, path);
  } catch (cause) {
    if (codeOf(cause) !== 'EEXIST') throw cause;
    throw new StoreError('EXISTS', `${path} was made by another program meanwhile: back up again with a later time`, { cause });
  }
}

/** Makes the names of new directories durable, from `directory` up to the datastore. */
async function syncUpTo(location: string, directory: string): Promise<void> {
  await syncDirectory(directory);
  if (directory !== location) await syncUpTo(location, dirname(directory));
}

async function succeeds(promise: Promise<void>): Promise<boolean> {
  return await promise.then(
    () => true,
    () => false,
  );
}

function closed(): StoreError {
  return new StoreError('CLOSED', 'the backup session was ended');
}
