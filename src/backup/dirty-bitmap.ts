/** Whether a list of changed blocks may be believed: only what belongs to the image of the previous snapshot. Format: datastore, section 10.3. */
import type { FixedIndex } from '../format/fixed-index.js';
import { formatFingerprint } from '../format/fingerprint.js';
import type { CryptMode, ManifestFile } from '../format/manifest.js';
import type { ChangedBlocks } from './changed-list.js';
import { imageChunkBytes } from './image-chunks.js';

export interface PreviousImage {
  /** Its entry in the manifest, whose signature was checked if there is a key. */
  readonly file: ManifestFile;
  readonly index: FixedIndex;
  /** Of the key that the manifest names; 32 bytes. */
  readonly keyFingerprint: Buffer | undefined;
}

export interface DirtyBitmapFacts {
  readonly changed: ChangedBlocks;
  /** Bytes of the image that is to be backed up; undefined if it is a stream. */
  readonly size: number | undefined;
  readonly cryptMode: CryptMode;
  readonly keyFingerprint: Buffer | undefined;
  /** The image of this name in the previous snapshot; a string says why there is none that could be used. */
  readonly previous: PreviousImage | string;
}

/** `OK`, or why the whole image has to be read. */
export function dirtyBitmapStatus(facts: DirtyBitmapFacts): string {
  const { size, previous } = facts;
  if (size === undefined) return 'standard input can only be read whole';
  if (typeof previous === 'string') return previous;
  const reason = sizeReason(previous.index, size) ?? keyReason(facts, previous) ?? listReason(facts.changed, size);
  return reason ?? csumReason(facts.changed, previous) ?? 'OK';
}

function sizeReason(index: FixedIndex, size: number): string | undefined {
  if (index.chunkSize !== imageChunkBytes) return `the previous index has chunks of ${index.chunkSize} bytes`;
  if (index.size !== size) return `the image had ${index.size} bytes and has ${size} now`;
  return undefined;
}

function csumReason({ since }: ChangedBlocks, { file, index }: PreviousImage): string | undefined {
  const csum = index.computeCsum().toString('hex');
  if (csum !== file.csum || index.size !== file.size) return 'the previous index is damaged: it does not fit its manifest';
  if (since !== undefined && since !== csum) return `the previous index has the checksum ${csum}, the changes are those since ${since}`;
  return undefined;
}

/** Chunks of another key, or of none, are other chunks. */
function keyReason({ cryptMode, keyFingerprint }: DirtyBitmapFacts, { file, keyFingerprint: previousKey }: PreviousImage): string | undefined {
  const isEncrypted = cryptMode === 'encrypt';
  if (isEncrypted && file.cryptMode !== 'encrypt') return 'the previous image is not encrypted, the new one will be';
  if (!isEncrypted) return file.cryptMode === 'encrypt' ? 'the previous image is encrypted, the new one will not be' : undefined;
  if (previousKey === undefined) return 'the previous snapshot does not say with which key it is encrypted';
  if (keyFingerprint?.equals(previousKey) === true) return undefined;
  return `the previous image is encrypted with the key ${formatFingerprint(previousKey)}`;
}

function listReason({ imageBytesMin, imageBytesMax }: ChangedBlocks, size: number): string | undefined {
  if (size > imageBytesMax) return `the bitmap covers ${imageBytesMax} bytes, the image has ${size}`;
  if (size < imageBytesMin) return `the changes reach beyond byte ${imageBytesMin}, the image has ${size}`;
  return undefined;
}
