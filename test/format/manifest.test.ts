import { createHash } from 'node:crypto';
import { sha256 } from '@noble/hashes/sha2.js';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseFingerprint } from '../../src/format/fingerprint.js';
import { canonicalManifest, encodeManifest, parseManifest, type Manifest } from '../../src/format/manifest.js';
import { backupTypes } from '../../src/format/snapshot-name.js';
import { damages, resultOrCode } from '../support/damage.js';
import { Random, seed } from '../support/random.js';
import { finishedSnapshots, fixtureStores, storedManifest } from '../support/stored-files.js';

const fingerprint = '0e:ab:d4:46:0b:6e:b9:ca:34:50:23:de:e2:b7:78:c7:90:e5:4a:16:83:b9:65:9c:0a:57:ae:19:90:90:15:9b';

/** Section 13.7 b. */
const signed: Manifest = {
  backupType: 'vm',
  backupId: '100',
  backupTime: 1700000000,
  files: [
    {
      filename: 'drive-scsi0.img.fidx',
      cryptMode: 'encrypt',
      size: 4718592,
      csum: '009f36a75b65b7925b456a75832478c35bb25e6a45c560974c46a6db94dd3fac',
    },
    {
      filename: 'qemu-server.conf.blob',
      cryptMode: 'encrypt',
      size: 58,
      csum: 'f788352221e777284fc6392839f2620c20e26f5a3ab40d6fb725d54252d2498b',
    },
  ],
  signature: '4157cb163f27c06d8762749273c572db2ec7c0ff37ed0ca233b0f5256335d0c9',
  unprotected: { keyFingerprint: parseFingerprint(fingerprint) },
};

const plain = {
  'backup-type': 'host',
  'backup-id': 'elsa',
  'backup-time': 1593179765,
  files: [{ 'crypt-mode': 'none', csum: '02'.repeat(32), filename: 'abc.blob', size: 200 }],
  signature: null,
  unprotected: {},
};

function parse(change: object): Manifest {
  return parseManifest(JSON.stringify({ ...plain, ...change }));
}

describe('vector', () => {
  test('is written byte for byte', () => {
    const bytes = encodeManifest(signed);
    expect(bytes.length).toBe(697);
    const digest = createHash('sha256').update(bytes).digest('hex');
    expect(digest).toBe('b89e634d5cd978d4cea92dd378d77938ab875645a2fddce16c7270f999aa0a03');
    expect(parseManifest(bytes)).toEqual(signed);
  });

  test('has the canonical form', () => {
    expect(canonicalManifest(signed).toString()).toBe(
      '{"backup-id":"100","backup-time":1700000000,"backup-type":"vm","files":[' +
        '{"crypt-mode":"encrypt","csum":"009f36a75b65b7925b456a75832478c35bb25e6a45c560974c46a6db94dd3fac",' +
        '"filename":"drive-scsi0.img.fidx","size":4718592},' +
        '{"crypt-mode":"encrypt","csum":"f788352221e777284fc6392839f2620c20e26f5a3ab40d6fb725d54252d2498b",' +
        '"filename":"qemu-server.conf.blob","size":58}]}',
    );
    expect(canonicalManifest(signed).length).toBe(365);
  });
});

describe.each(fixtureStores)('manifests of %s', (store) => {
  test.each(finishedSnapshots(store))('$path', async (expected) => {
    const bytes = await storedManifest(store, expected);
    expect(bytes.length).toBe(expected.manifest.decoded_size);
    expect(Buffer.from(sha256(bytes)).toString('hex')).toBe(expected.manifest.sha256);
    const manifest = parseManifest(bytes);
    expect(encodeManifest(manifest)).toEqual(bytes);
    const { compressed_size: compressedSize, ...stats } = expected.chunk_upload_stats;
    expect(manifest).toMatchObject({
      backupType: expected.type,
      backupId: expected.id,
      backupTime: expected.epoch,
      files: expected.files.map(({ filename, 'crypt-mode': cryptMode, size, csum }) => ({ filename, cryptMode, size, csum })),
      unprotected: { chunkUploadStats: { compressedSize, ...stats } },
    });
    expect(manifest.signature).toBe(expected.signature ?? undefined);
    expect(manifest.unprotected.notes).toBe(expected.notes ?? undefined);
    expect(manifest.unprotected.verifyState?.state).toBe(expected.verify_state ?? undefined);
    const { keyFingerprint } = manifest.unprotected;
    expect(keyFingerprint).toEqual(expected.fingerprint === null ? undefined : parseFingerprint(expected.fingerprint));
    expect(manifest.unprotected.others).toBeUndefined();
    expect(manifest.others).toBeUndefined();
  });
});

test('any manifest comes back', () => {
  const id = fc.stringMatching(/^[A-Za-z0-9_][A-Za-z0-9._-]{0,20}$/);
  const size = fc.maxSafeNat();
  const hex = fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => Buffer.from(bytes).toString('hex'));
  const file = fc.record({
    filename: fc.tuple(id, fc.constantFrom('.fidx', '.didx', '.blob')).map((parts) => parts.join('')),
    cryptMode: fc.constantFrom('none', 'encrypt', 'sign-only'),
    size,
    csum: hex,
  });
  const unprotected = fc.record(
    {
      keyFingerprint: hex.map((text) => Buffer.from(text, 'hex')),
      notes: fc.string({ unit: 'grapheme' }),
      verifyState: fc.record({ state: fc.constantFrom('ok', 'failed'), upid: fc.string() }),
      chunkUploadStats: fc.record({ compressedSize: size, count: size, duplicates: size, size }),
    },
    { requiredKeys: [] },
  );
  const any: fc.Arbitrary<Manifest> = fc.record({
    backupType: fc.constantFrom(...backupTypes),
    backupId: id,
    backupTime: fc.integer(),
    files: fc.uniqueArray(file, { selector: ({ filename }) => filename }),
    signature: fc.option(hex, { nil: undefined }),
    unprotected,
  });
  fc.assert(
    fc.property(any, (manifest) => {
      expect(parseManifest(encodeManifest(manifest))).toEqual(manifest);
      const written = JSON.parse(encodeManifest(manifest).toString()) as Record<string, unknown>;
      expect(written['signature']).toBe(manifest.signature ?? null);
      const part = { ...written, signature: undefined, unprotected: undefined };
      expect(canonicalManifest(manifest).toString()).toBe(JSON.stringify(part));
    }),
  );
});

describe('what is not known', () => {
  test('is kept, and belongs to the signed part outside of `unprotected`', () => {
    const text = `{
  "a-new-one": [
    1,
    {}
  ],
  "backup-id": "elsa",
  "backup-time": 1593179765,
  "backup-type": "host",
  "files": [
    {
      "crypt-mode": "none",
      "csum": "${'02'.repeat(32)}",
      "filename": "abc.blob",
      "later": "x",
      "size": 200
    }
  ],
  "signature": null,
  "unprotected": {
    "10": 1,
    "9": 2,
    "change-detection-fingerprint": "${'0a'.repeat(32)}",
    "chunk_upload_stats": {
      "count": -1
    },
    "key-fingerprint": null,
    "notes": [
      "not a string"
    ],
    "verify_state": {
      "state": "maybe",
      "upid": "x"
    }
  }
}`;
    const manifest = parseManifest(text);
    expect(encodeManifest(manifest).toString()).toBe(text);
    expect(canonicalManifest(manifest).toString()).toContain('"a-new-one":[1,{}]');
    expect(canonicalManifest(manifest).toString()).toContain('"later":"x"');
    const { others, ...known } = manifest.unprotected;
    expect(known).toEqual({});
    expect(Object.keys(others ?? {})).toHaveLength(7);
  });

  test('changes no prototype', () => {
    const members = `"__proto__":{"signature":"x","polluted":true}`;
    const text = JSON.stringify(plain).replace('{', `{${members},`).replace('"unprotected":{', `"unprotected":{${members}`);
    expect(parseManifest(text)).toEqual(parse({}));
    expect(parseManifest(text).signature).toBeUndefined();
    expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
  });

  test('can not be signed if it holds a null', () => {
    expect(() => canonicalManifest(parse({ new: [{ x: null }] }))).toThrow(expect.objectContaining({ code: 'BAD_STRUCTURE' }));
  });
});

test.each([
  ['notes', { unprotected: { notes: 'a\ud800b' } }],
  ['a member that is not known', { unprotected: { new: [{ x: '\udc00' }] } }],
  ['the name of one', { '\ud800': 1 }],
])('half a character is not written: %s', (_, change) => {
  expect(() => encodeManifest(parse(change))).toThrow(expect.objectContaining({ code: 'BAD_STRUCTURE' }));
});

test('members that old servers do not write may be missing', () => {
  const files = [{ ...plain.files[0], 'crypt-mode': undefined }];
  const manifest = parse({ signature: undefined, unprotected: undefined, files });
  expect(manifest.files[0]?.cryptMode).toBe('none');
  expect(manifest.signature).toBeUndefined();
  expect(manifest.unprotected).toEqual({});
});

describe('refused', () => {
  const file = plain.files[0];

  test.each(['../../etc/passwd.blob', 'a/b.blob', 'a\0.blob', '..', '', '.blob', 'abc', 'abc.txt', 'abc.blob\n', 'a b.blob'])(
    'the file name %j',
    (filename) => {
      expect(() => parse({ files: [{ ...file, filename }] })).toThrow(expect.objectContaining({ code: 'BAD_STRUCTURE' }));
    },
  );

  test.each<[string, object]>([
    ['a file twice', { files: [file, file] }],
    ['a negative size', { files: [{ ...file, size: -1 }] }],
    ['half a byte', { files: [{ ...file, size: 0.5 }] }],
    ['a size above 2^53-1', { files: [{ ...file, size: 2 ** 53 }] }],
    ['a size as text', { files: [{ ...file, size: '200' }] }],
    ['a short csum', { files: [{ ...file, csum: '02' }] }],
    ['a csum in capitals', { files: [{ ...file, csum: 'AB'.repeat(32) }] }],
    ['an unknown crypt mode', { files: [{ ...file, 'crypt-mode': 'rot13' }] }],
    ['a file that is a list', { files: [[]] }],
    ['no files', { files: undefined }],
    ['files that are none', { files: {} }],
    ['an unknown type', { 'backup-type': 'qemu' }],
    ['an id that is a path', { 'backup-id': '../x' }],
    ['a time that is text', { 'backup-time': '2021-01-01T00:00:00Z' }],
    ['a signature that is a number', { signature: 7 }],
    ['a fingerprint that is none', { unprotected: { 'key-fingerprint': 'ab:cd' } }],
    ['unprotected as a list', { unprotected: [] }],
  ])('%s', (_what, change) => {
    expect(() => parse(change)).toThrow(expect.objectContaining({ code: 'BAD_STRUCTURE' }));
  });

  test.each(['', 'null', '[]', '"x"', '1', '{}', '{"files":[]}'])('%s', (text) => {
    expect(() => parseManifest(text)).toThrow(expect.objectContaining({ code: 'BAD_STRUCTURE' }));
  });

  test('what is larger than an upload may be', () => {
    const large = Buffer.alloc(16 * 1024 * 1024 + 1, ' ');
    expect(() => parseManifest(large)).toThrow(expect.objectContaining({ code: 'LIMIT_EXCEEDED' }));
  });
});

test(`a damaged manifest is read to the same names or is an error of ours, seed ${seed}`, async () => {
  const random = new Random(seed);
  for (const snapshot of finishedSnapshots('vault')) {
    const original = await storedManifest('vault', snapshot);
    for (const { what, bytes } of damages(original, 100, random)) {
      const result = resultOrCode(`${snapshot.path}, ${what}`, () => parseManifest(bytes));
      if ('code' in result) expect(['BAD_STRUCTURE', 'LIMIT_EXCEEDED']).toContain(result.code);
      else expect(resultOrCode(what, () => parseManifest(encodeManifest(result.value)))).toEqual(result);
    }
  }
});
