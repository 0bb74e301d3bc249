import { createHash, scryptSync } from 'node:crypto';
import { hmac } from '@noble/hashes/hmac.js';
import { sha256 } from '@noble/hashes/sha2.js';
import { describe, expect, test } from 'vitest';
import { EncryptionKey } from '../../src/crypto/encryption-key.js';
import { reuseFault, signManifest, verifyManifestSignature } from '../../src/crypto/manifest-signature.js';
import { canonicalManifest, encodeManifest, parseManifest, type Manifest } from '../../src/format/manifest.js';
import { damages, resultOrCode } from '../support/damage.js';
import { Random, noise, seed } from '../support/random.js';
import { finishedSnapshots, fixtureKey, fixtureStores, storedManifest } from '../support/stored-files.js';

const code = (value: string) => expect.objectContaining({ code: value }) as Error;
const key = new EncryptionKey(Buffer.from(Array.from({ length: 32 }, (_, i) => i)));

/** Section 13.7. */
describe('vectors', () => {
  const upstream = {
    'backup-id': 'elsa',
    'backup-time': 1593179765,
    'backup-type': 'host',
    files: [
      { 'crypt-mode': 'encrypt', csum: '01'.repeat(32), filename: 'test1.img.fidx', size: 200 },
      { 'crypt-mode': 'none', csum: '02'.repeat(32), filename: 'abc.blob', size: 200 },
    ],
    signature: 'd7b446fb7db081662081d4b40fedd858a1d6307a5aff4ecff7d5bf4fd35679e9',
    unprotected: { note: 'This is not protected by the signature.' },
  };

  test('a: the upstream constant', () => {
    const encKey = scryptSync('test', '', 32, { N: 65536, r: 8, p: 1, maxmem: 2 ** 27 });
    expect(encKey.toString('hex')).toBe('28cdb1a3bef39396c3860e00d448fe7a0efd8244486ab6feb30457681d31597e');
    const manifest = parseManifest(JSON.stringify(upstream));
    expect(signManifest(manifest, new EncryptionKey(encKey))).toBe(upstream.signature);
    expect(verifyManifestSignature(manifest, new EncryptionKey(encKey))).toBe('signed');
    expect(() => verifyManifestSignature(manifest, key)).toThrow(code('BAD_SIGNATURE'));
  });

  test('b: with the key of the other vectors', () => {
    const csums = [
      '009f36a75b65b7925b456a75832478c35bb25e6a45c560974c46a6db94dd3fac',
      'f788352221e777284fc6392839f2620c20e26f5a3ab40d6fb725d54252d2498b',
    ] as const;
    const unsigned: Manifest = {
      backupType: 'vm',
      backupId: '100',
      backupTime: 1700000000,
      files: [
        { filename: 'drive-scsi0.img.fidx', cryptMode: 'encrypt', size: 4718592, csum: csums[0] },
        { filename: 'qemu-server.conf.blob', cryptMode: 'encrypt', size: 58, csum: csums[1] },
      ],
      signature: undefined,
      unprotected: { keyFingerprint: key.fingerprint },
    };
    const signature = signManifest(unsigned, key);
    expect(signature).toBe('4157cb163f27c06d8762749273c572db2ec7c0ff37ed0ca233b0f5256335d0c9');
    const text = encodeManifest({ ...unsigned, signature });
    const digest = createHash('sha256').update(text).digest('hex');
    expect(digest).toBe('b89e634d5cd978d4cea92dd378d77938ab875645a2fddce16c7270f999aa0a03');
    expect(verifyManifestSignature(parseManifest(text), key)).toBe('signed');
  });
});

describe.each(fixtureStores)('manifests of %s', (store) => {
  test.each(finishedSnapshots(store))('$path', async (expected) => {
    const manifest = parseManifest(await storedManifest(store, expected));
    if (expected.fingerprint === null) {
      expect(verifyManifestSignature(manifest, key)).toBe('unsigned');
      return;
    }
    const signer = fixtureKey(expected.fingerprint);
    expect(expected.signature_valid).toBe(true);
    expect(verifyManifestSignature(manifest, signer)).toBe('signed');
    expect(signManifest(manifest, signer)).toBe(expected.signature);
    expect(Buffer.from(hmac(sha256, signer.idKey, canonicalManifest(manifest))).toString('hex')).toBe(expected.signature);
    expect(() => verifyManifestSignature(manifest, key)).toThrow(code('WRONG_KEY'));
  });
});

describe('a manifest that was changed', async () => {
  const [snapshot] = finishedSnapshots('vault');
  if (snapshot === undefined) throw new Error('the vault has snapshots');
  const signer = fixtureKey(snapshot.fingerprint ?? '');
  const manifest = parseManifest(await storedManifest('vault', snapshot));
  const [first, ...rest] = manifest.files;
  if (first === undefined) throw new Error('the manifest lists files');

  test.each<[string, Manifest]>([
    ['in a size', { ...manifest, files: [{ ...first, size: first.size + 1 }, ...rest] }],
    ['in a csum', { ...manifest, files: [{ ...first, csum: '00'.repeat(32) }, ...rest] }],
    ['in a crypt mode', { ...manifest, files: [{ ...first, cryptMode: 'none' }, ...rest] }],
    ['in a name', { ...manifest, files: [{ ...first, filename: 'other.pxar.didx' }, ...rest] }],
    ['in the order of files', { ...manifest, files: [...rest, first] }],
    ['by a file less', { ...manifest, files: rest }],
    ['in its time', { ...manifest, backupTime: manifest.backupTime + 1 }],
    ['in its id', { ...manifest, backupId: 'other' }],
    ['in its type', { ...manifest, backupType: 'vm' }],
    ['by a new member', { ...manifest, others: { x: 1 } }],
    ['by a new member of a file', { ...manifest, files: [{ ...first, others: { x: 1 } }, ...rest] }],
    ['in its signature', { ...manifest, signature: manifest.signature?.replace(/^./, (digit) => (digit === '0' ? '1' : '0')) }],
    ['by a signature in capitals', { ...manifest, signature: manifest.signature?.toUpperCase() }],
    ['by an empty signature', { ...manifest, signature: '' }],
  ])('%s is not believed', (_what, changed) => {
    expect(() => verifyManifestSignature(changed, signer)).toThrow(code('BAD_SIGNATURE'));
  });

  test('in what is not signed stays signed, but for the fingerprint', () => {
    const unprotected = { ...manifest.unprotected, notes: 'new', others: { x: null } };
    expect(verifyManifestSignature({ ...manifest, unprotected }, signer)).toBe('signed');
    expect(verifyManifestSignature({ ...manifest, unprotected: {} }, signer)).toBe('signed');
    const other = { ...manifest, unprotected: { keyFingerprint: noise('other', 32) } };
    expect(() => verifyManifestSignature(other, signer)).toThrow(code('WRONG_KEY'));
  });

  const unnamed = { ...manifest, unprotected: {} };
  test.each<[string, Manifest, RegExp | undefined]>([
    ['as it was', manifest, undefined],
    ['with other notes', { ...manifest, unprotected: { ...manifest.unprotected, notes: 'new' } }, undefined],
    ['unsigned', { ...manifest, signature: undefined }, /not signed$/],
    ['unsigned, and naming no key', { ...unnamed, signature: undefined }, /not signed$/],
    ['naming no key', unnamed, /does not say with which key/],
    ['naming another key', { ...manifest, unprotected: { keyFingerprint: noise('other', 32) } }, /signed with the key/],
    ['changed', { ...manifest, files: rest }, /not what was signed/],
  ])('%s: whether its chunks may stand in a snapshot of the key', (_what, changed, fault) => {
    const told = reuseFault(changed, signer);
    if (fault === undefined) expect(told).toBeUndefined();
    else expect(told).toMatch(fault);
  });

  test(`anywhere has the same signed part or is an error of ours, seed ${seed}`, async () => {
    const original = await storedManifest('vault', snapshot);
    for (const { what, bytes } of damages(original, 200, new Random(seed))) {
      const result = resultOrCode(what, () => {
        const changed = parseManifest(bytes);
        return verifyManifestSignature(changed, signer) === 'signed' ? canonicalManifest(changed) : undefined;
      });
      if ('value' in result && result.value !== undefined) expect(result.value, what).toEqual(canonicalManifest(manifest));
    }
  });
});
