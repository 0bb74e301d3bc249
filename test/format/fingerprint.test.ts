import fc from 'fast-check';
import { expect, test } from 'vitest';
import { formatFingerprint, formatShortFingerprint, parseFingerprint } from '../../src/format/fingerprint.js';

const text = '0e:ab:d4:46:0b:6e:b9:ca:34:50:23:de:e2:b7:78:c7:90:e5:4a:16:83:b9:65:9c:0a:57:ae:19:90:90:15:9b';

test('text in every accepted form', () => {
  const bytes = Buffer.from(text.replaceAll(':', ''), 'hex');
  expect(formatFingerprint(bytes)).toBe(text);
  expect(formatShortFingerprint(bytes)).toBe('0e:ab:d4:46:0b:6e:b9:ca');
  for (const form of [text, text.toUpperCase(), text.replaceAll(':', '')]) expect(parseFingerprint(form)).toEqual(bytes);
});

test('any fingerprint comes back', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 32, maxLength: 32 }), (bytes) => {
      expect(parseFingerprint(formatFingerprint(bytes))).toEqual(Buffer.from(bytes));
    }),
  );
});

test.each(['', 'xx', text.slice(3), `${text}:00`, text.replace('0e', '0g'), `${text}\n`])('%j is refused', (form) => {
  expect(() => parseFingerprint(form)).toThrow(expect.objectContaining({ code: 'BAD_STRUCTURE' }));
});

test('32 bytes, not less', () => {
  expect(() => formatFingerprint(Buffer.alloc(31))).toThrow(expect.objectContaining({ code: 'BAD_STRUCTURE' }));
});
