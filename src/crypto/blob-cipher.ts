/** Format: datastore, section 2.4. AES-256-GCM as blobs use it: all 16 bytes of the IV are the IV, no associated data. */
import { createCipheriv, createDecipheriv } from 'node:crypto';
import { CryptoError } from '../errors.js';
import { ivBytes, tagBytes } from '../format/blob.js';

const algorithm = 'aes-256-gcm';
/** Each piece of output is a buffer of its own until it is copied; small ones stay in the processor's cache. */
const pieceBytes = 64 * 1024;

/**
 * Decrypts into `target`, which has the ciphertext's length and does not overlap it; either may be shared memory.
 * Throws BAD_TAG and leaves zeros if key, IV, tag and ciphertext do not belong together.
 */
export function decryptInto(
  encKey: Uint8Array,
  iv: Uint8Array,
  tag: Uint8Array,
  ciphertext: Uint8Array,
  target: Uint8Array,
): void {
  if (target.length !== ciphertext.length) {
    throw new RangeError(`the target has ${target.length} bytes, the ciphertext ${ciphertext.length}`);
  }
  checkLengths(iv, tag);
  const decipher = createDecipheriv(algorithm, encKey, iv, { authTagLength: tagBytes });
  decipher.setAuthTag(tag);
  for (let offset = 0; offset < ciphertext.length; offset += pieceBytes) {
    target.set(decipher.update(ciphertext.subarray(offset, offset + pieceBytes)), offset);
  }
  try {
    decipher.final();
  } catch (cause) {
    target.fill(0);
    throw new CryptoError('BAD_TAG', 'the data does not decrypt: it is damaged or was encrypted with another key', { cause });
  }
}

/** `iv`: 16 random bytes that were never used with this key. */
export function encrypt(encKey: Uint8Array, iv: Uint8Array, plaintext: Uint8Array): { ciphertext: Buffer; tag: Buffer } {
  checkLengths(iv);
  const cipher = createCipheriv(algorithm, encKey, iv, { authTagLength: tagBytes });
  const ciphertext = cipher.update(plaintext);
  cipher.final();
  return { ciphertext, tag: cipher.getAuthTag() };
}

/**
 * Encrypts into `target`, which has the plaintext's length and is the same memory or does not overlap it; gives the tag. `iv` as for encrypt(). Without
 * a buffer of the whole length for each call.
 */
export function encryptInto(encKey: Uint8Array, iv: Uint8Array, plaintext: Uint8Array, target: Uint8Array): Buffer {
  if (target.length !== plaintext.length) {
    throw new RangeError(`the target has ${target.length} bytes, the plaintext ${plaintext.length}`);
  }
  checkLengths(iv);
  const cipher = createCipheriv(algorithm, encKey, iv, { authTagLength: tagBytes });
  for (let offset = 0; offset < plaintext.length; offset += pieceBytes) {
    target.set(cipher.update(plaintext.subarray(offset, offset + pieceBytes)), offset);
  }
  cipher.final();
  return cipher.getAuthTag();
}

function checkLengths(iv: Uint8Array, tag?: Uint8Array): void {
  if (iv.length !== ivBytes || (tag !== undefined && tag.length !== tagBytes)) {
    throw new RangeError('an IV and a tag have 16 bytes each');
  }
}
