import { sha256 } from '@noble/hashes/sha2.js';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { chunkDigest } from '../../src/crypto/chunk-digest.js';
import { EncryptionKey } from '../../src/crypto/encryption-key.js';
import { chunkPath } from '../../src/format/chunk-path.js';
import { parseDynamicIndex } from '../../src/format/dynamic-index.js';
import { parseFixedIndex } from '../../src/format/fixed-index.js';
import {
  decodeStored,
  expectedStore,
  finishedSnapshots,
  fixtureKey,
  fixtureStores,
  readStored,
} from '../support/stored-files.js';

const { idKey } = new EncryptionKey(Buffer.from(Array.from({ length: 32 }, (_, i) => i)));
const mebibyte = 1024 * 1024;

/** Section 13.1. */
describe('vectors', () => {
  test.each<[string, Buffer, string, string]>([
    [
      'P',
      Buffer.from('PBS blob test\n'),
      '4c7aa8dda4c2ffd6a21c5bfd0ccc8d3cfe353346b4f738f1d48850dbdcbc2e6b',
      'bb1c65754c0d13b20bcfdc3e826bd44ca7b6ce2e707d2cfc9ce65b679c8aab7c',
    ],
    [
      'Q',
      Buffer.from('0123456789abcdef'.repeat(16)),
      '2f8ab27c794db6afcc4f795f819f1d1c0d90fe357d0584cb0c38710838013aa5',
      '8fdd66e6d18081673f9d3ca2b636bee4bd640971691b8c6bda8bab35e53898c6',
    ],
    [
      'the zero chunk',
      Buffer.alloc(4 * mebibyte),
      'bb9f8df61474d25e71fa00722318cd387396ca1736605e1248821cc0de3d3af8',
      '348571e12bbbedb529def1f1394316e338a01945d871df9ef792617ceb13d636',
    ],
    [
      'half a MiB of 5a',
      Buffer.alloc(mebibyte / 2, 0x5a),
      '0d57ce7e6f299b77f1aa75b8b0198aaaa910b6fd2ea09bfc4a5fcc4d2023f5d2',
      'be8619edfe7e6b97e18adf2e2dc183163029a6c357b3c31cbb271785a62b5fee',
    ],
  ])('%s', (_name, data, plain, keyed) => {
    expect(chunkDigest(data).toString('hex')).toBe(plain);
    expect(chunkDigest(data, idKey).toString('hex')).toBe(keyed);
  });
});

test('other code computes the same, from shared memory too', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 5000 }), (data) => {
      const shared = new Uint8Array(new SharedArrayBuffer(data.length + 7), 7);
      shared.set(data);
      expect(chunkDigest(shared)).toEqual(Buffer.from(sha256(data)));
      expect(chunkDigest(shared, idKey)).toEqual(Buffer.from(sha256(Buffer.concat([data, idKey]))));
    }),
  );
});

describe.each(fixtureStores)('chunks of %s', (store) => {
  test('all that an index names decode to the length and digest it says', async () => {
    const seen = new Set<string>();
    for (const { path, files, fingerprint } of finishedSnapshots(store)) {
      for (const { filename, kind, 'crypt-mode': cryptMode } of files) {
        if (kind === 'blob') continue;
        const bytes = readStored(store, path, filename);
        const index = kind === 'fixed' ? parseFixedIndex(bytes) : parseDynamicIndex(bytes);
        const key = cryptMode === 'encrypt' ? fixtureKey(fingerprint ?? '') : undefined;
        for (let i = 0; i < index.count; i++) {
          const digest = index.digestAt(i);
          if (seen.has(digest.toString('hex'))) continue;
          seen.add(digest.toString('hex'));
          const length = index.endOf(i) - index.startOf(i);
          const data = await decodeStored(readStored(store, chunkPath(digest)), length, key);
          expect(data.length).toBe(length);
          expect(chunkDigest(data, key?.idKey), `chunk ${i} of ${path}/${filename}`).toEqual(digest);
        }
      }
    }
    const { count, unreferenced } = expectedStore(store).chunks;
    expect(seen.size).toBe(count - unreferenced.length);
  });
});
