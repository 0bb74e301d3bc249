/** Compares a snapshot with its manifest, and its chunks with their digests. Format: datastore, section 9. */
import { createHash } from 'node:crypto';
import { checkBlob, decodeBlob } from '../../codec/blob-decoder.js';
import { StoreError, codeOf, messageOf, type StoreErrorCode } from '../../errors.js';
import { archiveKind, manifestFileName } from '../../format/archive-name.js';
import { blobBytesMax } from '../../format/blob.js';
import { parseManifest, type Manifest, type ManifestFile, type VerifyState } from '../../format/manifest.js';
import { snapshotPath, type SnapshotName } from '../../format/snapshot-name.js';
import { loadZstd } from '../../os/zstd/zstd.js';
import type { Administration } from '../../store/administration.js';
import type { Datastore, HeldSnapshot } from '../../store/datastore.js';
import type { ChunkVerifier } from './chunk-verifier.js';

export interface VerifyOptions {
  readonly store: Datastore;
  readonly administration: Administration;
  readonly chunks: ChunkVerifier;
  /** Of the task that it is part of. */
  readonly upid: string;
  /** Whether a snapshot with this state is left as it is. */
  readonly isDone: (state: VerifyState) => boolean;
  readonly log: (line: string) => void;
  readonly signal?: AbortSignal | undefined;
}

export type VerifyResult = 'ok' | 'failed' | 'skipped';

/** What is no result of one snapshot. */
const endsAll: ReadonlySet<string | undefined> = new Set<StoreErrorCode>(['INTERRUPTED', 'MAINTENANCE']);

/** Writes the result into the manifest, and moves damaged chunks aside, so that a later backup has them again. INTERRUPTED; MAINTENANCE: no result can be written. */
export async function verifySnapshot(options: VerifyOptions, snapshot: SnapshotName): Promise<VerifyResult> {
  const { store, log } = options;
  const path = snapshotPath(snapshot);
  let held: HeldSnapshot | undefined;
  try {
    held = await store.holdSnapshot(snapshot, log);
    return await verifyHeld(options, snapshot);
  } catch (error) {
    if (endsAll.has(codeOf(error))) throw error;
    if (codeOf(error) === 'LOCKED') {
      log(`${path}: skipped, others have it locked`);
      return 'skipped';
    }
    if (held === undefined && !(await isThere(store, snapshot))) {
      log(`${path}: skipped, it is removed`);
      return 'skipped';
    }
    log(`${path}: failed: ${messageOf(error)}`);
    return 'failed';
  } finally {
    held?.release();
  }
}

async function isThere(store: Datastore, snapshot: SnapshotName): Promise<boolean> {
  try {
    await store.snapshotFacts(snapshot);
    return true;
  } catch (error) {
    return codeOf(error) !== 'NOT_FOUND';
  }
}

async function verifyHeld(options: VerifyOptions, snapshot: SnapshotName): Promise<VerifyResult> {
  const { store, administration, upid, isDone, log } = options;
  const path = snapshotPath(snapshot);
  const manifest = await manifestOf(store, snapshot);
  const { verifyState } = manifest.unprotected;
  if (verifyState !== undefined && isDone(verifyState)) {
    log(`${path}: skipped, it was verified before (${verifyState.state})`);
    return 'skipped';
  }
  let faults = 0;
  for (const file of manifest.files) {
    faults += await verifyFile(options, snapshot, file, (line) => {
      log(`${path}/${file.filename}: ${line}`);
    });
  }
  const state = faults === 0 ? 'ok' : 'failed';
  log(`${path}: ${state}${faults === 0 ? '' : `, ${faults} errors`}`);
  await administration.setVerifyState?.(snapshot, { state, upid });
  return state;
}

async function manifestOf(store: Datastore, snapshot: SnapshotName): Promise<Manifest> {
  return parseManifest(decodeBlob(await store.blob(snapshot, manifestFileName), await loadZstd(), undefined));
}

/** Gives how many faults it has, each of which is told. */
async function verifyFile(options: VerifyOptions, snapshot: SnapshotName, file: ManifestFile, tell: (line: string) => void): Promise<number> {
  try {
    if (archiveKind(file.filename) === 'blob') {
      await verifyBlob(options.store, snapshot, file);
      return 0;
    }
    return await verifyIndex(options, snapshot, file, tell);
  } catch (error) {
    if (codeOf(error) === 'INTERRUPTED') throw error;
    tell(messageOf(error));
    return 1;
  }
}

async function verifyBlob(store: Datastore, snapshot: SnapshotName, { filename, size, csum }: ManifestFile): Promise<void> {
  const bytes = await store.blob(snapshot, filename);
  if (bytes.length !== size) throw mismatch(`it has ${bytes.length} bytes`, `${size}`);
  const digest = createHash('sha256').update(bytes).digest('hex');
  if (digest !== csum) throw mismatch(`it has the checksum ${digest}`, csum);
  if (!checkBlob(bytes).encrypted) decodeBlob(bytes, await loadZstd(), undefined, blobBytesMax);
}

async function verifyIndex({ store, chunks, administration, signal }: VerifyOptions, snapshot: SnapshotName, file: ManifestFile, tell: (line: string) => void): Promise<number> {
  const index = await store.index(snapshot, file.filename);
  if (index.size !== file.size) throw mismatch(`it describes ${index.size} bytes`, `${file.size}`);
  const csum = index.computeCsum().toString('hex');
  if (csum !== file.csum) throw mismatch(`it has the checksum ${csum}`, file.csum);
  let faults = 0;
  const fault = async ({ digest, kind, message }: { digest: Buffer; kind: string; message: string }): Promise<void> => {
    faults++;
    tell(message);
    if (kind !== 'corrupt') return;
    const moved = await administration.setAsideChunk?.(digest);
    if (moved !== undefined) tell(`the damaged chunk is ${moved} now`);
  };
  await chunks.verify(index, file.cryptMode === 'encrypt', fault, signal);
  return faults;
}

function mismatch(what: string, expected: string): StoreError {
  return new StoreError('MANIFEST_MISMATCH', `${what}, its manifest says ${expected}`);
}
