/** A whole small blob in memory: compress, encrypt, CRC. Format: datastore, sections 2.3 and 5.4. */
import { randomBytes } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { encrypt } from '../crypto/blob-cipher.js';
import type { EncryptionKey } from '../crypto/encryption-key.js';
import { encodeBlobHeader, ivBytes } from '../format/blob.js';
import type { Zstd } from '../os/zstd/zstd.js';

/** Without `zstd` it is stored as it is. */
export function encodeBlob(content: Buffer, { zstd, key }: { readonly zstd?: Zstd; readonly key?: EncryptionKey | undefined }): Buffer {
  const frame = zstd?.compress(content);
  const payload = frame ?? content;
  if (key === undefined) return Buffer.concat([encodeBlobHeader(frame === undefined ? 'plain' : 'zstd', crc32(payload)), payload]);
  const iv = randomBytes(ivBytes);
  const { ciphertext, tag } = encrypt(key.encKey, iv, payload);
  const kind = frame === undefined ? 'encrypted' : 'encrypted-zstd';
  return Buffer.concat([encodeBlobHeader(kind, crc32(ciphertext), iv, tag), ciphertext]);
}
