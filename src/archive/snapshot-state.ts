/**
 * What is known of one snapshot: its files, its manifest and whether that may be trusted. It is made anew when the files in the
 * store have changed.
 */
import { decodeBlob } from '../codec/blob-decoder.js';
import type { EncryptionKey } from '../crypto/encryption-key.js';
import { verifyManifestSignature } from '../crypto/manifest-signature.js';
import { CryptoError, messageOf } from '../errors.js';
import { manifestFileName } from '../format/archive-name.js';
import { formatFingerprint } from '../format/fingerprint.js';
import { parseManifest, type Manifest } from '../format/manifest.js';
import { snapshotPath, type SnapshotName } from '../format/snapshot-name.js';
import type { SnapshotFacts } from '../store/datastore.js';
import type { ArchiveContext } from './archive-context.js';

export interface SnapshotState {
  readonly snapshot: SnapshotName;
  readonly facts: SnapshotFacts;
  /** Absent: the backup was not finished, or the manifest can't be read (then `refusal` says why). */
  readonly manifest: Manifest | undefined;
  readonly manifestJson: Buffer;
  /** The key whose fingerprint the manifest names, if it was given. */
  readonly key: EncryptionKey | undefined;
  /** Why nothing of this snapshot may be opened: its manifest is damaged or its signature does not fit. */
  readonly refusal: Error | undefined;
}

export async function readSnapshotState(context: ArchiveContext, snapshot: SnapshotName, before?: SnapshotState): Promise<SnapshotState> {
  const facts = await context.store.snapshotFacts(snapshot);
  if (before?.facts.version === facts.version) return before;
  const nothing = { snapshot, facts, manifest: undefined, manifestJson: Buffer.alloc(0), key: undefined, refusal: undefined };
  if (!facts.finished) return nothing;
  try {
    const manifestJson = decodeBlob(await context.store.blob(snapshot, manifestFileName), await context.zstd, undefined);
    const manifest = parseManifest(manifestJson);
    const key = keyOf(context.keys, manifest);
    return { ...nothing, manifest, manifestJson, key, refusal: signatureRefusal(context, snapshot, manifest, key) };
  } catch (error) {
    context.damage.reportOnce(`${snapshotPath(snapshot)}: its manifest can't be used: ${messageOf(error)}`);
    return { ...nothing, refusal: error instanceof Error ? error : new Error(String(error)) };
  }
}

/** Old manifests of encrypted snapshots name no key: then it is the one that was given. */
function keyOf(keys: readonly EncryptionKey[], manifest: Manifest): EncryptionKey | undefined {
  const wanted = manifest.unprotected.keyFingerprint;
  if (wanted === undefined) return keys.length === 1 ? keys[0] : undefined;
  return keys.find(({ fingerprint }) => fingerprint.equals(wanted));
}

function signatureRefusal(context: ArchiveContext, snapshot: SnapshotName, manifest: Manifest, key: EncryptionKey | undefined): Error | undefined {
  if (key === undefined) return undefined;
  try {
    verifyManifestSignature(manifest, key);
    return undefined;
  } catch (error) {
    if (!(error instanceof CryptoError)) throw error;
    context.damage.reportOnce(`${snapshotPath(snapshot)}: ${error.message}; its archives are refused`);
    return error;
  }
}

/** The key for a file of crypt mode `encrypt`. KEY_REQUIRED names the fingerprint that is needed. */
export function requiredKey(context: ArchiveContext, state: SnapshotState, what: string): EncryptionKey {
  if (state.key !== undefined) return state.key;
  const fingerprint = state.manifest?.unprotected.keyFingerprint;
  const needed = fingerprint === undefined ? 'its key' : `the key with fingerprint ${formatFingerprint(fingerprint)}`;
  const error = new CryptoError('KEY_REQUIRED', `${what} is encrypted: give ${needed} by --keyfile`);
  context.damage.reportOnce(error.message);
  throw error;
}

/** Names what is called `name` in a snapshot for as long as its content is the same and the manifest is as trusted. */
export function contentKey({ snapshot, refusal }: SnapshotState, name: string, content: string): string {
  return `${snapshotPath(snapshot)}/${name} ${content}${refusal === undefined ? '' : ' refused'}`;
}
