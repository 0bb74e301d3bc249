import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { encodeKeyFile, parseKeyFile, type Kdf, type KeyFile } from '../../src/format/key-file.js';
import { damages, resultOrCode } from '../support/damage.js';
import { keyPath } from '../support/fixtures.js';
import { Random, seed } from '../support/random.js';

/** Section 13.5, 383 bytes, and 13.6, 255 bytes. */
const wrapped =
  '{"kdf":{"Scrypt":{"n":65536,"r":8,"p":1,"salt":"ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8="}},' +
  '"created":"2023-11-14T22:13:20+00:00","modified":"2023-11-14T22:13:20+00:00",' +
  '"data":"oKGio6SlpqeoqaqrrK2urxL1OAt0z+QIFckUQ2KqAZstszfd3ggl1//S+mU82HXbODznVnXp9BrFelhElPiWWQ==",' +
  '"fingerprint":"0e:ab:d4:46:0b:6e:b9:ca:34:50:23:de:e2:b7:78:c7:90:e5:4a:16:83:b9:65:9c:0a:57:ae:19:90:90:15:9b"}';
const plain =
  '{"kdf":null,"created":"2023-11-14T22:13:20+00:00","modified":"2023-11-14T22:13:20+00:00",' +
  '"data":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",' +
  '"fingerprint":"0e:ab:d4:46:0b:6e:b9:ca:34:50:23:de:e2:b7:78:c7:90:e5:4a:16:83:b9:65:9c:0a:57:ae:19:90:90:15:9b"}';

test.each([
  ['scrypt', wrapped, 383],
  ['none', plain, 255],
])('vector with kdf %s', (type, text, bytes) => {
  expect(text.length).toBe(bytes);
  const file = parseKeyFile(text);
  expect(file.kdf.type).toBe(type);
  expect(file.created).toBe('2023-11-14T22:13:20+00:00');
  expect(file.data.toString('base64')).toBe(/"data":"([^"]*)"/.exec(text)?.[1]);
  expect(encodeKeyFile(file).toString()).toBe(text);
});

test.each(['plain.json', 'password.json'] as const)('the real %s comes back byte for byte', (name) => {
  const bytes = readFileSync(keyPath(name));
  expect(encodeKeyFile(parseKeyFile(bytes))).toEqual(bytes);
});

test('any key file comes back', () => {
  const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length }).map((array) => Buffer.from(array));
  const salt = fc.uint8Array({ maxLength: 1024 }).map((array) => Buffer.from(array));
  const kdf: fc.Arbitrary<Kdf> = fc.oneof(
    fc.constant({ type: 'none' as const }),
    fc.record({
      type: fc.constant('scrypt' as const),
      n: fc.constantFrom(2, 16384, 65536, 2 ** 20),
      r: fc.integer({ min: 2, max: 8 }),
      p: fc.integer({ min: 1, max: 4 }),
      salt,
    }),
    fc.record({ type: fc.constant('pbkdf2' as const), iterations: fc.integer({ min: 1, max: 10_000_000 }), salt }),
  );
  const any: fc.Arbitrary<KeyFile> = kdf.chain((one) =>
    fc.record({
      kdf: fc.constant(one),
      created: fc.constantFrom('2023-11-14T22:13:20+00:00', '2023-11-14T22:13:20Z', '2023-11-14T22:13:20.123456789-11:30'),
      modified: fc.constant('2023-11-14T22:13:20+01:00'),
      data: bytes(one.type === 'none' ? 32 : 64),
      fingerprint: fc.option(bytes(32), { nil: undefined }),
      hint: fc.option(fc.string({ maxLength: 64 }), { nil: undefined }),
    }),
  );
  fc.assert(
    fc.property(any, (file) => {
      expect(parseKeyFile(encodeKeyFile(file))).toEqual(file);
    }),
  );
});

test('members may be in another order, unknown ones are ignored', () => {
  const members = Object.entries(JSON.parse(wrapped) as Record<string, unknown>).reverse();
  const text = JSON.stringify({ extra: 1, ...Object.fromEntries(members) }, null, 4);
  expect(parseKeyFile(text)).toEqual(parseKeyFile(wrapped));
});

describe('refused', () => {
  const scrypt = (parameters: object) =>
    wrapped.replace(/\{"n":[^}]*\}/, JSON.stringify({ n: 65536, r: 8, p: 1, salt: '', ...parameters }));
  const pbkdf2 = (parameters: object) => wrapped.replace(/"Scrypt":\{[^}]*\}/, `"PBKDF2":${JSON.stringify(parameters)}`);

  test('the variations are valid where they should be', () => {
    expect(parseKeyFile(scrypt({ n: 2 ** 20 })).kdf).toMatchObject({ n: 2 ** 20, r: 8 });
    expect(parseKeyFile(pbkdf2({ iter: 65535, salt: 'AA==' })).kdf).toMatchObject({ iterations: 65535 });
  });

  test.each<[string, string]>([
    ['nothing', ''],
    ['a PEM file', '-----BEGIN PUBLIC KEY-----\n'],
    ['no kdf', plain.replace('"kdf":null,', '')],
    ['a kdf in the form of others', plain.replace('null', '{"type":"scrypt"}')],
    ['a kdf spelled in another way', wrapped.replace('Scrypt', 'scrypt')],
    ['two kdfs', wrapped.replace('{"Scrypt"', '{"PBKDF2":{"iter":1,"salt":""},"Scrypt"')],
    ['n that is no power of two', scrypt({ n: 65537 })],
    ['n of 1', scrypt({ n: 1 })],
    ['n of 0', scrypt({ n: 0 })],
    ['n below 0', scrypt({ n: -65536 })],
    ['n that is no integer', scrypt({ n: 2.5 })],
    ['n that needs 2 GiB', scrypt({ n: 2 ** 21 })],
    ['n of 2^52', scrypt({ n: 2 ** 52 })],
    ['n of 2^16 with r of 1, which scrypt does not define', scrypt({ r: 1 })],
    ['r that needs 2 GiB', scrypt({ r: 256 })],
    ['p that needs a year', scrypt({ p: 2 ** 30 })],
    ['p that needs minutes', scrypt({ p: 1000 })],
    ['too many iterations', pbkdf2({ iter: 10_000_001, salt: '' })],
    ['no iterations', pbkdf2({ iter: 0, salt: '' })],
    ['a large salt', pbkdf2({ iter: 1, salt: Buffer.alloc(1025).toString('base64') })],
    ['a salt that is no base64', scrypt({ salt: '!' })],
    ['data that is no base64', plain.replace('AAEC', '??**')],
    ['data without padding', plain.replace('Hh8="', 'Hh8"')],
    ['a plain key of 31 bytes', plain.replace(/"data":"[^"]*"/, `"data":"${Buffer.alloc(31).toString('base64')}"`)],
    ['a wrapped key as plain one', wrapped.replace(/\{"Scrypt":\{[^}]*\}\}/, 'null')],
    ['a plain key as wrapped one', plain.replace('null', '{"PBKDF2":{"iter":1,"salt":""}}')],
    ['a time that is none', plain.replace('2023-11-14T22:13:20+00:00', 'yesterday')],
    ['a short fingerprint', plain.replace(':9b"', '"')],
    ['a long hint', plain.replace('}', `,"hint":"${'x'.repeat(65)}"}`)],
    ['a large file', `${plain}${' '.repeat(64 * 1024)}`],
  ])('%s', (_what, text) => {
    expect(() => parseKeyFile(text)).toThrow(expect.objectContaining({ code: 'BAD_KEY_FILE' }));
  });

  test('what could not be read again is not encoded', () => {
    const file = { ...parseKeyFile(plain), data: Buffer.alloc(31) };
    expect(() => encodeKeyFile(file)).toThrow(expect.objectContaining({ code: 'BAD_KEY_FILE' }));
  });

  test(`damage anywhere, seed ${seed}`, () => {
    const random = new Random(seed);
    for (const text of [wrapped, plain]) {
      for (const { what, bytes } of damages(Buffer.from(text), 300, random)) {
        const result = resultOrCode(what, () => parseKeyFile(bytes));
        if ('code' in result) expect(result.code).toBe('BAD_KEY_FILE');
      }
    }
  });
});
