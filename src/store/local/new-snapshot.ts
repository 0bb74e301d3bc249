/**
 * The directory of one snapshot of a local datastore while it is written: hidden in its group, it gets its name when it is whole.
 * Format: datastore, sections 3.7, 4.4 and 5.6.
 */
import { closeSync, constants, openSync } from 'node:fs';
import { lstat, readdir, rm, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { StoreError, codeOf, messageOf } from '../../errors.js';
import { manifestFileName, type ArchiveKind } from '../../format/archive-name.js';
import { snapshotPath, type SnapshotName } from '../../format/snapshot-name.js';
import { SnapshotFileNames } from '../snapshot-file-names.js';
import { renameNew, syncDirectory, writeWhole } from './atomic-file.js';
import { removeNewGroup, type WritableGroup } from './group.js';
import { LockStack } from './locks.js';
import { lockManifest, removeSnapshotLocks } from './snapshot-locks.js';
import type { WritableStore } from './writable-store.js';

export interface NewSnapshotParts {
  readonly snapshot: SnapshotName;
  readonly store: WritableStore;
  readonly group: WritableGroup;
  readonly previous: SnapshotName | undefined;
  /** The directory to write into; locked. */
  readonly hidden: string;
  /** Of everything that is locked for it; released when it ends. */
  readonly locks: LockStack;
  readonly warn: (line: string) => void;
}

/** What puts its chunks. */
export interface ChunkFlow {
  /** All of the file system of an open descriptor. */
  syncFiles(fd: number): Promise<void>;
  close(): Promise<void>;
}

export class NewSnapshot {
  readonly #parts: NewSnapshotParts;
  readonly #chunks: ChunkFlow;
  readonly #names = new SnapshotFileNames();
  readonly #running = new Set<Promise<unknown>>();
  /** Of the datastore, from the beginning: what the disk fails to write until the end is told to whoever has had it open. */
  readonly #fd: number;
  #isOpen = true;
  #isEnded = false;
  #reused = false;
  #finishing: Promise<void> | undefined;
  #aborting: Promise<void> | undefined;

  constructor(parts: NewSnapshotParts, chunks: ChunkFlow) {
    this.#parts = parts;
    this.#chunks = chunks;
    this.#fd = openSync(parts.store.location, constants.O_RDONLY | constants.O_DIRECTORY);
  }

  get path(): string {
    return this.#parts.hidden;
  }

  /** The end waits for `work`, which is refused after it has begun. */
  async run<T>(work: () => Promise<T>): Promise<T> {
    if (!this.#isOpen) throw closed();
    const running = work();
    this.#running.add(running);
    try {
      return await running;
    } finally {
      this.#running.delete(running);
    }
  }

  /** From now on the previous snapshot must be there at the end: its chunks were used again. */
  needPrevious(): void {
    this.#reused = true;
  }

  /** As SnapshotFileNames.claim(). */
  claim(fileName: string, kinds: readonly ArchiveKind[]): void {
    this.#names.claim(fileName, kinds);
  }

  /** In place of what has the name. */
  async write(name: string, bytes: Uint8Array, tempName?: string): Promise<void> {
    const { hidden, store } = this.#parts;
    this.#names.add(name);
    await writeWhole(hidden, name, bytes, { owner: store.owner, durable: this.#isDurable, ...(tempName !== undefined && { tempName }) });
  }

  /** Writes the manifest (an encoded blob) and makes the snapshot visible, and durable if the store is kept so. */
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

  /** Removes what was written but for chunks. Does nothing after finish(). Never rejects. */
  abort(): Promise<void> {
    this.#isOpen = false;
    return (this.#aborting ??= this.#abort());
  }

  get #isDurable(): boolean {
    return this.#parts.store.syncLevel === 'file';
  }

  async #finish(manifest: Buffer): Promise<void> {
    const { store, group, hidden, snapshot } = this.#parts;
    await Promise.all(this.#running);
    await this.#checkPrevious();
    await this.#removeStrangers();
    const manifestLocks = new LockStack();
    try {
      await lockManifest(store, snapshot, manifestLocks);
      await this.write(manifestFileName, manifest);
      if (store.syncLevel === 'filesystem') await this.#chunks.syncFiles(this.#fd);
      await this.#chunks.close();
      if (group.made && this.#isDurable) await syncUpTo(store.location, dirname(group.directory));
      await this.#show(hidden, join(store.location, snapshotPath(snapshot)));
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
    const { previous, store } = this.#parts;
    if (previous === undefined || !this.#reused) return;
    const path = join(store.location, snapshotPath(previous), manifestFileName);
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
    const { warn, hidden, store, group, snapshot } = this.#parts;
    if (this.#finishing !== undefined && (await succeeds(this.#finishing))) return;
    await Promise.allSettled(this.#running);
    const attempt = async (what: string, act: () => Promise<void>): Promise<void> => {
      await act().catch((error: unknown) => {
        warn(`${what}: ${messageOf(error)}`);
      });
    };
    await attempt('chunk workers did not end well', () => this.#chunks.close());
    await attempt(`${hidden} could not be removed, the next backup of this group will`, () => rm(hidden, { recursive: true, force: true }));
    await attempt('lock files could not be removed', () => removeSnapshotLocks(store, snapshot));
    if (group.made) {
      await attempt(`the new group ${group.directory} could not be removed`, () => removeNewGroup(store, snapshot, group.directory));
    }
    this.#end();
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
