/**
 * The newest snapshot of the group, as far as a new one may build on it: signed by the same key, not known to be damaged, its indexes as
 * its manifest says. Format: datastore, sections 5.3 and 10.1; pxar, section 7.1.
 */
import type { ArchiveContext } from '../archive/archive-context.js';
import { PxarTree } from '../archive/pxar-tree.js';
import { readSnapshotState, type SnapshotState } from '../archive/snapshot-state.js';
import { openStream } from '../archive/stream-opener.js';
import { reuseFault } from '../crypto/manifest-signature.js';
import { messageOf } from '../errors.js';
import { DynamicIndex } from '../format/dynamic-index.js';
import { formatFingerprint } from '../format/fingerprint.js';
import { FixedIndex } from '../format/fixed-index.js';
import type { CryptMode, ManifestFile } from '../format/manifest.js';
import { snapshotPath, type SnapshotName } from '../format/snapshot-name.js';
import type { BackupEncryption } from './backup-request.js';
import type { PreviousImage } from './dirty-bitmap.js';

export interface ReferenceArchive {
  readonly tree: PxarTree;
  readonly payloadIndex: DynamicIndex;
  close(): void;
}

export class PreviousSnapshot {
  readonly #context: ArchiveContext;
  readonly #state: SnapshotState;
  readonly #encryption: BackupEncryption;

  private constructor(context: ArchiveContext, state: SnapshotState, encryption: BackupEncryption) {
    this.#context = context;
    this.#state = state;
    this.#encryption = encryption;
  }

  /** Undefined, after a line that says why, if nothing of it may be used. */
  static async open(
    context: ArchiveContext,
    snapshot: SnapshotName,
    encryption: BackupEncryption,
    log: (line: string) => void,
  ): Promise<PreviousSnapshot | undefined> {
    const state = await readSnapshotState(context, snapshot);
    const reason = refusalOf(state, encryption);
    if (reason === undefined) return new PreviousSnapshot(context, state, encryption);
    log(`nothing of the previous snapshot ${snapshotPath(snapshot)} is reused: ${reason}`);
    return undefined;
  }

  /** Whether it has the archive NAME.pxar split in two. */
  hasSplit(name: string): boolean {
    const [metadata, payload] = splitNames(name).map((fileName) => this.file(fileName));
    return metadata !== undefined && payload !== undefined;
  }

  file(fileName: string): ManifestFile | undefined {
    return this.#state.manifest?.files.find(({ filename }) => filename === fileName);
  }

  /** Whether chunks of a file in this mode may stand in the new snapshot. */
  fits(cryptMode: CryptMode): boolean {
    return (cryptMode === 'encrypt') === (this.#encryption.cryptMode === 'encrypt');
  }

  /** Metadata and payload index of a split archive; a string says why they are of no use. */
  async reference(name: string): Promise<ReferenceArchive | string> {
    const files = splitNames(name).map((fileName) => this.file(fileName));
    const [metadata, payload] = files;
    if (metadata === undefined || payload === undefined) return 'the previous snapshot has no split archive of this name';
    if (!files.every((file) => file !== undefined && this.fits(file.cryptMode))) return 'one of them is encrypted, the other is not';
    try {
      const meta = await openStream(this.#context, this.#state, metadata);
      const data = await openStream(this.#context, this.#state, payload);
      const close = (): void => {
        meta.stream.close();
        data.stream.close();
      };
      if (!(data.index instanceof DynamicIndex)) return 'its payload is no stream';
      const tree = await PxarTree.open({ meta: meta.stream, payload: data.stream }, { keepsNodes: false });
      return { tree, payloadIndex: data.index, close };
    } catch (error) {
      return messageOf(error);
    }
  }

  /** Undefined if it has no such image. Throws what reading its index throws. */
  async image(fileName: string): Promise<PreviousImage | undefined> {
    const file = this.file(fileName);
    if (file === undefined) return undefined;
    const index = await this.#context.store.index(this.#state.snapshot, fileName);
    return index instanceof FixedIndex ? { file, index, keyFingerprint: this.#state.manifest?.unprotected.keyFingerprint } : undefined;
  }
}

/** Metadata first. */
export function splitNames(name: string): readonly [metadata: string, payload: string] {
  const stem = name.replace(/\.pxar$/, '');
  return [`${stem}.mpxar.didx`, `${stem}.ppxar.didx`];
}

function refusalOf({ manifest, refusal }: SnapshotState, { key }: BackupEncryption): string | undefined {
  if (refusal !== undefined) return messageOf(refusal);
  if (manifest === undefined) return 'it has no manifest';
  const { keyFingerprint, verifyState } = manifest.unprotected;
  if (verifyState?.state === 'failed') return 'its last verification failed';
  if (key !== undefined) return reuseFault(manifest, key);
  return keyFingerprint && `its key has the fingerprint ${formatFingerprint(keyFingerprint)}, and no key was given`;
}
