import { randomBytes } from 'node:crypto';
import { expect, test } from 'vitest';
import { DigestSet } from '../../src/codec/digest-set.js';
import { noise } from '../support/random.js';

test('holds what was added, however many', () => {
  const set = new DigestSet();
  const bytes = noise('digests', 32 * 5000);
  const digests = Array.from({ length: 5000 }, (_, i) => bytes.subarray(i * 32, (i + 1) * 32));
  expect(set.has(digests[0] ?? Buffer.alloc(32))).toBe(false);
  for (const [i, digest] of digests.entries()) {
    expect(set.has(digest)).toBe(false);
    expect(set.add(digest)).toBe(true);
    expect(set.add(digest)).toBe(false);
    expect(set.size).toBe(i + 1);
  }
  expect(digests.every((digest) => set.has(digest))).toBe(true);
  expect(set.has(randomBytes(32))).toBe(false);
});

test('tells digests apart that begin alike, and zeros from nothing', () => {
  const set = new DigestSet();
  const alike = Array.from({ length: 700 }, (_, i) => {
    const digest = Buffer.alloc(32);
    digest.writeUInt16LE(i, 28);
    return digest;
  });
  for (const digest of alike) expect(set.add(digest)).toBe(true);
  for (const digest of alike) expect(set.add(digest)).toBe(false);
  expect(set.size).toBe(700);
});

test('does not keep the memory of what was added', () => {
  const set = new DigestSet();
  const digest = noise('changes', 32);
  set.add(digest);
  const before = Buffer.from(digest);
  digest.fill(0);
  expect([set.has(before), set.has(digest)]).toEqual([true, false]);
});

test('takes only digests', () => {
  expect(() => new DigestSet().add(Buffer.alloc(31))).toThrow(RangeError);
});
