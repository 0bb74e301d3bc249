import { inspect } from 'node:util';
import { pbkdf2 } from '@noble/hashes/pbkdf2.js';
import { sha256 } from '@noble/hashes/sha2.js';
import { describe, expect, test } from 'vitest';
import { EncryptionKey, deriveIdKey } from '../../src/crypto/encryption-key.js';
import { noise } from '../support/random.js';

const bytes = Buffer.from(Array.from({ length: 32 }, (_, i) => i));

/** Section 13.1. */
test('vector', () => {
  const key = new EncryptionKey(bytes);
  expect(key.encKey).toEqual(bytes);
  expect(key.idKey.toString('hex')).toBe('7c2c013efd07f3b25717a485263343cd4d292a4b65c200bb3b18ea227abe225c');
  expect(key.fingerprintText).toBe(
    '0e:ab:d4:46:0b:6e:b9:ca:34:50:23:de:e2:b7:78:c7:90:e5:4a:16:83:b9:65:9c:0a:57:ae:19:90:90:15:9b',
  );
  expect(key.fingerprint.toString('hex')).toBe(key.fingerprintText.replaceAll(':', ''));
});

/** Section 13.7 a. */
test('id_key of the upstream constant', () => {
  const encKey = Buffer.from('28cdb1a3bef39396c3860e00d448fe7a0efd8244486ab6feb30457681d31597e', 'hex');
  expect(deriveIdKey(encKey).toString('hex')).toBe('758495a21c31047f543f46d694700e02d168568bab37bb0ceece947b591f5100');
});

test('other code derives the same', () => {
  for (let i = 0; i < 20; i++) {
    const encKey = noise(`key ${i}`, 32);
    const key = new EncryptionKey(encKey);
    const idKey = pbkdf2(sha256, encKey, '_id_key', { c: 10, dkLen: 32 });
    expect(key.idKey).toEqual(Buffer.from(idKey));
    const prefix = sha256(Buffer.from('Proxmox Backup Encryption Key Fingerprint'));
    expect(key.fingerprint).toEqual(Buffer.from(sha256(Buffer.concat([prefix, idKey]))));
  }
});

test.each([0, 31, 33, 64])('%i bytes are no key', (length) => {
  expect(() => new EncryptionKey(Buffer.alloc(length))).toThrow(expect.objectContaining({ code: 'BAD_KEY_FILE' }));
});

describe('care', () => {
  test('a key does not change with the bytes it was made of', () => {
    const source = Buffer.from(bytes);
    const key = new EncryptionKey(source);
    source.fill(0);
    expect(key.encKey).toEqual(bytes);
  });

  test('printing a key shows nothing secret', () => {
    const key = new EncryptionKey(bytes);
    const printed = inspect(key, { depth: 9, showHidden: true }) + JSON.stringify(key);
    expect(printed).toContain('0e:ab:d4');
    for (const secret of [key.encKey, key.idKey]) {
      expect(printed.replaceAll(' ', '')).not.toContain(secret.toString('hex', 0, 8));
      expect(printed).not.toContain(secret.toString('hex', 0, 8).replace(/(..)(?=.)/g, '$1 '));
      expect(printed).not.toContain([...secret.subarray(0, 8)].join(','));
    }
  });
});
