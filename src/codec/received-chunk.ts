/**
 * A chunk as a client sent it, checked before it is stored. Synchronous: it runs in worker threads.
 * Format: protocol, section 10.3; datastore, section 3.2.
 */
import { crc32 } from 'node:zlib';
import { chunkDigest } from '../crypto/chunk-digest.js';
import { FormatError } from '../errors.js';
import { chunkBytesMax, decodeBlobHeader, encodeBlobHeader, type BlobHeader } from '../format/blob.js';
import type { Zstd } from '../os/zstd/zstd.js';

export class ReceivedChunkChecker {
  readonly #zstd: Zstd;
  readonly #scratch = Buffer.allocUnsafeSlow(chunkBytesMax);

  constructor(zstd: Zstd) {
    this.#zstd = zstd;
  }

  /**
   * BAD_MAGIC, TRUNCATED; BAD_STRUCTURE or BAD_CHECKSUM unless the content has `length` bytes and this digest, which nobody can tell of an
   * encrypted one. The CRC of `encoded` is made right.
   */
  check(encoded: Buffer, digest: Buffer, length: number): void {
    const header = decodeBlobHeader(encoded);
    const payload = encoded.subarray(header.payloadOffset);
    if (payload.length === 0) throw new FormatError('TRUNCATED', 'the chunk is empty');
    if (!header.encrypted) this.#checkContent(header, payload, digest, length);
    encodeBlobHeader(header.kind, crc32(payload), header.iv && Buffer.from(header.iv), header.tag && Buffer.from(header.tag)).copy(encoded);
  }

  #checkContent({ compressed }: BlobHeader, payload: Buffer, digest: Buffer, length: number): void {
    const content = compressed ? this.#decompressed(payload) : payload;
    if (content.length !== length) throw new FormatError('BAD_STRUCTURE', `the chunk has ${content.length} bytes, not the ${length} that were announced`);
    if (!chunkDigest(content).equals(digest)) throw new FormatError('BAD_CHECKSUM', 'the content of the chunk has another digest than was announced');
  }

  #decompressed(payload: Buffer): Buffer {
    return this.#scratch.subarray(0, this.#zstd.decompress(payload, this.#scratch));
  }
}
