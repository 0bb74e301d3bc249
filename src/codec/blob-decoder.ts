/** A whole small blob in memory: CRC, decrypt, decompress. Format: datastore, section 2. */
import { crc32 } from 'node:zlib';
import { decryptInto } from '../crypto/blob-cipher.js';
import type { EncryptionKey } from '../crypto/encryption-key.js';
import { CryptoError, FormatError } from '../errors.js';
import { chunkBytesMax, decodeBlobHeader, type BlobHeader } from '../format/blob.js';
import { decompressAtMost, type Zstd } from '../os/zstd/zstd.js';

/** The content, at most `bytesMax`. FormatError for damage, or more; KEY_REQUIRED or BAD_TAG if it is encrypted. */
export function decodeBlob(bytes: Buffer, zstd: Zstd, key: EncryptionKey | undefined, bytesMax = chunkBytesMax): Buffer {
  const header = checkBlob(bytes);
  let payload = bytes.subarray(header.payloadOffset);
  if (header.iv !== undefined && header.tag !== undefined) {
    if (key === undefined) throw new CryptoError('KEY_REQUIRED', 'the blob is encrypted: a key file is needed (--keyfile)');
    const clear = Buffer.alloc(payload.length);
    decryptInto(key.encKey, header.iv, header.tag, payload, clear);
    payload = clear;
  }
  if (header.compressed) return decompressAtMost(zstd, payload, bytesMax);
  if (payload.length > bytesMax) throw new FormatError('LIMIT_EXCEEDED', `a blob of ${payload.length} bytes is larger than the ${bytesMax} that are decoded here`);
  return payload;
}

/** The header of a blob whose CRC is right: all that can be told without its key. BAD_MAGIC, TRUNCATED, BAD_CRC. */
export function checkBlob(bytes: Buffer): BlobHeader {
  const header = decodeBlobHeader(bytes);
  if (crc32(bytes.subarray(header.payloadOffset)) !== header.crc) throw new FormatError('BAD_CRC', 'the CRC-32 of the blob is wrong: it is damaged');
  return header;
}
