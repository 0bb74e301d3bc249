import { crc32 } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { blobOverheadBytes, decodeBlobHeader, encodeBlobHeader, type BlobKind } from '../../src/format/blob.js';
import { damages, resultOrCode } from '../support/damage.js';
import { Random, seed } from '../support/random.js';
import { expectedStore, finishedSnapshots, fixtureStores, readStored, storedPaths } from '../support/stored-files.js';

const kinds: readonly BlobKind[] = ['plain', 'zstd', 'encrypted', 'encrypted-zstd'];
const iv = Buffer.from('a0a1a2a3a4a5a6a7a8a9aaabacadaeaf', 'hex');

/** Section 13.2: kind, header, payload. */
const vectors: readonly [BlobKind, string, string][] = [
  ['plain', '42ab3807be8370a15a1f8866', '50425320626c6f6220746573740a'],
  ['zstd', '31b958426fb6a37f83176012', '28b52ffd0048bd000080303132333435363738396162636465660100da43cd25'],
  [
    'encrypted',
    '7b6785be222d4cf0d4b7773aa0a1a2a3a4a5a6a7a8a9aaabacadaeaf62998f98abe29f15463004f01fd6de26',
    '7ae1709c7aa1a214e3ea7ac2991e',
  ],
  [
    'encrypted-zstd',
    'e6591bbf0bbfd80baa9f8cd2a0a1a2a3a4a5a6a7a8a9aaabacadaeafca4463241b6d1942b1b069393dad7074',
    '02160c4178cdcdcbc39e9f81dc26bea4b7737441475533cf99770cb719ef654a29',
  ],
  ['plain', '42ab3807be8370a100000000', ''],
  ['encrypted', '7b6785be222d4cf000000000a0a1a2a3a4a5a6a7a8a9aaabacadaeaf022f841c702b66b0bec8111f67de221d', ''],
];

describe('vectors', () => {
  test.each(vectors)('%s %s', (kind, headerHex, payloadHex) => {
    const header = decodeBlobHeader(Buffer.from(headerHex + payloadHex, 'hex'));
    expect(header.kind).toBe(kind);
    expect(header.payloadOffset).toBe(headerHex.length / 2);
    expect(header.compressed).toBe(kind.endsWith('zstd'));
    expect(header.encrypted).toBe(kind.startsWith('encrypted'));
    expect(header.iv).toEqual(header.encrypted ? iv : undefined);
    expect(header.crc).toBe(crc32(Buffer.from(payloadHex, 'hex')));
    expect(encodeBlobHeader(kind, header.crc, header.iv, header.tag).toString('hex')).toBe(headerHex);
  });
});

describe.each(fixtureStores)('files of %s', (store) => {
  test('every chunk has the right CRC, and as many are of each kind as expected', () => {
    const counts: Record<string, number> = {};
    for (const path of storedPaths(store, /^\.chunks\/.*[0-9a-f]{64}$/)) {
      const bytes = readStored(store, path);
      const header = decodeBlobHeader(bytes);
      expect(header.crc, path).toBe(crc32(bytes.subarray(header.payloadOffset)));
      counts[header.kind] = (counts[header.kind] ?? 0) + 1;
    }
    expect(counts).toEqual(expectedStore(store).chunks.encodings);
  });

  test('every blob has the right CRC and the expected kind', () => {
    for (const { path, files, unlisted, manifest } of finishedSnapshots(store)) {
      const blobs = [...files, ...unlisted].filter(({ filename }) => filename.endsWith('.blob'));
      for (const { filename, encoding, size } of [...blobs, { filename: 'index.json.blob', ...manifest }]) {
        const bytes = readStored(store, path, filename);
        const header = decodeBlobHeader(bytes);
        expect(bytes.length).toBe(size);
        expect(header.kind).toBe(encoding);
        expect(header.crc).toBe(crc32(bytes.subarray(header.payloadOffset)));
        const { kind, crc, iv: headerIv, tag, payloadOffset } = header;
        expect(encodeBlobHeader(kind, crc, headerIv, tag)).toEqual(bytes.subarray(0, payloadOffset));
      }
    }
  });
});

test('a header comes back from what it was encoded to', () => {
  const crcs = fc.nat(0xffffffff);
  const bytes16 = fc.uint8Array({ minLength: 16, maxLength: 16 });
  fc.assert(
    fc.property(fc.constantFrom(...kinds), crcs, bytes16, bytes16, fc.uint8Array(), (kind, crc, iv1, tag1, data) => {
      const secrets = kind.startsWith('encrypted') ? ([iv1, tag1] as const) : ([] as const);
      const encoded = Buffer.concat([encodeBlobHeader(kind, crc, ...secrets), data]);
      const { iv: iv2, tag: tag2, ...header } = decodeBlobHeader(encoded);
      expect(header).toMatchObject({ kind, crc, payloadOffset: blobOverheadBytes(kind) });
      expect([iv2, tag2].filter((value) => value !== undefined)).toEqual(secrets.map((value) => Buffer.from(value)));
      expect(encoded.length).toBe(blobOverheadBytes(kind) + data.length);
    }),
  );
});

test('shared memory is read in place', () => {
  const shared = new Uint8Array(new SharedArrayBuffer(60), 2, 58);
  shared.set(Buffer.from(vectors[2]?.slice(1).join('') ?? '', 'hex'));
  const { iv: view } = decodeBlobHeader(shared);
  expect(view).toEqual(iv);
  expect(view?.buffer).toBe(shared.buffer);
});

test('an IV or tag that is missing, too many or of a wrong length is refused', () => {
  expect(() => encodeBlobHeader('encrypted', 0, iv)).toThrow(expect.objectContaining({ code: 'BAD_STRUCTURE' }));
  expect(() => encodeBlobHeader('encrypted', 0, iv.subarray(4), iv)).toThrow(expect.objectContaining({ code: 'BAD_STRUCTURE' }));
  expect(() => encodeBlobHeader('plain', 0, iv, iv)).toThrow(expect.objectContaining({ code: 'BAD_STRUCTURE' }));
});

describe('damage', () => {
  test.each(vectors)('%s %s cut anywhere in its header is TRUNCATED', (_kind, headerHex) => {
    const header = Buffer.from(headerHex, 'hex');
    for (let length = 0; length < header.length; length++) {
      expect(resultOrCode(`${length}`, () => decodeBlobHeader(header.subarray(0, length)))).toEqual({ code: 'TRUNCATED' });
    }
  });

  test.each(vectors)('%s %s with any bit of its magic flipped is BAD_MAGIC', (_kind, headerHex) => {
    for (let bit = 0; bit < 64; bit++) {
      const header = Buffer.from(headerHex, 'hex');
      header[bit >> 3] = (header[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      expect(resultOrCode(`${bit}`, () => decodeBlobHeader(header))).toEqual({ code: 'BAD_MAGIC' });
    }
  });

  test(`of real files leads to our errors only, seed ${seed}`, () => {
    const random = new Random(seed);
    for (const path of storedPaths('vault', /\.blob$/)) {
      for (const { what, bytes } of damages(readStored('vault', path), 50, random)) {
        const result = resultOrCode(`${path}, ${what}`, () => decodeBlobHeader(bytes));
        if ('code' in result) expect(['TRUNCATED', 'BAD_MAGIC']).toContain(result.code);
      }
    }
  });
});
