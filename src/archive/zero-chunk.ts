/** Recognizes chunks of zeros by their digest, so that they are neither read nor decoded. Format: datastore, section 13.1. */
import { chunkDigest } from '../crypto/chunk-digest.js';
import type { EncryptionKey } from '../crypto/encryption-key.js';
import { chunkBytesMax } from '../format/blob.js';

/** The one block that all zero ranges are views of. Its pages are never written, so that they take no memory. */
export const zeros = Buffer.alloc(chunkBytesMax);

/** By length; the unkeyed digest of 4 MiB, which almost every image needs, is known without hashing. */
const plainDigests = new Map<number, Buffer>([
  [1 << 22, Buffer.from('bb9f8df61474d25e71fa00722318cd387396ca1736605e1248821cc0de3d3af8', 'hex')],
]);
const keyedDigests = new WeakMap<EncryptionKey, Map<number, Buffer>>();

/** Digest of `length` zeros: one millisecond of hashing for each MiB at the first time. */
export function zeroDigest(length: number, key: EncryptionKey | undefined): Buffer {
  const known = digestsOf(key);
  let digest = known.get(length);
  if (digest === undefined) {
    digest = chunkDigest(zeros.subarray(0, length), key?.idKey);
    known.set(length, digest);
  }
  return digest;
}

function digestsOf(key: EncryptionKey | undefined): Map<number, Buffer> {
  if (key === undefined) return plainDigests;
  let digests = keyedDigests.get(key);
  if (digests === undefined) {
    digests = new Map();
    keyedDigests.set(key, digests);
  }
  return digests;
}
