/**
 * From the content of a chunk to the bytes of its file: compress, encrypt, CRC. Synchronous: it runs in worker threads.
 * Format: datastore, section 2.3.
 */
import { randomBytes } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { encryptInto } from '../crypto/blob-cipher.js';
import type { EncryptionKey } from '../crypto/encryption-key.js';
import { chunkBytesMax, encodeBlobHeader, encryptedHeaderBytes, ivBytes, plainHeaderBytes } from '../format/blob.js';
import type { Zstd } from '../os/zstd/zstd.js';

/** Valid until the next chunk is encoded, and no longer than the content lies where it is. */
export interface EncodedChunk {
  readonly header: Buffer;
  readonly payload: Buffer;
}

/** Bytes. */
export function longestChunkFile(contentBytes: number): number {
  return encryptedHeaderBytes + contentBytes;
}

export class ChunkEncoder {
  readonly #zstd: Zstd;
  readonly #key: EncryptionKey | undefined;
  /** Buffers of this size for each chunk would cost more than the encryption (docs/performance.md). */
  readonly #scratch = Buffer.allocUnsafeSlow(chunkBytesMax);

  constructor(zstd: Zstd, key: EncryptionKey | undefined) {
    this.#zstd = zstd;
    this.#key = key;
  }

  encode(content: Buffer): EncodedChunk {
    return this.#encode(content, this.#scratch);
  }

  /** Gives the chunk file, which lies at the beginning of `room`: that has to have `longestChunkFile(content.length)` bytes. */
  encodeInto(room: Uint8Array, content: Buffer): Uint8Array {
    const headerBytes = this.#key === undefined ? plainHeaderBytes : encryptedHeaderBytes;
    const target = Buffer.from(room.buffer, room.byteOffset + headerBytes, room.byteLength - headerBytes);
    const { header, payload } = this.#encode(content, target);
    if (payload.buffer !== target.buffer) target.set(payload);
    room.set(header);
    return room.subarray(0, headerBytes + payload.length);
  }

  /** `room`: for what does not lie anywhere yet. */
  #encode(content: Buffer, room: Buffer): EncodedChunk {
    const frame = this.#zstd.compress(content, room);
    const plain = frame ?? content;
    if (this.#key === undefined) {
      return { header: encodeBlobHeader(frame === undefined ? 'plain' : 'zstd', crc32(plain)), payload: plain };
    }
    const iv = randomBytes(ivBytes);
    const payload = room.subarray(0, plain.length);
    const tag = encryptInto(this.#key.encKey, iv, plain, payload);
    return { header: encodeBlobHeader(frame === undefined ? 'encrypted' : 'encrypted-zstd', crc32(payload), iv, tag), payload };
  }
}
