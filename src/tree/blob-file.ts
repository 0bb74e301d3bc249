/** A blob of a snapshot, decoded: configuration files, logs, the master-key copy of the key, the manifest itself. */
import { openBlob } from '../archive/blob-opener.js';
import { blobOverheadBytes } from '../format/blob.js';
import type { ManifestFile } from '../format/manifest.js';
import type { Attributes, Ino, OpenFile, Timestamp } from '../vfs/file-system.js';
import { archiveXattrs } from './archive-facts.js';
import type { TreeContext } from './context.js';
import { openBytes } from './bytes-file.js';
import { fileAttributes, TreeNode, type Xattrs } from './node.js';
import type { SnapshotState } from '../archive/snapshot-state.js';

export interface BlobSource {
  readonly state: SnapshotState;
  readonly fileName: string;
  /** Bytes of the file in the store, if that is known before it is read. */
  readonly storedBytes: number | undefined;
  /** What the manifest says; the manifest itself and a log that was sent afterwards are in none. */
  readonly listed: ManifestFile | undefined;
  readonly time: Timestamp;
}

export class BlobFile extends TreeNode {
  readonly #context: TreeContext;
  readonly #source: BlobSource;
  #size: number | undefined;
  #storedBytes: number | undefined;
  #doubt: string | undefined;

  constructor(ino: Ino, context: TreeContext, source: BlobSource) {
    super(ino);
    this.#context = context;
    this.#source = source;
    this.#storedBytes = source.storedBytes;
  }

  /** A blob that can't be decoded shows with the size of its payload; opening it tells why. */
  override async attributes(): Promise<Attributes> {
    const { time } = this.#source;
    const { owner } = this.#context;
    try {
      this.#size ??= (await this.#content()).length;
      return fileAttributes(this.ino, owner, time, this.#size, this.#storedBytes);
    } catch {
      return fileAttributes(this.ino, owner, time, Math.max((this.#storedBytes ?? 0) - blobOverheadBytes('plain'), 0));
    }
  }

  override async open(): Promise<OpenFile> {
    return openBytes(await this.#content(), 'immutable');
  }

  override xattrs(): Xattrs {
    const { state, listed } = this.#source;
    const fingerprint = state.manifest?.unprotected.keyFingerprint;
    const files = listed === undefined ? [] : [listed];
    const values = new Map(archiveXattrs({ files, fingerprint }));
    if (this.#storedBytes !== undefined) values.set('user.pbsfs.encoded-size', Buffer.from(String(this.#storedBytes)));
    if (this.#doubt !== undefined) values.set('user.pbsfs.damaged', Buffer.from(this.#doubt));
    return values;
  }

  async #content(): Promise<Buffer> {
    const { state, fileName, listed } = this.#source;
    const { content, storedBytes, doubt } = await openBlob(this.#context, state, fileName, listed);
    this.#storedBytes = storedBytes;
    this.#doubt = doubt;
    return content;
  }
}
