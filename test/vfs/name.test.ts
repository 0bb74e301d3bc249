import { execFileSync } from 'node:child_process';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { nameText, printableName } from '../../src/vfs/name.js';

test('plain names are printed as they are', () => {
  for (const name of ['etc', 'a b', "it's", '\u00e4-\u0394', '$x', 'a\\b']) expect(printableName(Buffer.from(name))).toBe(name);
});

test('control characters, escapes of terminals, directions and bytes that are no text are escaped', () => {
  expect(printableName(Buffer.from('a\nb'))).toBe("$'a\\x0ab'");
  expect(printableName(Buffer.from('\u001b[31m'))).toBe("$'\\x1b[31m'");
  expect(printableName(Buffer.from('\u202eabc'))).toBe("$'\\xe2\\x80\\xaeabc'");
  expect(printableName(Buffer.from([0x61, 0xff, 0x27, 0x5c]))).toBe("$'a\\xff\\'\\\\'");
  expect(nameText(Buffer.from([0xff]))).toBeUndefined();
});

test('bash reads an escaped name back to its bytes', () => {
  const seed = Date.now() & 0x7fffffff;
  const name = fc.uint8Array({ minLength: 1, maxLength: 40 }).filter((bytes) => !bytes.includes(0) && nameText(bytes) === undefined);
  const property = fc.property(fc.array(name, { minLength: 1, maxLength: 20 }), (names) => {
    const script = `printf '%s\\0' ${names.map((bytes) => printableName(bytes)).join(' ')}`;
    const expected = Buffer.concat(names.flatMap((bytes) => [Buffer.from(bytes), Buffer.from([0])]));
    expect(execFileSync('bash', ['-c', script])).toEqual(expected);
  });
  fc.assert(property, { seed, numRuns: 20, verbose: 1 });
});
