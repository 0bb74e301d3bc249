/**
 * Format: datastore, section 2. The header of a blob file or chunk file (both are the same): magic, CRC and, if
 * encrypted, IV and tag. What follows the header is payload up to the end of the file; nothing here looks into it.
 */
import { FormatError } from '../errors.js';

export type BlobKind = 'plain' | 'zstd' | 'encrypted' | 'encrypted-zstd';

export interface BlobHeader {
  readonly kind: BlobKind;
  readonly compressed: boolean;
  readonly encrypted: boolean;
  /** CRC-32, that of zlib, over the payload. */
  readonly crc: number;
  /** 16 bytes each, views into the given bytes; only if encrypted. */
  readonly iv: Buffer | undefined;
  readonly tag: Buffer | undefined;
  readonly payloadOffset: 12 | 44;
}

export const plainHeaderBytes = 12;
export const encryptedHeaderBytes = 44;
export const ivBytes = 16;
export const tagBytes = 16;
/** Most bytes of a chunk, decoded and encoded. */
export const chunkBytesMax = 16 * 1024 * 1024;
export const encodedChunkBytesMax = chunkBytesMax + encryptedHeaderBytes;
/** Most bytes of a blob, decoded and encoded. */
export const blobBytesMax = 128 * 1024 * 1024;
export const encodedBlobBytesMax = blobBytesMax + encryptedHeaderBytes;

const crcOffset = 8;
const ivOffset = 12;
const tagOffset = 28;

const magicOfKind: Readonly<Record<BlobKind, Buffer>> = {
  plain: Buffer.from('42ab3807be8370a1', 'hex'),
  zstd: Buffer.from('31b958426fb6a37f', 'hex'),
  encrypted: Buffer.from('7b6785be222d4cf0', 'hex'),
  'encrypted-zstd': Buffer.from('e6591bbf0bbfd80b', 'hex'),
};
const kinds: readonly BlobKind[] = ['plain', 'zstd', 'encrypted', 'encrypted-zstd'];

/** Bytes that the header adds to the payload. */
export function blobOverheadBytes(kind: BlobKind): 12 | 44 {
  return isEncrypted(kind) ? encryptedHeaderBytes : plainHeaderBytes;
}

/** Whether the bytes begin as a blob does. */
export function isBlob(bytes: Buffer): boolean {
  return bytes.length >= plainHeaderBytes && kinds.some((kind) => magicOfKind[kind].compare(bytes, 0, crcOffset) === 0);
}

/** The header of an encoded blob. Throws TRUNCATED or BAD_MAGIC. */
export function decodeBlobHeader(bytes: Uint8Array): BlobHeader {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.length < plainHeaderBytes) throw truncated(view.length, plainHeaderBytes);
  const kind = kinds.find((candidate) => magicOfKind[candidate].compare(view, 0, crcOffset) === 0);
  if (kind === undefined) {
    throw new FormatError('BAD_MAGIC', `not a blob: it begins with ${view.toString('hex', 0, crcOffset)}`);
  }
  const payloadOffset = blobOverheadBytes(kind);
  if (view.length < payloadOffset) throw truncated(view.length, payloadOffset);
  const encrypted = isEncrypted(kind);
  return {
    kind,
    compressed: kind === 'zstd' || kind === 'encrypted-zstd',
    encrypted,
    crc: view.readUInt32LE(crcOffset),
    iv: encrypted ? view.subarray(ivOffset, tagOffset) : undefined,
    tag: encrypted ? view.subarray(tagOffset, encryptedHeaderBytes) : undefined,
    payloadOffset,
  };
}

/** The 12 or 44 bytes before a payload whose CRC-32 is `crc`. `iv` and `tag` belong to encrypted kinds only. */
export function encodeBlobHeader(kind: BlobKind, crc: number, iv?: Uint8Array, tag?: Uint8Array): Buffer {
  const header = Buffer.alloc(blobOverheadBytes(kind));
  magicOfKind[kind].copy(header);
  header.writeUInt32LE(crc, crcOffset);
  if (isEncrypted(kind)) {
    if (iv?.length !== ivBytes || tag?.length !== tagBytes) {
      throw new FormatError('BAD_STRUCTURE', `the header of a blob of kind ${kind} needs an IV and a tag of 16 bytes each`);
    }
    header.set(iv, ivOffset);
    header.set(tag, tagOffset);
  } else if (iv !== undefined || tag !== undefined) {
    throw new FormatError('BAD_STRUCTURE', `the header of a blob of kind ${kind} holds no IV and no tag`);
  }
  return header;
}

function isEncrypted(kind: BlobKind): boolean {
  return kind === 'encrypted' || kind === 'encrypted-zstd';
}

function truncated(length: number, needed: number): FormatError {
  return new FormatError('TRUNCATED', `a blob of ${length} bytes is too short: its header alone is ${needed} bytes`);
}
