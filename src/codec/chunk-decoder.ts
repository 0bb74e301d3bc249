/**
 * From the file of a chunk to its verified content in place: read, CRC, decrypt, decompress, length, digest. Synchronous: it runs in worker threads.
 * Format: datastore, sections 2.6 and 3.3.
 */
import { closeSync, constants, fstatSync, openSync, readvSync } from 'node:fs';
import { crc32 } from 'node:zlib';
import { decryptInto } from '../crypto/blob-cipher.js';
import { chunkDigest } from '../crypto/chunk-digest.js';
import type { EncryptionKey } from '../crypto/encryption-key.js';
import { codeOf, StoreError } from '../errors.js';
import { blobOverheadBytes, chunkBytesMax, decodeBlobHeader, type BlobHeader } from '../format/blob.js';
import type { Zstd } from '../os/zstd/zstd.js';

export interface ChunkToDecode {
  /** Its file; of one that is in memory what messages call it. */
  readonly path: string;
  /** All of the file, unless it is to be read. */
  readonly encoded?: Uint8Array<ArrayBuffer> | undefined;
  /** Whether whoever asks wants the bytes of the file too. */
  readonly keepsEncoded?: boolean;
  readonly digest: Uint8Array;
  /** Present if and only if the chunk must be an encrypted one. */
  readonly key: EncryptionKey | undefined;
}

interface EncodedParts {
  /** As long as that of a plain chunk. */
  readonly header: Buffer;
  readonly payload: Buffer;
}

const plainHeaderBytes = blobOverheadBytes('plain');
const encryptedHeaderBytes = blobOverheadBytes('encrypted');
const fileBytesMax = encryptedHeaderBytes + chunkBytesMax;

export class ChunkDecoder {
  readonly #zstd: Zstd;
  /** Encoded bytes as read, and what decryption gives when decompression follows. */
  readonly #encoded = Buffer.allocUnsafeSlow(fileBytesMax);
  #decrypted: Buffer | undefined;

  constructor(zstd: Zstd) {
    this.#zstd = zstd;
  }

  /**
   * Fills `target`, whose length is what the index says. Gives the bytes of the file, if they are wanted, until the next call. Throws CHUNK_MISSING, or CHUNK_CORRUPT with the reason as cause, or the system's error.
   * Nothing in `target` may be believed before this returns.
   */
  decode(chunk: ChunkToDecode, target: Buffer): readonly Buffer[] {
    const encoded = chunk.encoded === undefined ? this.#read(chunk, target) : partsOf(chunk.path, chunk.encoded);
    try {
      this.#decodeInto(encoded, chunk, target);
      return [encoded.header, encoded.payload];
    } catch (cause) {
      if (codeOf(cause) === 'CHUNK_CORRUPT') throw cause;
      throw corrupt(chunk, cause instanceof Error ? cause.message : String(cause), cause);
    }
  }

  /** A payload that can only be stored as it is (the file is just header and content) is read in place, where decoding may write over it. */
  #read({ path, keepsEncoded = false }: ChunkToDecode, target: Buffer): EncodedParts {
    const descriptor = openChunk(path);
    try {
      const facts = fstatSync(descriptor);
      if (!facts.isFile()) throw new StoreError('CHUNK_CORRUPT', `${path} is not a file`);
      const { size } = facts;
      checkSize(path, size);
      const isInPlace = size === plainHeaderBytes + target.length && !keepsEncoded;
      const payload = isInPlace ? target : this.#encoded.subarray(plainHeaderBytes);
      const header = this.#encoded.subarray(0, plainHeaderBytes);
      const length = readvSync(descriptor, [header, payload], 0) - plainHeaderBytes;
      if (length < 0) throw emptyOrShort(path, size);
      return { header, payload: payload.subarray(0, length) };
    } finally {
      closeSync(descriptor);
    }
  }

  #decodeInto({ header: start, payload: rest }: EncodedParts, chunk: ChunkToDecode, target: Buffer): void {
    // The longer header of an encrypted chunk continues in the payload.
    const header = decodeBlobHeader(Buffer.concat([start, rest.subarray(0, encryptedHeaderBytes - plainHeaderBytes)]));
    const payload = rest.subarray(header.payloadOffset - plainHeaderBytes);
    if (header.encrypted !== (chunk.key !== undefined)) {
      throw corrupt(chunk, `it is ${header.encrypted ? 'encrypted' : 'not encrypted'}, its archive is the opposite`);
    }
    if (crc32(payload) !== header.crc) throw corrupt(chunk, 'its CRC-32 is wrong');
    const length = this.#unpack(header, payload, chunk.key, target);
    if (length !== target.length) throw corrupt(chunk, `it decodes to ${length} bytes, the index says ${target.length}`);
    if (!chunkDigest(target, chunk.key?.idKey).equals(chunk.digest)) throw corrupt(chunk, 'its content has another digest');
  }

  #unpack(header: BlobHeader, payload: Buffer, key: EncryptionKey | undefined, target: Buffer): number {
    let content = payload;
    if (key !== undefined && header.iv !== undefined && header.tag !== undefined) {
      if (!header.compressed && payload.length !== target.length) return payload.length;
      const clear = header.compressed ? this.#clear().subarray(0, payload.length) : target;
      decryptInto(key.encKey, header.iv, header.tag, payload, clear);
      content = clear;
    }
    // Read in place, because no server keeps a frame that is not shorter than its content; but it is a valid chunk.
    if (header.compressed) return this.#zstd.decompress(content.buffer === target.buffer ? Buffer.from(content) : content, target);
    if (content.length === target.length && content.buffer !== target.buffer) content.copy(target);
    return content.length;
  }

  #clear(): Buffer {
    return (this.#decrypted ??= Buffer.allocUnsafeSlow(fileBytesMax));
  }
}

function openChunk(path: string): number {
  try {
    // Not blocking: what is no file, but a fifo, must not hold the thread.
    return openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (cause) {
    if (codeOf(cause) === 'ENOENT') throw new StoreError('CHUNK_MISSING', `chunk ${path} is missing`, { cause });
    throw cause;
  }
}

function partsOf(path: string, bytes: Uint8Array<ArrayBuffer>): EncodedParts {
  checkSize(path, bytes.length);
  if (bytes.length < plainHeaderBytes) throw emptyOrShort(path, bytes.length);
  const encoded = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  return { header: encoded.subarray(0, plainHeaderBytes), payload: encoded.subarray(plainHeaderBytes) };
}

function checkSize(path: string, size: number): void {
  if (size > fileBytesMax) throw new StoreError('CHUNK_CORRUPT', `${path} has ${size} bytes, more than any chunk`);
}

function emptyOrShort(path: string, size: number): StoreError {
  const empty = 'is empty: a damaged chunk, or one whose content is only in the object store behind this datastore';
  return new StoreError('CHUNK_CORRUPT', size > 0 ? `${path} has only ${size} bytes` : `${path} ${empty}`);
}

function corrupt(chunk: ChunkToDecode, reason: string, cause?: unknown): StoreError {
  return new StoreError('CHUNK_CORRUPT', `chunk ${chunk.path} is damaged: ${reason}`, { cause });
}
