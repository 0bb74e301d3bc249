/** Format: datastore, section 5.3. Fingerprints of keys as text: 32 bytes in hex, joined by colons. */
import { FormatError } from '../errors.js';

const fingerprintBytes = 32;
const shortBytes = 8;

/** `0e:ab:...`, 95 characters. */
export function formatFingerprint(fingerprint: Uint8Array): string {
  if (fingerprint.length !== fingerprintBytes) {
    throw new FormatError('BAD_STRUCTURE', `a fingerprint has ${fingerprintBytes} bytes, not ${fingerprint.length}`);
  }
  return Array.from(fingerprint, hexPair).join(':');
}

/** The first 8 bytes, for tables: `0e:ab:d4:46:0b:6e:b9:ca`. */
export function formatShortFingerprint(fingerprint: Uint8Array): string {
  return Array.from(fingerprint.subarray(0, shortBytes), hexPair).join(':');
}

/** The 32 bytes; colons may be anywhere or missing, digits in either case. Throws BAD_STRUCTURE. */
export function parseFingerprint(text: string): Buffer {
  const hex = text.replaceAll(':', '');
  if (!/^[0-9A-Fa-f]{64}$/.test(hex)) {
    throw new FormatError('BAD_STRUCTURE', 'a fingerprint consists of 32 bytes in hex, joined by colons');
  }
  return Buffer.from(hex, 'hex');
}

function hexPair(byte: number): string {
  return byte.toString(16).padStart(2, '0');
}
