/** A blob of a snapshot, compared with the manifest and decoded. */
import { createHash } from 'node:crypto';
import { decodeBlob } from '../codec/blob-decoder.js';
import { codeOf, messageOf, StoreError } from '../errors.js';
import { blobBytesMax, decodeBlobHeader } from '../format/blob.js';
import type { ManifestFile } from '../format/manifest.js';
import { snapshotPath } from '../format/snapshot-name.js';
import type { ArchiveContext } from './archive-context.js';
import { requiredKey, type SnapshotState } from './snapshot-state.js';

export interface OpenBlob {
  readonly content: Buffer;
  /** Of the file in the store. */
  readonly storedBytes: number;
  /** Why it should have been refused, had --salvage not been given. */
  readonly doubt: string | undefined;
}

/** `listed`: what the manifest says; it says nothing of itself and of a log that was sent afterwards. `bytesMax`: of the content, which is all in memory. */
export async function openBlob(
  context: ArchiveContext,
  state: SnapshotState,
  fileName: string,
  listed: ManifestFile | undefined,
  bytesMax = blobBytesMax,
): Promise<OpenBlob> {
  const path = `${snapshotPath(state.snapshot)}/${fileName}`;
  const bytes = await context.store.blob(state.snapshot, fileName);
  const refusal = listed === undefined ? undefined : refusalOf(context, state, bytes, listed, path);
  if (refusal !== undefined && !context.salvage) throw refusal;
  try {
    const key = decodeBlobHeader(bytes).encrypted ? requiredKey(context, state, path) : undefined;
    const content = decodeBlob(bytes, await context.zstd, key, bytesMax);
    return { content, storedBytes: bytes.length, doubt: refusal === undefined ? undefined : messageOf(refusal) };
  } catch (error) {
    // requiredKey() has said what is missing.
    if (codeOf(error) !== 'KEY_REQUIRED') context.damage.reportOnce(`${path}: ${messageOf(error)}`);
    throw error;
  }
}

function refusalOf(context: ArchiveContext, state: SnapshotState, bytes: Buffer, listed: ManifestFile, path: string): Error | undefined {
  const mismatch = mismatchOf(bytes, listed, path);
  if (mismatch !== undefined) context.damage.reportOnce(mismatch.message);
  return state.refusal ?? mismatch;
}

function mismatchOf(bytes: Buffer, listed: ManifestFile, path: string): StoreError | undefined {
  const csum = createHash('sha256').update(bytes).digest('hex');
  if (bytes.length === listed.size && csum === listed.csum) return undefined;
  return new StoreError('MANIFEST_MISMATCH', `${path} is not the file that its manifest lists: it is refused`);
}
