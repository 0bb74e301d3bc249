/**
 * Format: datastore, sections 6.1 and 6.2. One 32-byte key and what is derived from it: the key of digests and
 * signatures (id_key) and the fingerprint that manifests name it by.
 */
import { createHash, pbkdf2Sync } from 'node:crypto';
import { CryptoError } from '../errors.js';
import { formatFingerprint } from '../format/fingerprint.js';

export const keyBytes = 32;

/** SHA-256 of `Proxmox Backup Encryption Key Fingerprint`. */
const fingerprintPrefix = Buffer.from('6ed0ef77471fff4d55c7a8fe4a9db62161407f134c725ddf30992d25ec45ed26', 'hex');
const idKeyIterations = 10;

/** The secret parts are private fields, so that neither console.log nor JSON.stringify shows them. */
export class EncryptionKey {
  readonly fingerprint: Buffer;
  readonly fingerprintText: string;
  readonly #encKey: Buffer;
  readonly #idKey: Buffer;

  /** `bytes`: the 32 bytes of the key, which are copied. Throws BAD_KEY_FILE for any other number. */
  constructor(bytes: Uint8Array) {
    if (bytes.length !== keyBytes) {
      throw new CryptoError('BAD_KEY_FILE', `an encryption key has ${keyBytes} bytes, not ${bytes.length}`);
    }
    this.#encKey = Buffer.from(bytes);
    this.#idKey = deriveIdKey(this.#encKey);
    this.fingerprint = createHash('sha256').update(fingerprintPrefix).update(this.#idKey).digest();
    this.fingerprintText = formatFingerprint(this.fingerprint);
  }

  /** 32 bytes: the key of AES-256-GCM. */
  get encKey(): Buffer {
    return this.#encKey;
  }

  /** 32 bytes: the key of chunk digests and of manifest signatures. */
  get idKey(): Buffer {
    return this.#idKey;
  }
}

export function deriveIdKey(encKey: Uint8Array): Buffer {
  return pbkdf2Sync(encKey, '_id_key', idKeyIterations, keyBytes, 'sha256');
}
