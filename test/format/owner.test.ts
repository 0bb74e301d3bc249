import { describe, expect, test } from 'vitest';
import { encodeOwner, parseOwner } from '../../src/format/owner.js';
import { expectedStore, fixtureStores, readStored } from '../support/stored-files.js';

describe.each(fixtureStores)('groups of %s', (store) => {
  test.each(expectedStore(store).groups)('$ns $type/$id', ({ ns, type, id, owner }) => {
    const namespace = ns === '' ? [] : ns.split('/').map((name) => `ns/${name}`);
    const bytes = readStored(store, ...namespace, type, id, 'owner');
    expect(parseOwner(bytes)).toBe(owner);
    expect(encodeOwner(owner)).toEqual(bytes);
  });
});

test.each(['root@pam', 'backup@pbs!token1', 'backup@pbs!c', `${'x'.repeat(60)}@pam`, 'j\u00f6rg@ad.example', 'a!b@pam'])('%s comes back', (owner) => {
  expect(parseOwner(encodeOwner(owner))).toBe(owner);
});

test('only the first line counts, without white space at its end', () => {
  expect(parseOwner(Buffer.from('root@pam \t\r\nother@pam\n'))).toBe('root@pam');
  expect(parseOwner(Buffer.from('root@pam'))).toBe('root@pam');
});

const wrongNames = ['root', '@pam', 'root@', 'a b@pam', 'a/b@pam', 'a:b@pam', 'root@pam!', 'a\0@b', 'root@.p'];
const nobodies = ['', '\n', '\nroot@pam', ...wrongNames];

test.each(nobodies)('%j names nobody', (text) => {
  expect(() => parseOwner(Buffer.from(text))).toThrow(expect.objectContaining({ code: 'BAD_STRUCTURE' }));
});

const long = 'x'.repeat(65);
test.each(['a@b', `a@${'r'.repeat(33)}`, `${long}@pam`, `root@pam!${long}`, 'root@pam\nx', ...wrongNames])('%j is not written', (owner) => {
  expect(() => encodeOwner(owner)).toThrow(expect.objectContaining({ code: 'BAD_NAME' }));
});

test.each(['a@b', `${long}@pam`, `root@pam!${long}`])('%j, which others may have written, is read', (owner) => {
  expect(parseOwner(Buffer.from(`${owner}\n`))).toBe(owner);
});

test('neither other bytes nor a large file', () => {
  expect(() => parseOwner(Buffer.from('ff40', 'hex'))).toThrow(expect.objectContaining({ code: 'BAD_STRUCTURE' }));
  expect(() => parseOwner(Buffer.alloc(4097, 'a'))).toThrow(expect.objectContaining({ code: 'LIMIT_EXCEEDED' }));
});
