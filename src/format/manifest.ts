/**
 * Format: datastore, section 5. The manifest of a snapshot: what `index.json.blob` decodes to. Members that are not
 * known here are kept and written back; those outside of `unprotected` are part of what is signed.
 */
import { FormatError } from '../errors.js';
import { archiveKind } from './archive-name.js';
import { formatFingerprint, parseFingerprint } from './fingerprint.js';
import { isWellFormed, parseJson, writeJson, type JsonObject, type JsonValue } from './json.js';
import { count, integer, listOf, members, oneOf, optional, text, textLike } from './json-shape.js';
import { backupTypes, isBackupId, type BackupType } from './snapshot-name.js';

export type CryptMode = 'none' | 'encrypt' | 'sign-only';

export interface ManifestFile {
  /** Name on disk, with .fidx, .didx or .blob. */
  readonly filename: string;
  readonly cryptMode: CryptMode;
  /** Bytes: of the image or stream that an index describes, or of the encoded blob. */
  readonly size: number;
  /** SHA-256 over the entries of an index, or over the encoded blob. 64 hex digits. */
  readonly csum: string;
  readonly others?: JsonObject;
}

export interface VerifyState {
  readonly state: 'ok' | 'failed';
  readonly upid: string;
}

/** What the client sent, in bytes and numbers of chunks; `compressedSize` is that of chunks alone, `size` has blobs in it. */
export interface ChunkUploadStats {
  readonly compressedSize: number;
  readonly count: number;
  readonly duplicates: number;
  readonly size: number;
}

/** Not signed: servers change it. A member in a form that is not understood is among `others`. */
export interface UnprotectedManifest {
  /** Of the key that signed; 32 bytes. */
  readonly keyFingerprint?: Buffer;
  readonly notes?: string;
  readonly verifyState?: VerifyState;
  readonly chunkUploadStats?: ChunkUploadStats;
  readonly others?: JsonObject;
}

export interface Manifest {
  readonly backupType: BackupType;
  readonly backupId: string;
  /** Seconds since 1970. Like type and id it may differ from the directory's name: a copy keeps its source's. */
  readonly backupTime: number;
  readonly files: readonly ManifestFile[];
  /** As it was found; only verifyManifestSignature() tells whether it is one. */
  readonly signature: string | undefined;
  readonly unprotected: UnprotectedManifest;
  readonly others?: JsonObject;
}

/** What an upload may have at most. */
const manifestBytesMax = 16 * 1024 * 1024;

const cryptModeShape = oneOf('none', 'encrypt', 'sign-only');
const fileNameShape = textLike((name) => archiveKind(name) !== undefined, 'the name of an index or blob');
const csumShape = textLike((csum) => /^[a-f0-9]{64}$/.test(csum), '64 hex digits');
const backupTypeShape = oneOf(...backupTypes);
const backupIdShape = textLike(isBackupId, 'a backup id');
const verifyStateShape = oneOf('ok', 'failed');

/** Throws BAD_STRUCTURE or LIMIT_EXCEEDED. Nothing but the form is checked. */
export function parseManifest(json: Uint8Array | string): Manifest {
  const document = members(parseJson(json, 'the manifest', manifestBytesMax), 'the manifest');
  const { 'backup-type': backupType, 'backup-id': backupId, 'backup-time': backupTime, files, signature, unprotected, ...others } = document;
  const manifest: Manifest = {
    backupType: backupTypeShape(backupType, 'backup-type of the manifest'),
    backupId: backupIdShape(backupId, 'backup-id of the manifest'),
    backupTime: integer(backupTime, 'backup-time of the manifest'),
    files: listOf(fileOf)(files, 'files of the manifest'),
    signature: optional(text)(signature, 'signature of the manifest'),
    unprotected: unprotectedOf(optional(members)(unprotected, 'unprotected of the manifest') ?? {}),
    ...othersOf(others),
  };
  const names = new Set<string>();
  for (const { filename } of manifest.files) {
    if (names.has(filename)) throw new FormatError('BAD_STRUCTURE', `the manifest lists '${filename}' twice`);
    names.add(filename);
  }
  return manifest;
}

/** The text that is stored: indented, keys in order, `null` for a missing signature. BAD_STRUCTURE for half a character. */
export function encodeManifest(manifest: Manifest): Buffer {
  const { unprotected } = manifest;
  const value = {
    ...signedPart(manifest),
    signature: manifest.signature ?? null,
    unprotected: {
      ...unprotected.others,
      ...(unprotected.keyFingerprint && { 'key-fingerprint': formatFingerprint(unprotected.keyFingerprint) }),
      ...(unprotected.notes !== undefined && { notes: unprotected.notes }),
      ...(unprotected.verifyState && { verify_state: { ...unprotected.verifyState } }),
      ...(unprotected.chunkUploadStats && { chunk_upload_stats: encodeStats(unprotected.chunkUploadStats) }),
    },
  };
  if (!isWellFormed(value)) throw new FormatError('BAD_STRUCTURE', 'the manifest has a text with half a character in it (a lone surrogate); if it is the notes, write them anew');
  return Buffer.from(writeJson(value, 2));
}

/** What is signed: everything but `signature` and `unprotected`, without spaces. Throws BAD_STRUCTURE if it has a null. */
export function canonicalManifest(manifest: Manifest): Buffer {
  const value = signedPart(manifest);
  refuseNull(value);
  return Buffer.from(writeJson(value));
}

function signedPart(manifest: Manifest): JsonObject {
  return {
    ...manifest.others,
    'backup-type': manifest.backupType,
    'backup-id': manifest.backupId,
    'backup-time': manifest.backupTime,
    files: manifest.files.map((file) => ({
      ...file.others,
      filename: file.filename,
      'crypt-mode': file.cryptMode,
      size: file.size,
      csum: file.csum,
    })),
  };
}

/** As deep as parseJson() lets a manifest be. */
function refuseNull(value: JsonValue): void {
  if (value === null) throw new FormatError('BAD_STRUCTURE', 'a manifest with a null in its signed part can not be signed');
  if (typeof value === 'object') Object.values(value).forEach(refuseNull);
}

function fileOf(value: unknown, path: string): ManifestFile {
  const { filename, 'crypt-mode': cryptMode = 'none', size, csum, ...others } = members(value, path);
  return {
    filename: fileNameShape(filename, `${path}.filename`),
    cryptMode: cryptModeShape(cryptMode, `${path}.crypt-mode`),
    size: count(size, `${path}.size`),
    csum: csumShape(csum, `${path}.csum`),
    ...othersOf(others),
  };
}

function unprotectedOf(document: JsonObject): UnprotectedManifest {
  const { 'key-fingerprint': fingerprint, notes, verify_state: state, chunk_upload_stats: stats, ...others } = document;
  const keyFingerprint = optional(text)(fingerprint, 'key-fingerprint of the manifest');
  const verifyState = understood(state, verifyStateOf);
  const chunkUploadStats = understood(stats, statsOf);
  const strange = {
    ...(fingerprint === null && { 'key-fingerprint': fingerprint }),
    ...(notes !== undefined && typeof notes !== 'string' && { notes }),
    ...(state !== undefined && verifyState === undefined && { verify_state: state }),
    ...(stats !== undefined && chunkUploadStats === undefined && { chunk_upload_stats: stats }),
  };
  return {
    ...(keyFingerprint !== undefined && { keyFingerprint: parseFingerprint(keyFingerprint) }),
    ...(typeof notes === 'string' && { notes }),
    ...(verifyState !== undefined && { verifyState }),
    ...(chunkUploadStats !== undefined && { chunkUploadStats }),
    ...othersOf({ ...others, ...strange }),
  };
}

/** Undefined if it is in another form. */
function understood<T>(value: JsonValue | undefined, parse: (value: JsonObject) => T): T | undefined {
  try {
    return parse(members(value, ''));
  } catch (error) {
    if (error instanceof FormatError) return undefined;
    throw error;
  }
}

function verifyStateOf({ state, upid, ...others }: JsonObject): VerifyState {
  refuseMore(others);
  return { state: verifyStateShape(state, 'state'), upid: text(upid, 'upid') };
}

function statsOf({ compressed_size: compressedSize, count: chunks, duplicates, size, ...others }: JsonObject): ChunkUploadStats {
  refuseMore(others);
  return {
    compressedSize: count(compressedSize, 'compressed_size'),
    count: count(chunks, 'count'),
    duplicates: count(duplicates, 'duplicates'),
    size: count(size, 'size'),
  };
}

function refuseMore(others: JsonObject): void {
  if (Object.keys(others).length > 0) throw new FormatError('BAD_STRUCTURE', 'a member is not known');
}

function encodeStats(stats: ChunkUploadStats): JsonObject {
  const { compressedSize, ...rest } = stats;
  return { compressed_size: compressedSize, ...rest };
}

function othersOf(others: JsonObject): { others?: JsonObject } {
  return Object.keys(others).length === 0 ? {} : { others };
}
