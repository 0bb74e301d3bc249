/** Format: datastore, sections 6.4 and 6.5. The key in a key file: taken out with its password, or put in. */
import { pbkdf2Sync, randomBytes, scryptSync } from 'node:crypto';
import { CryptoError, PbsfsError } from '../errors.js';
import { ivBytes, tagBytes } from '../format/blob.js';
import { scryptMemoryBytes, type Kdf, type KeyFile, type PasswordKdf } from '../format/key-file.js';
import { decryptInto, encrypt } from './blob-cipher.js';
import { EncryptionKey, keyBytes } from './encryption-key.js';

export const passwordBytesMin = 5;

/**
 * The key in `file`. A password is ignored if the key is not wrapped with one. Throws PASSWORD_REQUIRED,
 * WRONG_PASSWORD, or BAD_KEY_FILE if the fingerprint in the file is that of another key.
 */
export function unwrapKeyFile(file: KeyFile, password?: Uint8Array): EncryptionKey {
  const key = new EncryptionKey(file.kdf.type === 'none' ? file.data : unwrap(file, file.kdf, password));
  if (file.fingerprint !== undefined && !file.fingerprint.equals(key.fingerprint)) {
    throw new CryptoError('BAD_KEY_FILE', `the key file names another fingerprint than that of its key, ${key.fingerprintText}`);
  }
  return key;
}

export interface WrapOptions {
  readonly kdf: Kdf;
  /** At least 5 bytes; only and always for a `kdf` other than none. */
  readonly password?: Uint8Array;
  /** 16 bytes; random if not given. */
  readonly iv?: Uint8Array;
  /** RFC 3339. */
  readonly created: string;
  readonly modified: string;
  readonly hint?: string;
}

/** A key file for `key`. Throws PASSWORD_REQUIRED or WRONG_PASSWORD if the password is missing or too short. */
export function wrapKey(key: EncryptionKey, options: WrapOptions): KeyFile {
  const { kdf, password, iv = randomBytes(ivBytes), created, modified, hint } = options;
  const file = { kdf, created, modified, fingerprint: key.fingerprint, hint };
  if (kdf.type === 'none') {
    if (hint !== undefined) throw new CryptoError('BAD_KEY_FILE', 'a key file without password has no password hint');
    return { ...file, data: Buffer.from(key.encKey) };
  }
  const { ciphertext, tag } = encrypt(deriveKey(kdf, checkPassword(password)), iv, key.encKey);
  return { ...file, data: Buffer.concat([iv, tag, ciphertext]) };
}

function unwrap(file: KeyFile, kdf: PasswordKdf, password: Uint8Array | undefined): Buffer {
  const key = Buffer.alloc(keyBytes);
  const iv = file.data.subarray(0, ivBytes);
  const tag = file.data.subarray(ivBytes, ivBytes + tagBytes);
  const derived = deriveKey(kdf, checkPassword(password, file.hint));
  try {
    decryptInto(derived, iv, tag, file.data.subarray(ivBytes + tagBytes), key);
  } catch (cause) {
    if (!(cause instanceof PbsfsError && cause.code === 'BAD_TAG')) throw cause;
    throw new CryptoError('WRONG_PASSWORD', `the password does not fit the key file${hintText(file.hint)}`, { cause });
  }
  return key;
}

function checkPassword(password: Uint8Array | undefined, hint?: string): Uint8Array {
  if (password === undefined) {
    throw new CryptoError('PASSWORD_REQUIRED', `the key file needs a password${hintText(hint)}`);
  }
  if (password.length < passwordBytesMin) {
    throw new CryptoError('WRONG_PASSWORD', `a password of a key file has at least ${passwordBytesMin} bytes${hintText(hint)}`);
  }
  return password;
}

function hintText(hint: string | undefined): string {
  return hint === undefined ? '' : ` (hint: ${JSON.stringify(hint)})`;
}

function deriveKey(kdf: PasswordKdf, password: Uint8Array): Buffer {
  switch (kdf.type) {
    case 'scrypt': {
      const { n, r, p, salt } = kdf;
      return scryptSync(password, salt, keyBytes, { N: n, r, p, maxmem: scryptMemoryBytes(n, r, p) });
    }
    case 'pbkdf2':
      return pbkdf2Sync(password, kdf.salt, kdf.iterations, keyBytes, 'sha256');
  }
}
