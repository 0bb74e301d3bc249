/** Contexts of stores for restores without the command line. */
import type { ArchiveContext } from '../../src/archive/archive-context.js';
import { DamageLog } from '../../src/archive/damage.js';
import type { SnapshotContent } from '../../src/archive/snapshot-contents.js';
import { readSnapshotState, type SnapshotState } from '../../src/archive/snapshot-state.js';
import { ChunkCache } from '../../src/codec/chunk-cache.js';
import type { EncryptionKey } from '../../src/crypto/encryption-key.js';
import { loadZstd } from '../../src/os/zstd/zstd.js';
import { findContent, type FoundContent } from '../../src/restore/find-content.js';
import { restoreArchive } from '../../src/restore/archive-restore.js';
import type { RestoreOptions, RestoreResult } from '../../src/restore/restore-options.js';
import { openDatastore } from '../../src/store/open.js';
import { resolveReference } from '../../src/store/snapshot-reference.js';

export interface OpenedStore {
  readonly context: ArchiveContext;
  state(snapshot: string): Promise<SnapshotState>;
  content(snapshot: string, name: string): Promise<FoundContent>;
  close(): Promise<void>;
}

export async function openedStore(path: string, keys: readonly EncryptionKey[] = []): Promise<OpenedStore> {
  const store = await openDatastore(path);
  const cache = new ChunkCache({ bytesMax: 64 << 20, keys: keys.map(({ encKey }) => encKey), source: store.chunks });
  const context: ArchiveContext = { store, keys, cache, damage: new DamageLog(() => undefined), zstd: loadZstd(), salvage: false };
  const state = async (reference: string): Promise<SnapshotState> => {
    const { snapshot } = await resolveReference(store, Buffer.from(reference));
    if (snapshot === undefined) throw new Error(`${reference} is no snapshot`);
    return await readSnapshotState(context, snapshot);
  };
  return {
    context,
    state,
    content: async (snapshot, name) => findContent(await state(snapshot), name),
    close: async () => void (await Promise.all([cache.close(), store.close()])),
  };
}

export const everything: RestoreOptions = { skip: new Set(), replace: new Set(), allowExistingDirectories: false, patterns: [] };

export interface Restored {
  readonly result: RestoreResult;
  readonly warnings: readonly string[];
  readonly failures: readonly string[];
}

export async function restored(opened: OpenedStore, snapshot: string, name: string, target: string, options: Partial<RestoreOptions> = {}): Promise<Restored> {
  const state = await opened.state(snapshot);
  const content = findContent(state, name) as SnapshotContent;
  const [warnings, failures]: [string[], string[]] = [[], []];
  const observer = { progress: () => undefined, warn: (line: string) => void warnings.push(line), failed: (line: string) => void failures.push(line) };
  const request = { context: opened.context, state, content, target: Buffer.from(target), options: { ...everything, ...options }, observer };
  return { result: await restoreArchive(request), warnings, failures };
}
