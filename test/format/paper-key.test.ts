import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { parseKeyFile } from '../../src/format/key-file.js';
import { encodePaperKey, paperKeyContent } from '../../src/format/paper-key.js';
import { keyPath } from '../support/fixtures.js';
import { seed } from '../support/random.js';

const json = readFileSync(keyPath('password.json'), 'utf8');
const file = parseKeyFile(json);

test('a printed key is a key file', () => {
  const printed = encodePaperKey(json);
  expect(printed.split('\n')).toEqual(['-----BEGIN PROXMOX BACKUP KEY-----', ...JSON.stringify(JSON.parse(json), null, 2).split('\n'), '-----END PROXMOX BACKUP KEY-----', '']);
  expect(parseKeyFile(printed)).toEqual(file);
  expect(parseKeyFile(`Subject: x\r\n\r\n${printed.replaceAll('\n', '\r\n')}\n\u2588\u2588 a code`)).toEqual(file);
});

test(`lines that were broken anywhere (seed ${seed})`, () => {
  const printed = encodePaperKey(json);
  const first = printed.indexOf('\n') + 1;
  const last = printed.indexOf('-----END');
  fc.assert(
    fc.property(fc.uniqueArray(fc.integer({ min: first, max: last }), { maxLength: 20 }), (places) => {
      const broken = [...printed].map((character, at) => (places.includes(at) ? `\n${character}` : character)).join('');
      expect(parseKeyFile(broken)).toEqual(file);
    }),
    { seed },
  );
});

test('what has no such lines, or only one of them, is taken as it is', () => {
  for (const text of [json, '', '-----BEGIN PROXMOX BACKUP KEY-----\n{}', '{}\n-----END PROXMOX BACKUP KEY-----']) {
    expect(paperKeyContent(Buffer.from(text)).toString()).toBe(text);
  }
  expect(() => parseKeyFile('-----BEGIN PROXMOX BACKUP KEY-----\n{}\n-----END PROXMOX BACKUP KEY-----')).toThrow(expect.objectContaining({ code: 'BAD_KEY_FILE' }) as Error);
});
