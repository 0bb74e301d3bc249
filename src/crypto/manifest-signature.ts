/** Format: datastore, section 5.3. The signature of a manifest: HMAC-SHA256 with the key's id_key over its canonical form. */
import { createHmac } from 'node:crypto';
import { CryptoError, messageOf } from '../errors.js';
import { formatFingerprint } from '../format/fingerprint.js';
import { canonicalManifest, type Manifest } from '../format/manifest.js';
import type { EncryptionKey } from './encryption-key.js';

/** 64 hex digits. */
export function signManifest(manifest: Manifest, key: EncryptionKey): string {
  return createHmac('sha256', key.idKey).update(canonicalManifest(manifest)).digest('hex');
}

/**
 * Throws WRONG_KEY if another key has signed the manifest, BAD_SIGNATURE if it was changed after that. A manifest
 * without signature is 'unsigned': whether that is enough is for the caller to say.
 */
export function verifyManifestSignature(manifest: Manifest, key: EncryptionKey): 'signed' | 'unsigned' {
  if (manifest.signature === undefined) return 'unsigned';
  const { keyFingerprint } = manifest.unprotected;
  if (keyFingerprint !== undefined && !keyFingerprint.equals(key.fingerprint)) {
    const signer = formatFingerprint(keyFingerprint);
    throw new CryptoError('WRONG_KEY', `the manifest is signed with the key ${signer}, not with ${key.fingerprintText}`);
  }
  if (manifest.signature !== signManifest(manifest, key)) {
    throw new CryptoError('BAD_SIGNATURE', `the manifest is not what was signed with the key ${key.fingerprintText}`);
  }
  return 'signed';
}

/**
 * Why chunks of a snapshot may not stand in one that is signed with `key`; undefined if they may. Digests depend on the key, and what is not signed
 * may list any: its manifest is to be signed with that key and to name it. Format: datastore, section 10.2.
 */
export function reuseFault(manifest: Manifest, key: EncryptionKey): string | undefined {
  try {
    if (verifyManifestSignature(manifest, key) === 'unsigned') return 'its manifest is not signed';
  } catch (error) {
    return messageOf(error);
  }
  return manifest.unprotected.keyFingerprint === undefined ? 'its manifest does not say with which key it is signed' : undefined;
}
