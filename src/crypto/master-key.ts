/**
 * Format: datastore, section 6.6. A backup may hold its own key, encrypted with an RSA master key (PKCS#1 v1.5), as
 * `rsa-encrypted.key.blob`. The plain text is the JSON of a key file.
 */
import { constants, createPrivateKey, createPublicKey, generateKeyPair, privateDecrypt, publicEncrypt, type KeyObject } from 'node:crypto';
import { promisify } from 'node:util';
import { CryptoError, codeOf, messageOf } from '../errors.js';
import { passwordBytesMin } from './key-wrap.js';

const { RSA_NO_PADDING, RSA_PKCS1_PADDING } = constants;
/** 00 02, at least 8 bytes of padding, 00. */
const paddingBytesMin = 11;
const modulusBitsMax = 16384;
const newModulusBits = 4096;
/** A key file without password, which is what a master key encrypts. Format: datastore, section 13.6. */
const plainKeyFileBytes = 255;

export interface MasterKey {
  readonly publicPem: string;
  /** PKCS#8, encrypted with the password. */
  readonly privatePem: string;
}

/** Takes seconds, off the main thread. `password`: at least 5 bytes, else WRONG_PASSWORD. */
export async function createMasterKey(password: Buffer): Promise<MasterKey> {
  if (password.length < passwordBytesMin) throw new CryptoError('WRONG_PASSWORD', `a password of a master key has at least ${passwordBytesMin} bytes`);
  const { publicKey, privateKey } = await promisify(generateKeyPair)('rsa', { modulusLength: newModulusBits });
  return {
    publicPem: publicKey.export({ type: 'spki', format: 'pem' }).toString(),
    privatePem: privateKey.export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: password }).toString(),
  };
}

/** The PEM of a public master key as it is stored. BAD_KEY_FILE if it is none, a private one, or too small for a key file. */
export function readMasterPublicKey(pem: Buffer): string {
  if (pem.includes('PRIVATE KEY-----')) throw new CryptoError('BAD_KEY_FILE', 'this is a private master key, which stays where it is safe; give the public one');
  const key = rsaKey(() => createPublicKey(pem));
  checkSize(key, plainKeyFileBytes);
  return key.export({ type: 'spki', format: 'pem' }).toString();
}

/** As many bytes as the modulus has. Throws BAD_KEY_FILE if `publicPem` is no RSA key or too small for `plain`. */
export function encryptWithMasterKey(publicPem: string | Buffer, plain: Uint8Array): Buffer {
  const key = rsaKey(() => createPublicKey(publicPem));
  checkSize(key, plain.length);
  return publicEncrypt({ key, padding: RSA_PKCS1_PADDING }, plain);
}

/**
 * What encryptWithMasterKey() was given. Throws PASSWORD_REQUIRED or WRONG_PASSWORD for the PEM's own password,
 * BAD_KEY_FILE if `privatePem` is no RSA key, WRONG_KEY if it is not the one that `ciphertext` was made for.
 */
export function decryptWithMasterKey(privatePem: string | Buffer, password: Buffer | undefined, ciphertext: Uint8Array): Buffer {
  const key = rsaKey(() => createPrivateKey({ key: privatePem, passphrase: password ?? '' }), password);
  if (ciphertext.length !== modulusBytes(key)) throw wrongKey();
  // Node refuses PKCS#1 v1.5 here because of attacks that need an answer for each of many forged messages.
  let padded: Buffer;
  try {
    padded = privateDecrypt({ key, padding: RSA_NO_PADDING }, ciphertext);
  } catch (cause) {
    throw wrongKey(cause);
  }
  const end = padded.indexOf(0, 2);
  if (padded[0] !== 0 || padded[1] !== 2 || end < paddingBytesMin - 1) throw wrongKey();
  return padded.subarray(end + 1);
}

function checkSize(key: KeyObject, plainBytes: number): void {
  if (plainBytes <= modulusBytes(key) - paddingBytesMin) return;
  throw new CryptoError('BAD_KEY_FILE', `a master key of ${modulusBytes(key) * 8} bits is too small for ${plainBytes} bytes`);
}

function rsaKey(load: () => KeyObject, password?: Buffer): KeyObject {
  let key: KeyObject;
  try {
    key = load();
  } catch (cause) {
    throw loadError(cause, password);
  }
  if (key.asymmetricKeyType !== 'rsa' || modulusBytes(key) * 8 > modulusBitsMax) {
    throw new CryptoError('BAD_KEY_FILE', `the master key is not an RSA key of at most ${modulusBitsMax} bits`);
  }
  return key;
}

function modulusBytes(key: KeyObject): number {
  return Math.ceil((key.asymmetricKeyDetails?.modulusLength ?? 0) / 8);
}

function loadError(cause: unknown, password: Buffer | undefined): CryptoError {
  if (codeOf(cause) !== 'ERR_OSSL_BAD_DECRYPT') {
    return new CryptoError('BAD_KEY_FILE', `the master key can't be read: ${messageOf(cause)}`, { cause });
  }
  return password === undefined
    ? new CryptoError('PASSWORD_REQUIRED', 'the master key needs a password', { cause })
    : new CryptoError('WRONG_PASSWORD', 'the password does not fit the master key', { cause });
}

function wrongKey(cause?: unknown): CryptoError {
  return new CryptoError('WRONG_KEY', 'the data was not encrypted for this master key', { cause });
}
