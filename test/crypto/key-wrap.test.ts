import { readFileSync } from 'node:fs';
import { pbkdf2 } from '@noble/hashes/pbkdf2.js';
import { scrypt } from '@noble/hashes/scrypt.js';
import { sha256 } from '@noble/hashes/sha2.js';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decryptInto } from '../../src/crypto/blob-cipher.js';
import { EncryptionKey } from '../../src/crypto/encryption-key.js';
import { unwrapKeyFile, wrapKey } from '../../src/crypto/key-wrap.js';
import { encodeKeyFile, parseKeyFile, type Kdf, type KeyFile } from '../../src/format/key-file.js';
import { keyPath } from '../support/fixtures.js';
import { resultOrCode } from '../support/damage.js';
import { noise } from '../support/random.js';

const key = new EncryptionKey(Buffer.from(Array.from({ length: 32 }, (_, i) => i)));
const salt = Buffer.from(Array.from({ length: 32 }, (_, i) => 0x20 + i));
const iv = Buffer.from('a0a1a2a3a4a5a6a7a8a9aaabacadaeaf', 'hex');
const password = Buffer.from('passphrase');
const created = '2023-11-14T22:13:20+00:00';
const quick: Kdf = { type: 'scrypt', n: 16, r: 8, p: 1, salt };

/** Section 13.5: the derived key, and what is stored. */
const vectors: readonly [Kdf, string, string][] = [
  [
    { type: 'scrypt', n: 65536, r: 8, p: 1, salt },
    'cb228ee2c50dde4988b8a1afec099d012f7f1d94acd506b40f1d76f0027edeed',
    'oKGio6SlpqeoqaqrrK2urxL1OAt0z+QIFckUQ2KqAZstszfd3ggl1//S+mU82HXbODznVnXp9BrFelhElPiWWQ==',
  ],
  [
    { type: 'pbkdf2', iterations: 65535, salt },
    '67c1bcc4761393ec9b82cdf75c1f281766ae60c463db5541df6e0cf1f9dfa935',
    'oKGio6SlpqeoqaqrrK2ur3l2l6Jfzgy9FubZUg5Inw+rnoGr4LkQ0Plx9zgDTCnH3dN8FbnrDd8iPIY8/Eceqg==',
  ],
];

describe('vectors', () => {
  test.each(vectors)('$type', (kdf, derived, data) => {
    const file = wrapKey(key, { kdf, password, iv, created, modified: created });
    expect(file.data.toString('base64')).toBe(data);
    expect(unwrapKeyFile(file, password).fingerprintText).toBe(key.fingerprintText);
    const unwrapped = Buffer.alloc(32);
    decryptInto(Buffer.from(derived, 'hex'), iv, file.data.subarray(16, 32), file.data.subarray(32), unwrapped);
    expect(unwrapped).toEqual(key.encKey);
  });

  test('the key file of 383 bytes', () => {
    const [kdf = quick] = vectors[0] ?? [];
    const text = encodeKeyFile(wrapKey(key, { kdf, password, iv, created, modified: created })).toString();
    expect(text.length).toBe(383);
    expect(text).toBe(
      '{"kdf":{"Scrypt":{"n":65536,"r":8,"p":1,"salt":"ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8="}},' +
        `"created":"${created}","modified":"${created}","data":"${vectors[0]?.[2] ?? ''}",` +
        `"fingerprint":"${key.fingerprintText}"}`,
    );
  });

  test('a plain key of 255 bytes', () => {
    const text = encodeKeyFile(wrapKey(key, { kdf: { type: 'none' }, created, modified: created })).toString();
    expect(text.length).toBe(255);
    expect(unwrapKeyFile(parseKeyFile(text)).encKey).toEqual(key.encKey);
  });
});

test('other code derives the same', () => {
  const derivations: [Kdf, Uint8Array][] = [
    [quick, scrypt(password, salt, { N: 16, r: 8, p: 1, dkLen: 32 })],
    [{ type: 'scrypt', n: 1024, r: 3, p: 5, salt }, scrypt(password, salt, { N: 1024, r: 3, p: 5, dkLen: 32 })],
    [{ type: 'pbkdf2', iterations: 1000, salt }, pbkdf2(sha256, password, salt, { c: 1000, dkLen: 32 })],
  ];
  for (const [kdf, derived] of derivations) {
    const { data } = wrapKey(key, { kdf, password, iv, created, modified: created });
    const unwrapped = Buffer.alloc(32);
    decryptInto(derived, iv, data.subarray(16, 32), data.subarray(32), unwrapped);
    expect(unwrapped).toEqual(key.encKey);
  }
});

describe('key files of the vault', () => {
  test('plain.json needs no password and ignores one', () => {
    const file = parseKeyFile(readFileSync(keyPath('plain.json')));
    const fingerprint = '7e:76:86:18:38:40:0e:db:98:b9:c5:81:fa:17:d0:d7:84:10:59:c2:51:31:81:95:4d:cd:74:ac:33:61:b8:27';
    expect(unwrapKeyFile(file).fingerprintText).toBe(fingerprint);
    expect(unwrapKeyFile(file, Buffer.from('x')).fingerprintText).toBe(fingerprint);
  });

  test('password.json', () => {
    const file = parseKeyFile(readFileSync(keyPath('password.json')));
    expect(unwrapKeyFile(file, Buffer.from('correct horse battery staple')).fingerprint).toEqual(file.fingerprint);
    const wrong = Buffer.from('correct horse battery stapl');
    expect(() => unwrapKeyFile(file, wrong)).toThrow(expect.objectContaining({ code: 'WRONG_PASSWORD' }));
    expect(() => unwrapKeyFile(file)).toThrow(expect.objectContaining({ code: 'PASSWORD_REQUIRED' }));
  });
});

test('any key comes back with its password, each wrapped in another way', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 32, maxLength: 32 }), fc.uint8Array({ minLength: 5 }), (bytes, somePassword) => {
      const some = new EncryptionKey(bytes);
      const options = { kdf: quick, password: somePassword, created, modified: created, hint: 'the usual' };
      const file = parseKeyFile(encodeKeyFile(wrapKey(some, options)));
      expect(unwrapKeyFile(file, somePassword).encKey).toEqual(some.encKey);
      expect(wrapKey(some, options).data).not.toEqual(file.data);
    }),
  );
});

test('as much memory as scrypt may take is enough for it', () => {
  const kdf: Kdf = { type: 'scrypt', n: 2 ** 16, r: 16, p: 3, salt };
  expect(unwrapKeyFile(wrapKey(key, { kdf, password, created, modified: created }), password).encKey).toEqual(key.encKey);
});

describe('refused', () => {
  const file = wrapKey(key, { kdf: quick, password, created, modified: created, hint: 'a word' });
  const code = (value: string, message = '') =>
    expect.objectContaining({ code: value, message: expect.stringContaining(message) as string }) as Error;

  test('no password, with the hint', () => {
    expect(() => unwrapKeyFile(file)).toThrow(code('PASSWORD_REQUIRED', 'hint: "a word"'));
    expect(() => wrapKey(key, { kdf: quick, created, modified: created })).toThrow(code('PASSWORD_REQUIRED'));
  });

  test('another password', () => {
    expect(() => unwrapKeyFile(file, Buffer.from('Passphrase'))).toThrow(code('WRONG_PASSWORD', 'hint: "a word"'));
    expect(() => unwrapKeyFile(file, Buffer.from('passphrase\n'))).toThrow(code('WRONG_PASSWORD'));
  });

  test('a password shorter than 5 bytes', () => {
    expect(() => unwrapKeyFile(file, Buffer.from('pass'))).toThrow(code('WRONG_PASSWORD', 'at least 5'));
    const options = { kdf: quick, password: Buffer.from('pass'), created, modified: created };
    expect(() => wrapKey(key, options)).toThrow(code('WRONG_PASSWORD'));
  });

  test('the fingerprint of another key', () => {
    const other: KeyFile = { ...file, fingerprint: noise('other', 32) };
    expect(() => unwrapKeyFile(other, password)).toThrow(code('BAD_KEY_FILE', 'fingerprint'));
    expect(unwrapKeyFile({ ...file, fingerprint: undefined }, password).encKey).toEqual(key.encKey);
  });

  test('a hint without password', () => {
    const options = { kdf: { type: 'none' } as const, created, modified: created, hint: 'x' };
    expect(() => wrapKey(key, options)).toThrow(code('BAD_KEY_FILE'));
  });

  test('any bit of the wrapped key flipped', () => {
    for (let bit = 0; bit < 512; bit += 3) {
      const data = Buffer.from(file.data);
      data[bit >> 3] = (data[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      expect(resultOrCode(`${bit}`, () => unwrapKeyFile({ ...file, data }, password))).toEqual({ code: 'WRONG_PASSWORD' });
    }
  });
});
