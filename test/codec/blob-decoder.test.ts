/** Test vectors of the format, and everything that can be wrong with a blob. */
import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { decodeBlob } from '../../src/codec/blob-decoder.js';
import { EncryptionKey } from '../../src/crypto/encryption-key.js';
import { blobBytesMax } from '../../src/format/blob.js';
import { encodeBlob, wrapPayload, zstd } from '../support/chunks.js';
import { noise, text } from '../support/random.js';

const key = new EncryptionKey(Buffer.from(Array.from({ length: 32 }, (_, i) => i)));
const plainText = Buffer.from('PBS blob test\n');
const repeated = Buffer.from('0123456789abcdef'.repeat(16));

/** Format: datastore, section 13.2. */
const vectors: [name: string, hex: string, content: Buffer, sha256: string | undefined][] = [
  ['plain', '42ab3807be8370a15a1f886650425320626c6f6220746573740a', plainText, '62899adad1ee6138ae226ba08c1078ae16e3cab34e50a221c83bc5c7223c70d2'],
  [
    'zstd',
    '31b958426fb6a37f8317601228b52ffd0048bd000080303132333435363738396162636465660100da43cd25',
    repeated,
    '4378611ccb8863e5486da69210f046af72c12483288ad1f979f39d0368878ba0',
  ],
  [
    'encrypted',
    '7b6785be222d4cf0d4b7773aa0a1a2a3a4a5a6a7a8a9aaabacadaeaf62998f98abe29f15463004f01fd6de267ae1709c7aa1a214e3ea7ac2991e',
    plainText,
    'f788352221e777284fc6392839f2620c20e26f5a3ab40d6fb725d54252d2498b',
  ],
  [
    'encrypted and compressed',
    'e6591bbf0bbfd80baa9f8cd2a0a1a2a3a4a5a6a7a8a9aaabacadaeafca4463241b6d1942b1b069393dad707402160c4178cdcdcbc39e9f81dc26bea4b7737441475533cf99770cb719ef654a29',
    repeated,
    'e0901ad48ddabcbc9b34cd15c0607b0f759ce9051ef2ab37e54aa64795a96a64',
  ],
  ['empty', '42ab3807be8370a100000000', Buffer.alloc(0), undefined],
  ['empty and encrypted', '7b6785be222d4cf000000000a0a1a2a3a4a5a6a7a8a9aaabacadaeaf022f841c702b66b0bec8111f67de221d', Buffer.alloc(0), undefined],
];

describe.each(vectors)('%s', (_, hex, content, sha256) => {
  const file = Buffer.from(hex, 'hex');

  test('decodes as the format says', () => {
    if (sha256 !== undefined) expect(createHash('sha256').update(file).digest('hex')).toBe(sha256);
    expect(decodeBlob(file, zstd, key).equals(content)).toBe(true);
  });

  test('cut or with a bit flipped it is refused', () => {
    for (let length = 0; length < file.length; length++) {
      expect(() => decodeBlob(file.subarray(0, length), zstd, key), `cut to ${length}`).toThrow(
        expect.objectContaining({ code: expect.stringMatching(/^(TRUNCATED|BAD_)/) as string }),
      );
    }
    for (let bit = 0; bit < file.length * 8; bit++) {
      const flipped = Buffer.from(file);
      flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      expect(() => decodeBlob(flipped, zstd, key), `bit ${bit}`).toThrow(expect.objectContaining({ code: expect.stringMatching(/^BAD_/) as string }));
    }
  });
});

test('an encrypted blob needs its key', () => {
  const file = encodeBlob(plainText, { key });
  expect(() => decodeBlob(file, zstd, undefined)).toThrow(expect.objectContaining({ code: 'KEY_REQUIRED' }));
  expect(() => decodeBlob(file, zstd, new EncryptionKey(Buffer.alloc(32)))).toThrow(expect.objectContaining({ code: 'BAD_TAG' }));
  expect(decodeBlob(file, zstd, key).equals(plainText)).toBe(true);
});

test('a blob that decodes to more than 16 MiB is refused, unless more is asked for', () => {
  const most = text('most', 1 << 24);
  expect(decodeBlob(encodeBlob(most), zstd, undefined).equals(most)).toBe(true);
  expect(() => decodeBlob(encodeBlob(Buffer.alloc((1 << 24) + 1)), zstd, undefined)).toThrow(expect.objectContaining({ code: 'BAD_STRUCTURE' }));
  const raw = wrapPayload(noise('raw', (1 << 24) + 1), { compressed: false });
  expect(() => decodeBlob(raw, zstd, undefined)).toThrow(expect.objectContaining({ code: 'LIMIT_EXCEEDED' }));
  for (const content of [noise('raw', 20_000_000), text('large', 20_000_000), Buffer.alloc(blobBytesMax)]) {
    expect(decodeBlob(encodeBlob(content), zstd, undefined, blobBytesMax).equals(content)).toBe(true);
  }
  expect(() => decodeBlob(encodeBlob(Buffer.alloc(blobBytesMax + 1)), zstd, undefined, blobBytesMax)).toThrow(expect.objectContaining({ code: 'BAD_STRUCTURE' }));
});
