/**
 * From the name of an index in a snapshot to its bytes: the index is compared with the manifest before anything is read through
 * it. With --salvage what does not fit is opened all the same, and marked.
 */
import { ChunkStream } from './chunk-stream.js';
import type { EncryptionKey } from '../crypto/encryption-key.js';
import { reuseFault } from '../crypto/manifest-signature.js';
import { messageOf, StoreError } from '../errors.js';
import type { ChunkIndex } from '../format/chunk-index.js';
import type { ManifestFile } from '../format/manifest.js';
import { snapshotPath } from '../format/snapshot-name.js';
import type { ArchiveContext } from './archive-context.js';
import { requiredKey, type SnapshotState } from './snapshot-state.js';

export interface OpenStream {
  /** Whether its chunks may stand as they are in a snapshot whose chunks are encrypted with this key, or in plain without one. */
  readonly fits: (key: EncryptionKey | undefined) => boolean;
  readonly stream: ChunkStream;
  readonly index: ChunkIndex;
  /** Why it should have been refused, had --salvage not been given. */
  readonly doubt: string | undefined;
}

export async function openStream(context: ArchiveContext, state: SnapshotState, file: ManifestFile): Promise<OpenStream> {
  const path = `${snapshotPath(state.snapshot)}/${file.filename}`;
  const doubts: string[] = [];
  if (state.refusal !== undefined) refuseUnlessSalvage(context, state.refusal, doubts);
  const key = file.cryptMode === 'encrypt' ? requiredKey(context, state, path) : undefined;
  const index = await readIndex(context, state, file.filename, path);
  const mismatch = mismatchOf(index, file, path);
  if (mismatch !== undefined) {
    context.damage.reportOnce(mismatch.message);
    refuseUnlessSalvage(context, mismatch, doubts);
  }
  context.cache.start();
  const stream = new ChunkStream({
    path,
    index,
    cache: context.cache,
    key: key && { key, number: context.keys.indexOf(key) },
    damage: context.damage,
    salvage: context.salvage,
  });
  return { fits: fitting(state, file), stream, index, doubt: doubts.length === 0 ? undefined : doubts.join('; ') };
}

/** A key that was only guessed, as the manifest names none, fits nothing. Worked out when it is asked: most streams are only read. */
function fitting({ manifest, key: known }: SnapshotState, { cryptMode }: ManifestFile): OpenStream['fits'] {
  if (cryptMode !== 'encrypt') return (key) => key === undefined;
  return (key) => manifest !== undefined && known !== undefined && key?.fingerprintText === known.fingerprintText && reuseFault(manifest, known) === undefined;
}

async function readIndex(context: ArchiveContext, state: SnapshotState, fileName: string, path: string): Promise<ChunkIndex> {
  try {
    return await context.store.index(state.snapshot, fileName);
  } catch (error) {
    context.damage.reportOnce(`${path} can't be opened: ${messageOf(error)}`);
    throw error;
  }
}

function refuseUnlessSalvage(context: ArchiveContext, reason: Error, doubts: string[]): void {
  if (!context.salvage) throw reason;
  doubts.push(messageOf(reason));
}

function mismatchOf(index: ChunkIndex, file: ManifestFile, path: string): StoreError | undefined {
  if (index.size !== file.size) {
    return new StoreError('MANIFEST_MISMATCH', `${path} describes ${index.size} bytes, its manifest says ${file.size}: it is refused`);
  }
  const csum = index.computeCsum().toString('hex');
  if (csum === file.csum) return undefined;
  return new StoreError('MANIFEST_MISMATCH', `${path} has the checksum ${csum}, its manifest says ${file.csum}: it is refused`);
}
