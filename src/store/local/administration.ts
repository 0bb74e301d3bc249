/** Administration of a datastore in a directory, beside a server or without one. Format: datastore, sections 1.4, 3.6, 5.5, 7 and 8. */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { checkBlob, decodeBlob } from '../../codec/blob-decoder.js';
import { FileError, FormatError, StoreError, codeOf, messageOf } from '../../errors.js';
import { clientLogFileName, manifestFileName, protectedFileName } from '../../format/archive-name.js';
import { encodedChunkBytesMax } from '../../format/blob.js';
import type { GcStatus } from '../../format/gc-status.js';
import { parseManifest, type UnprotectedManifest, type VerifyState } from '../../format/manifest.js';
import type { Namespace } from '../../format/namespace.js';
import { checkNotes } from '../../format/notes.js';
import { pruneMarks, type KeepOptions } from '../../format/prune.js';
import { groupPath, snapshotPath, type GroupName, type SnapshotName } from '../../format/snapshot-name.js';
import { loadZstd } from '../../os/zstd/zstd.js';
import type { Administration, GarbageOptions, PruneDecision, RemovedCounts } from '../administration.js';
import type { Datastore } from '../datastore.js';
import { writeWhole } from './atomic-file.js';
import { setChunkAside } from './chunk-aside.js';
import { writeGroupNotes, writeGroupOwner } from './group-notes.js';
import { removeGroupDirectory, removeGroupIfEmpty } from './group-removal.js';
import { updateManifest } from './manifest-update.js';
import { removeNamespaceDirectory } from './namespace-removal.js';
import { permissionOf } from './permission.js';
import type { ServerPaths } from './server.js';
import { removeSnapshotDirectory, whileLocked } from './snapshot-removal.js';
import { findWritable, type WritableStore } from './writable-store.js';

export class LocalAdministration implements Administration {
  readonly #store: Datastore;
  readonly #server: ServerPaths;
  readonly #warn: (line: string) => void;

  constructor(store: Datastore, server: ServerPaths, warn: (line: string) => void) {
    this.#store = store;
    this.#server = server;
    this.#warn = warn;
  }

  async notes(of: SnapshotName | GroupName): Promise<string> {
    if (!isSnapshot(of)) {
      await this.#store.snapshots(of);
      return (await this.#store.groupFacts(of)).notes ?? '';
    }
    if (!(await this.#store.snapshotFacts(of)).finished) throw new StoreError('UNFINISHED', `${snapshotPath(of)} has no manifest: it is not finished`);
    const manifest = parseManifest(decodeBlob(await this.#store.blob(of, manifestFileName), await loadZstd(), undefined));
    return manifest.unprotected.notes ?? '';
  }

  async setNotes(of: SnapshotName | GroupName, notes: string): Promise<void> {
    checkNotes(notes);
    await this.#changing((store) => (isSnapshot(of) ? updateManifest(store, of, (unprotected) => withNotes(unprotected, notes)) : writeGroupNotes(store, of, notes)));
  }

  async setProtected(snapshot: SnapshotName, value: boolean): Promise<void> {
    await this.#changing((store) =>
      whileLocked(store, snapshot, 'exclusive', async (directory) => {
        if (value) await writeWhole(directory, protectedFileName, Buffer.alloc(0), { owner: store.owner, durable: store.syncLevel !== 'none' });
        else await rm(join(directory, protectedFileName), { force: true });
      }),
    );
  }

  async removeSnapshot(snapshot: SnapshotName): Promise<void> {
    await this.#changing(async (store) => {
      await removeSnapshotDirectory(store, snapshot);
      await removeGroupIfEmpty(store, snapshot);
    });
  }

  async removeGroup(group: GroupName, { skipProtected = false }: { readonly skipProtected?: boolean } = {}): Promise<RemovedCounts> {
    const counts = await this.#changing((store) => removeGroupDirectory(store, group));
    if (!skipProtected) refuseProtected(counts, `the group ${groupPath(group)}`);
    return counts;
  }

  async removeNamespace(namespace: Namespace, { withGroups, skipProtected = false }: { readonly withGroups: boolean; readonly skipProtected?: boolean }): Promise<RemovedCounts> {
    const counts = await this.#changing((store) => removeNamespaceDirectory(store, namespace, withGroups));
    if (!skipProtected) refuseProtected(counts, `the namespace ${namespace.join('/')}`);
    return counts;
  }

  async changeOwner(group: GroupName, owner: string): Promise<void> {
    await this.#changing((store) => writeGroupOwner(store, group, owner));
  }

  async writeLog(snapshot: SnapshotName, encoded: Buffer): Promise<void> {
    if (encoded.length > encodedChunkBytesMax) {
      throw new FormatError('LIMIT_EXCEEDED', `a log of ${encoded.length} bytes is too large: at most ${encodedChunkBytesMax}`);
    }
    checkBlob(encoded);
    await this.#changing((store) =>
      whileLocked(store, snapshot, 'shared', async (directory) => {
        try {
          await writeWhole(directory, clientLogFileName, encoded, { owner: store.owner, durable: store.syncLevel !== 'none', noReplace: true });
        } catch (cause) {
          if (codeOf(cause) !== 'EEXIST') throw cause;
          throw new StoreError('EXISTS', `${snapshotPath(snapshot)} has a log already: it is not replaced`, { cause });
        }
      }),
    );
  }

  async prune(group: GroupName, keep: KeepOptions, { dryRun }: { readonly dryRun: boolean }): Promise<readonly PruneDecision[]> {
    const decisions = await this.#decisions(group, keep);
    if (dryRun) return decisions;
    await this.#changing(async (store) => {
      for (const { snapshot } of decisions.filter((decision) => !decision.keep)) {
        try {
          await removeSnapshotDirectory(store, snapshot);
        } catch (error) {
          this.#warn(`${snapshotPath(snapshot)} was not removed: ${messageOf(error)}`);
        }
      }
    });
    return decisions;
  }

  async setVerifyState(snapshot: SnapshotName, verifyState: VerifyState): Promise<void> {
    await this.#changing((store) => updateManifest(store, snapshot, (unprotected) => withVerifyState(unprotected, verifyState)));
  }

  async setAsideChunk(digest: Buffer): Promise<string | undefined> {
    return await this.#changing((store) => setChunkAside(store.location, digest));
  }

  async collectGarbage(options: GarbageOptions): Promise<GcStatus> {
    const { collectGarbage } = await import('./garbage/collect.js');
    return await this.#changing((store) => collectGarbage(store, options));
  }

  async #decisions(group: GroupName, keep: KeepOptions): Promise<PruneDecision[]> {
    const snapshots = await this.#store.snapshots(group);
    const facts = await Promise.all(snapshots.map((snapshot) => this.#store.snapshotFacts(snapshot)));
    const candidates = snapshots.map(({ time }, i) => ({ time, finished: facts[i]?.finished === true, protected: facts[i]?.protected === true }));
    const marks = pruneMarks(candidates, keep);
    return snapshots.map((snapshot, i) => ({ snapshot, keep: marks[i] !== 'remove', protected: marks[i] === 'protected' }));
  }

  async #changing<T>(work: (store: WritableStore) => Promise<T>): Promise<T> {
    try {
      return await work(await findWritable(this.#store.location, this.#server, this.#warn));
    } catch (error) {
      throw permissionOf(error);
    }
  }
}

function isSnapshot(of: SnapshotName | GroupName): of is SnapshotName {
  return 'time' in of;
}

function withNotes({ notes: _old, ...rest }: UnprotectedManifest, notes: string): UnprotectedManifest {
  return notes === '' ? rest : { ...rest, notes };
}

/** In place of what was there in whatever form. */
function withVerifyState({ others = {}, ...rest }: UnprotectedManifest, verifyState: VerifyState): UnprotectedManifest {
  const kept = Object.entries(others).filter(([name]) => name !== 'verify_state');
  return { ...rest, others: Object.fromEntries(kept), verifyState };
}

function refuseProtected({ protectedSnapshots }: RemovedCounts, what: string): void {
  if (protectedSnapshots === 0) return;
  throw new FileError('NOT_PERMITTED', `${what} stays: ${protectedSnapshots} of its snapshots are protected; all others are removed`);
}
