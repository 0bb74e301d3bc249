import { constants, generateKeyPairSync, publicEncrypt } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { unwrapKeyFile } from '../../src/crypto/key-wrap.js';
import { createMasterKey, decryptWithMasterKey, encryptWithMasterKey, readMasterPublicKey } from '../../src/crypto/master-key.js';
import { decodeBlobHeader } from '../../src/format/blob.js';
import { parseKeyFile } from '../../src/format/key-file.js';
import { keyPath } from '../support/fixtures.js';
import { damages, resultOrCode } from '../support/damage.js';
import { Random, noise, seed } from '../support/random.js';
import { finishedSnapshots, readStored } from '../support/stored-files.js';

const publicPem = readFileSync(keyPath('master-public.pem'));
const privatePem = readFileSync(keyPath('master-private.pem'));
const password = Buffer.from('master fixture passphrase');

function keyPem(modulusLength: number): string | Buffer {
  return generateKeyPairSync('rsa', { modulusLength }).publicKey.export({ format: 'pem', type: 'spki' });
}

/** Section 13.6. */
const plainKey = Buffer.from(
  '{"kdf":null,"created":"2023-11-14T22:13:20+00:00","modified":"2023-11-14T22:13:20+00:00",' +
    '"data":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",' +
    '"fingerprint":"0e:ab:d4:46:0b:6e:b9:ca:34:50:23:de:e2:b7:78:c7:90:e5:4a:16:83:b9:65:9c:0a:57:ae:19:90:90:15:9b"}',
);

describe('rsa-encrypted.key.blob of the vault', () => {
  const snapshots = finishedSnapshots('vault').filter(({ files }) => files.some(({ filename }) => filename.startsWith('rsa-')));

  test('is in four snapshots', () => {
    expect(snapshots.length).toBe(4);
  });

  test.each(snapshots)('$path', ({ path, fingerprint }) => {
    const blob = readStored('vault', path, 'rsa-encrypted.key.blob');
    const { kind, payloadOffset } = decodeBlobHeader(blob);
    expect([kind, blob.length]).toEqual(['plain', 524]);
    const file = parseKeyFile(decryptWithMasterKey(privatePem, password, blob.subarray(payloadOffset)));
    expect(file.kdf.type).toBe('none');
    expect(unwrapKeyFile(file).fingerprintText).toBe(fingerprint);
    expect(unwrapKeyFile(file).encKey).toEqual(unwrapKeyFile(parseKeyFile(readFileSync(keyPath('plain.json')))).encKey);
  });
});

test('the vector of 255 bytes comes back, encrypted in another way each time', () => {
  expect(plainKey.length).toBe(255);
  const ciphertext = encryptWithMasterKey(publicPem, plainKey);
  expect(ciphertext.length).toBe(512);
  expect(encryptWithMasterKey(publicPem, plainKey)).not.toEqual(ciphertext);
  expect(decryptWithMasterKey(privatePem, password, ciphertext)).toEqual(plainKey);
});

test('any length up to the most comes back, one byte more is refused', () => {
  for (const length of [0, 1, 255, 500, 501]) {
    const plain = noise(`length ${length}`, length);
    expect(decryptWithMasterKey(privatePem, password, encryptWithMasterKey(publicPem, plain))).toEqual(plain);
  }
  expect(() => encryptWithMasterKey(publicPem, noise('long', 502))).toThrow(expect.objectContaining({ code: 'BAD_KEY_FILE' }));
});

test('a master key of 2048 bits is too small for a key file', () => {
  expect(() => encryptWithMasterKey(keyPem(2048), plainKey)).toThrow(expect.objectContaining({ code: 'BAD_KEY_FILE' }));
});

describe('refused', () => {
  const ciphertext = encryptWithMasterKey(publicPem, plainKey);
  const code = (value: string) => expect.objectContaining({ code: value }) as Error;

  test('a private key without its password, or with another', () => {
    expect(() => decryptWithMasterKey(privatePem, undefined, ciphertext)).toThrow(code('PASSWORD_REQUIRED'));
    expect(() => decryptWithMasterKey(privatePem, Buffer.from('wrong'), ciphertext)).toThrow(code('WRONG_PASSWORD'));
  });

  test('a private key that is none', () => {
    for (const pem of ['', 'x', publicPem, privatePem.subarray(0, 1000)]) {
      expect(() => decryptWithMasterKey(pem, password, ciphertext)).toThrow(code('BAD_KEY_FILE'));
    }
    const { privateKey, publicKey } = generateKeyPairSync('ed25519');
    const other = privateKey.export({ format: 'pem', type: 'pkcs8' });
    expect(() => decryptWithMasterKey(other, undefined, ciphertext)).toThrow(code('BAD_KEY_FILE'));
    expect(() => encryptWithMasterKey(publicKey.export({ format: 'pem', type: 'spki' }), plainKey)).toThrow(code('BAD_KEY_FILE'));
    expect(() => encryptWithMasterKey('x', plainKey)).toThrow(code('BAD_KEY_FILE'));
  });

  test('what was encrypted for another master key', () => {
    const others = encryptWithMasterKey(keyPem(4096), plainKey);
    expect(() => decryptWithMasterKey(privatePem, password, others)).toThrow(code('WRONG_KEY'));
  });

  test('another length, and a number that is not below the modulus', () => {
    const longer = Buffer.concat([ciphertext, Buffer.alloc(1)]);
    for (const bytes of [Buffer.alloc(0), ciphertext.subarray(1), longer, Buffer.alloc(512, 0xff)]) {
      expect(() => decryptWithMasterKey(privatePem, password, bytes)).toThrow(code('WRONG_KEY'));
    }
  });

  test.each([
    ['block type 1', `0001${'ff'.repeat(8)}00${'ab'.repeat(501)}`],
    ['7 bytes of padding', `0002${'ff'.repeat(7)}00${'ab'.repeat(502)}`],
    ['no end of the padding', `0002${'ff'.repeat(510)}`],
    ['no padding at all', `000200${'ab'.repeat(509)}`],
  ])('a message with %s', (_what, hex) => {
    const padded = publicEncrypt({ key: publicPem, padding: constants.RSA_NO_PADDING }, Buffer.from(hex, 'hex'));
    expect(() => decryptWithMasterKey(privatePem, password, padded)).toThrow(code('WRONG_KEY'));
  });

  test(`damage in the private key is an error of ours or none that matters, seed ${seed}`, () => {
    for (const { what, bytes } of damages(privatePem, 15, new Random(seed))) {
      resultOrCode(what, () => decryptWithMasterKey(bytes, password, ciphertext));
    }
  });
});

describe('a new master key', () => {
  test('is one, and needs a password', async () => {
    const made = await createMasterKey(Buffer.from('words'));
    expect(readMasterPublicKey(Buffer.from(made.publicPem))).toBe(made.publicPem);
    const encrypted = encryptWithMasterKey(made.publicPem, plainKey);
    expect(decryptWithMasterKey(made.privatePem, Buffer.from('words'), encrypted).equals(plainKey)).toBe(true);
    await expect(createMasterKey(Buffer.from('four'))).rejects.toMatchObject({ code: 'WRONG_PASSWORD' });
  });

  test('a public key is one of RSA that a key file fits into', () => {
    expect(readMasterPublicKey(publicPem)).toBe(publicPem.toString());
    const ed25519 = generateKeyPairSync('ed25519').publicKey.export({ format: 'pem', type: 'spki' });
    for (const pem of [privatePem, Buffer.from(keyPem(2048)), Buffer.from(ed25519), Buffer.alloc(0)]) {
      expect(() => readMasterPublicKey(pem)).toThrow(expect.objectContaining({ code: 'BAD_KEY_FILE' }) as Error);
    }
  });
});
