import fc from 'fast-check';
import { expect, test } from 'vitest';
import { formatNamespace, isNamespaceChild, namespacePath, parseNamespace } from '../../src/format/namespace.js';

test.each([
  ['', [], ''],
  ['prod', ['prod'], 'ns/prod'],
  ['prod/eu', ['prod', 'eu'], 'ns/prod/ns/eu'],
  ['1/2/3/4/5/6/7', ['1', '2', '3', '4', '5', '6', '7'], 'ns/1/ns/2/ns/3/ns/4/ns/5/ns/6/ns/7'],
])('%j', (text, namespace, path) => {
  expect(parseNamespace(text)).toEqual(namespace);
  expect(formatNamespace(namespace)).toBe(text);
  expect(namespacePath(namespace)).toBe(path);
});

test('any namespace comes back from its text', () => {
  const component = fc.stringMatching(/^[A-Za-z0-9_][A-Za-z0-9._-]{0,30}$/);
  fc.assert(
    fc.property(fc.array(component, { maxLength: 7 }), (namespace) => {
      expect(parseNamespace(formatNamespace(namespace))).toEqual(namespace);
    }),
  );
});

test.each([
  '/',
  'a/',
  '/a',
  'a//b',
  '.',
  '..',
  'a/..',
  '.hidden',
  '-a',
  'a b',
  'a\n',
  '\u00e4',
  '1/2/3/4/5/6/7/8',
  '1/2/3/4/5/6/7/8/9',
])('%j is refused', (text) => {
  expect(() => parseNamespace(text)).toThrow(expect.objectContaining({ code: 'BAD_NAME' }));
});

test('the length of all components counts, with a byte for each slash', () => {
  expect(isNamespaceChild([], 'a'.repeat(255))).toBe(true);
  expect(isNamespaceChild([], 'a'.repeat(256))).toBe(false);
  expect(isNamespaceChild(['a'.repeat(100), 'b'.repeat(100)], 'c'.repeat(54))).toBe(true);
  expect(isNamespaceChild(['a'.repeat(100), 'b'.repeat(100)], 'c'.repeat(55))).toBe(false);
});
