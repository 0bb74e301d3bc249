import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseJson, writeJson, type JsonValue } from '../../src/format/json.js';

const limit = 1024 * 1024;
const anyJson = fc.jsonValue({ maxDepth: 5 }) as fc.Arbitrary<JsonValue>;

test('any value comes back, in both forms', () => {
  fc.assert(
    fc.property(anyJson, fc.constantFrom(0, 2), (value, indent) => {
      const text = writeJson(value, indent);
      expect(JSON.stringify(parseJson(Buffer.from(text), 'it', limit))).toBe(JSON.stringify(JSON.parse(text)));
      expect(writeJson(JSON.parse(text) as JsonValue, indent)).toBe(text);
    }),
  );
});

test('is what JSON.stringify writes where no keys need another order', () => {
  fc.assert(
    fc.property(anyJson, fc.constantFrom(0, 2), (value, indent) => {
      // Numbers alone are keys that JavaScript orders by itself; no other key is of that form.
      const sorted = JSON.parse(writeJson(value)) as JsonValue;
      fc.pre(!/"(?:0|[1-9]\d*)":/.test(writeJson(value)));
      expect(writeJson(value, indent)).toBe(JSON.stringify(sorted, null, indent));
    }),
  );
});

describe('order of keys', () => {
  test('is that of their bytes', () => {
    const value = JSON.parse('{"b":1,"a":2,"10":3,"9":4,"B":5,"\\uffff":6,"\\ud83d\\ude00":7,"":8}') as JsonValue;
    expect(writeJson(value)).toBe('{"":8,"10":3,"9":4,"B":5,"a":2,"b":1,"\uffff":6,"\u{1f600}":7}');
  });

  test('holds at every level, also for __proto__', () => {
    const value = parseJson('{"x":[{"b":1,"__proto__":{"z":1,"y":[]}}],"a":{}}', 'it', limit) as JsonValue;
    expect(writeJson(value, 2)).toBe(`{
  "a": {},
  "x": [
    {
      "__proto__": {
        "y": [],
        "z": 1
      },
      "b": 1
    }
  ]
}`);
  });
});

test('escapes are those of the signed form', () => {
  const written = '"\\"\\\\\\b\\f\\n\\r\\t\\u0001\\u001f/\u007f\u00e4\u2028"';
  expect(writeJson('"\\\b\f\n\r\t\u0001\u001f/\u007f\u00e4\u2028')).toBe(written);
});

describe('refused', () => {
  test.each<[string, Uint8Array | string, string]>([
    ['nothing', '', 'BAD_STRUCTURE'],
    ['half a value', '{"a":', 'BAD_STRUCTURE'],
    ['two values', '{} {}', 'BAD_STRUCTURE'],
    ['no UTF-8', Buffer.from('22ff22', 'hex'), 'BAD_STRUCTURE'],
    ['a byte order mark', '\ufeff{}', 'BAD_STRUCTURE'],
    ['33 levels', `${'['.repeat(33)}${']'.repeat(33)}`, 'LIMIT_EXCEEDED'],
    ['a quarter of a million levels', '[{"a":'.repeat(125000), 'LIMIT_EXCEEDED'],
    ['a byte too much', `"${'x'.repeat(limit - 1)}"`, 'LIMIT_EXCEEDED'],
    ['too much before decoding', new Uint8Array(limit + 1).fill(0xff), 'LIMIT_EXCEEDED'],
  ])('%s', (_what, text, code) => {
    expect(() => parseJson(text, 'it', limit)).toThrow(expect.objectContaining({ code }));
  });

  test('brackets in strings do not nest', () => {
    const text = JSON.stringify([`\\"${'['.repeat(100)}`, '{'.repeat(100)]);
    expect(JSON.stringify(parseJson(text, 'it', limit))).toBe(text);
    expect(parseJson(`${'['.repeat(32)}${']'.repeat(32)}`, 'it', limit)).toBeInstanceOf(Array);
  });
});
