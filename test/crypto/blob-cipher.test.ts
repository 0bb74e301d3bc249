import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decryptInto, encrypt } from '../../src/crypto/blob-cipher.js';
import { EncryptionKey } from '../../src/crypto/encryption-key.js';
import { expectedPath } from '../support/fixtures.js';
import { damages, resultOrCode } from '../support/damage.js';
import { Random, noise, seed } from '../support/random.js';
import { decodeStored, finishedSnapshots, fixtureKey, readStored } from '../support/stored-files.js';

const key = Buffer.from(Array.from({ length: 32 }, (_, i) => i));
const iv = Buffer.from('a0a1a2a3a4a5a6a7a8a9aaabacadaeaf', 'hex');

/** Section 13.2, C and D and the empty blob: plain text, tag, ciphertext. */
const vectors: readonly [string, Buffer, string, string][] = [
  ['C', Buffer.from('PBS blob test\n'), '62998f98abe29f15463004f01fd6de26', '7ae1709c7aa1a214e3ea7ac2991e'],
  [
    'D',
    Buffer.from('28b52ffd600000bd000080303132333435363738396162636465660100da43cd25', 'hex'),
    'ca4463241b6d1942b1b069393dad7074',
    '02160c4178cdcdcbc39e9f81dc26bea4b7737441475533cf99770cb719ef654a29',
  ],
  ['empty', Buffer.alloc(0), '022f841c702b66b0bec8111f67de221d', ''],
];

test.each(vectors)('vector %s', (_name, plain, tag, ciphertext) => {
  const encrypted = encrypt(key, iv, plain);
  expect(encrypted.ciphertext.toString('hex')).toBe(ciphertext);
  expect(encrypted.tag.toString('hex')).toBe(tag);
  const target = Buffer.alloc(plain.length, 0xee);
  decryptInto(key, iv, encrypted.tag, encrypted.ciphertext, target);
  expect(target).toEqual(plain);
});

test('what an IV of 12 bytes gives is refused', () => {
  const ciphertext = Buffer.from('b65a2f0d27a76ddd4211e2a07370', 'hex');
  const tag = Buffer.from('8c6f0557bf381f165f1b5fb1f5b00a3e', 'hex');
  const decrypt = () => { decryptInto(key, iv, tag, ciphertext, Buffer.alloc(14)); };
  expect(decrypt).toThrow(expect.objectContaining({ code: 'BAD_TAG' }));
  expect(() => encrypt(key, iv.subarray(0, 12), ciphertext)).toThrow(RangeError);
  expect(() => { decryptInto(key, iv.subarray(0, 12), tag, ciphertext, Buffer.alloc(14)); }).toThrow(RangeError);
});

test('a tag that is cut short is refused', () => {
  const { ciphertext, tag } = encrypt(key, iv, Buffer.from('x'));
  expect(() => { decryptInto(key, iv, tag.subarray(0, 4), ciphertext, Buffer.alloc(1)); }).toThrow(RangeError);
});

test('a target of another length is refused', () => {
  const { ciphertext, tag } = encrypt(key, iv, Buffer.from('xy'));
  for (const length of [1, 3]) {
    expect(() => { decryptInto(key, iv, tag, ciphertext, Buffer.alloc(length)); }).toThrow(RangeError);
  }
});

test('data of any length around the pieces it is worked in comes back, in shared memory too', () => {
  const around = fc.tuple(fc.nat(3), fc.integer({ min: -2, max: 2 })).map(([n, d]) => Math.max(0, n * 65536 + d));
  const lengths = fc.oneof(fc.nat(300), around);
  fc.assert(
    fc.property(lengths, fc.string(), (length, label) => {
      const plain = noise(label, length);
      const { ciphertext, tag } = encrypt(key, noise(`iv ${label}`, 16), plain);
      const source = new Uint8Array(new SharedArrayBuffer(length + 5), 5);
      const memory = new Uint8Array(new SharedArrayBuffer(length + 6)).fill(0xee);
      source.set(ciphertext);
      decryptInto(key, noise(`iv ${label}`, 16), tag, source, memory.subarray(3, 3 + length));
      expect(Buffer.from(memory.subarray(3, 3 + length)).equals(plain)).toBe(true);
      expect([...memory.subarray(0, 3), ...memory.subarray(3 + length)]).toEqual(Array(6).fill(0xee));
    }),
    { numRuns: 60 },
  );
});

/** Section 13.2: the whole file. */
test.each([
  [
    'A',
    '42ab3807be8370a15a1f886650425320626c6f6220746573740a',
    '62899adad1ee6138ae226ba08c1078ae16e3cab34e50a221c83bc5c7223c70d2',
  ],
  [
    'B',
    '31b958426fb6a37f8317601228b52ffd0048bd000080303132333435363738396162636465660100da43cd25',
    '4378611ccb8863e5486da69210f046af72c12483288ad1f979f39d0368878ba0',
  ],
  [
    'C',
    '7b6785be222d4cf0d4b7773aa0a1a2a3a4a5a6a7a8a9aaabacadaeaf62998f98abe29f15463004f01fd6de267ae1709c7aa1a214e3ea7ac2991e',
    'f788352221e777284fc6392839f2620c20e26f5a3ab40d6fb725d54252d2498b',
  ],
  [
    'D',
    'e6591bbf0bbfd80baa9f8cd2a0a1a2a3a4a5a6a7a8a9aaabacadaeafca4463241b6d1942b1b069393dad7074' +
      '02160c4178cdcdcbc39e9f81dc26bea4b7737441475533cf99770cb719ef654a29',
    'e0901ad48ddabcbc9b34cd15c0607b0f759ce9051ef2ab37e54aa64795a96a64',
  ],
])('blob %s decodes', async (name, hex, digest) => {
  const bytes = Buffer.from(hex, 'hex');
  expect(createHash('sha256').update(bytes).digest('hex')).toBe(digest);
  const content = name === 'A' || name === 'C' ? 'PBS blob test\n' : '0123456789abcdef'.repeat(16);
  expect((await decodeStored(bytes, content.length, new EncryptionKey(key))).toString()).toBe(content);
});

describe('blobs of the vault', () => {
  for (const { path, files, unlisted, fingerprint } of finishedSnapshots('vault')) {
    const blobs = [...files, ...unlisted].filter(({ filename }) => filename.endsWith('.blob'));
    test.each(blobs)(`${path}/$filename`, async ({ filename, decoded_size: size, sha256 }) => {
      const encrypted = fingerprint === null ? undefined : fixtureKey(fingerprint);
      const decoded = await decodeStored(readStored('vault', path, filename), size, encrypted);
      expect(decoded.length).toBe(size);
      expect(createHash('sha256').update(decoded).digest('hex')).toBe(sha256);
      if (filename === 'rsa-encrypted.key.blob') return;
      expect(decoded).toEqual(readFileSync(expectedPath('vault', `${path}/${filename.replace(/\.blob$/, '')}`)));
    });
  }
});

describe('damage', () => {
  const plain = noise('damage', 100_000);
  const { ciphertext, tag } = encrypt(key, iv, plain);

  test('in key, IV, tag or data is BAD_TAG and leaves nothing', () => {
    for (const part of [0, 1, 2, 3]) {
      for (const bit of [0, 77, 127]) {
        const parts = [key, iv, tag, ciphertext].map((bytes) => Buffer.from(bytes));
        const [badKey = key, badIv = iv, badTag = tag, badCiphertext = ciphertext] = parts;
        const damaged = parts[part] ?? key;
        damaged[bit >> 3] = (damaged[bit >> 3] ?? 0) ^ (1 << (bit & 7));
        const target = Buffer.alloc(plain.length, 0xee);
        const decrypt = () => { decryptInto(badKey, badIv, badTag, badCiphertext, target); };
        expect(resultOrCode(`${part} ${bit}`, decrypt)).toEqual({ code: 'BAD_TAG' });
        expect(target.equals(Buffer.alloc(plain.length))).toBe(true);
      }
    }
  });

  test(`anywhere in the data is BAD_TAG, seed ${seed}`, () => {
    for (const { what, bytes } of damages(ciphertext, 20, new Random(seed))) {
      if (bytes.equals(ciphertext)) continue;
      const target = Buffer.alloc(bytes.length);
      expect(resultOrCode(what, () => { decryptInto(key, iv, tag, bytes, target); })).toEqual({ code: 'BAD_TAG' });
    }
  });
});
