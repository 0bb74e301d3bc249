/** The manifest of a snapshot that is being made. Format: datastore, sections 5.2 to 5.4. */
import { createHash } from 'node:crypto';
import { signManifest } from '../crypto/manifest-signature.js';
import { encodeManifest, type Manifest, type ManifestFile } from '../format/manifest.js';
import type { SnapshotName } from '../format/snapshot-name.js';
import type { SessionStatistics } from '../store/backup-session.js';
import type { BackupEncryption } from './backup-request.js';

export class ManifestBuilder {
  readonly #snapshot: SnapshotName;
  readonly #encryption: BackupEncryption;
  readonly #files: ManifestFile[] = [];
  #blobBytes = 0;

  constructor(snapshot: SnapshotName, encryption: BackupEncryption) {
    this.#snapshot = snapshot;
    this.#encryption = encryption;
  }

  /** `csum`: 64 hex digits. */
  addIndex({ filename, size, csum }: { readonly filename: string; readonly size: number; readonly csum: string }): void {
    this.#files.push({ filename, size, csum, cryptMode: this.#encryption.cryptMode });
  }

  addBlob(filename: string, encoded: Buffer): void {
    this.#blobBytes += encoded.length;
    const csum = createHash('sha256').update(encoded).digest('hex');
    this.#files.push({ filename, size: encoded.length, csum, cryptMode: this.#encryption.cryptMode });
  }

  /** Signed if there is a key. What was in the datastore before counts as not sent. */
  encode(statistics: SessionStatistics, notes: string | undefined): Buffer {
    const { key } = this.#encryption;
    const { type, id, time } = this.#snapshot;
    const { chunksAdded: count, bytesAdded, encodedBytesAdded: compressedSize } = statistics;
    const manifest: Manifest = {
      backupType: type,
      backupId: id,
      backupTime: time,
      files: this.#files,
      signature: undefined,
      unprotected: {
        ...(key && { keyFingerprint: key.fingerprint }),
        ...(notes !== undefined && { notes }),
        chunkUploadStats: { compressedSize, count, duplicates: 0, size: bytesAdded + this.#blobBytes },
      },
    };
    return encodeManifest(key === undefined ? manifest : { ...manifest, signature: signManifest(manifest, key) });
  }
}
