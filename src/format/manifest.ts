/**
 * Format: datastore, section 5. The manifest of a snapshot: what `index.json.blob` decodes to. Members that are not
 * known here are kept and written back; those outside of `unprotected` are part of what is signed.
 */
import { z } from 'zod';
import { FormatError } from '../errors.js';
import { archiveKind } from './archive-name.js';
import { formatFingerprint, parseFingerprint } from './fingerprint.js';
import { parseJson, writeJson, type JsonObject, type JsonValue } from './json.js';
import { checkSchema } from './schema.js';
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

const sizeSchema = z.number().int().nonnegative();
const fileSchema = z.looseObject({
  filename: z.string().refine((name) => archiveKind(name) !== undefined, 'not the name of an index or blob'),
  'crypt-mode': z.enum(['none', 'encrypt', 'sign-only']).default('none'),
  size: sizeSchema,
  csum: z.string().regex(/^[a-f0-9]{64}$/, 'not 64 hex digits'),
});
const manifestSchema = z.looseObject({
  'backup-type': z.enum(backupTypes),
  'backup-id': z.string().refine(isBackupId, 'not a backup id'),
  'backup-time': z.number().int(),
  files: z.array(fileSchema),
  signature: z.string().nullish(),
  unprotected: z.looseObject({ 'key-fingerprint': z.string().nullish() }).nullish(),
});
const verifyStateSchema = z.strictObject({ state: z.enum(['ok', 'failed']), upid: z.string() });
const chunkUploadStatsSchema = z.strictObject({
  compressed_size: sizeSchema,
  count: sizeSchema,
  duplicates: sizeSchema,
  size: sizeSchema,
});

/** Throws BAD_STRUCTURE or LIMIT_EXCEEDED. Nothing but the form is checked. */
export function parseManifest(json: Uint8Array | string): Manifest {
  const document = checkSchema(manifestSchema, parseJson(json, 'the manifest', manifestBytesMax), 'the manifest');
  const { 'backup-type': backupType, 'backup-id': backupId, 'backup-time': backupTime, ...rest } = document;
  const { files, signature, unprotected, ...others } = rest;
  const names = new Set<string>();
  for (const { filename } of files) {
    if (names.has(filename)) throw new FormatError('BAD_STRUCTURE', `the manifest lists '${filename}' twice`);
    names.add(filename);
  }
  return {
    backupType,
    backupId,
    backupTime,
    files: files.map(fileOf),
    signature: signature ?? undefined,
    unprotected: unprotectedOf(unprotected ?? {}),
    ...othersOf(others),
  };
}

/** The text that is stored: indented, keys in order, `null` for a missing signature. */
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

function fileOf(file: z.infer<typeof fileSchema>): ManifestFile {
  const { filename, 'crypt-mode': cryptMode, size, csum, ...others } = file;
  return { filename, cryptMode, size, csum, ...othersOf(others) };
}

function unprotectedOf(document: Record<string, unknown>): UnprotectedManifest {
  const { 'key-fingerprint': fingerprint, notes, verify_state: state, chunk_upload_stats: stats, ...others } = document;
  const verifyState = verifyStateSchema.safeParse(state);
  const chunkUploadStats = chunkUploadStatsSchema.safeParse(stats);
  const strange = {
    ...(fingerprint === null && { 'key-fingerprint': fingerprint }),
    ...(notes !== undefined && typeof notes !== 'string' && { notes }),
    ...(state !== undefined && !verifyState.success && { verify_state: state }),
    ...(stats !== undefined && !chunkUploadStats.success && { chunk_upload_stats: stats }),
  };
  return {
    ...(typeof fingerprint === 'string' && { keyFingerprint: parseFingerprint(fingerprint) }),
    ...(typeof notes === 'string' && { notes }),
    ...(verifyState.success && { verifyState: verifyState.data }),
    ...(chunkUploadStats.success && { chunkUploadStats: statsOf(chunkUploadStats.data) }),
    ...othersOf({ ...others, ...strange }),
  };
}

function statsOf(stats: z.infer<typeof chunkUploadStatsSchema>): ChunkUploadStats {
  const { compressed_size: compressedSize, ...rest } = stats;
  return { compressedSize, ...rest };
}

function encodeStats(stats: ChunkUploadStats): JsonObject {
  const { compressedSize, ...rest } = stats;
  return { compressed_size: compressedSize, ...rest };
}

/** Members of parsed JSON, which are JSON values. */
function othersOf(members: Record<string, unknown>): { others?: JsonObject } {
  return Object.keys(members).length === 0 ? {} : { others: members as JsonObject };
}
