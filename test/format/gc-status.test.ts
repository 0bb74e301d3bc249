import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { encodeGcStatus, parseGcStatus, type GcStatus } from '../../src/format/gc-status.js';
import { damages, resultOrCode } from '../support/damage.js';
import { Random, seed } from '../support/random.js';
import { expectedStore, fixtureStores, readStored } from '../support/stored-files.js';

/** Section 7.5. */
const example =
  '{"upid":"UPID:pbs1:000004D2:0008AA52:00000007:6553F100:garbage_collection:store1:root@pam:","index-file-count":2,' +
  '"index-data-bytes":9437184,"disk-bytes":4456,"disk-chunks":2,"removed-bytes":0,"removed-chunks":0,"pending-bytes":0,' +
  '"pending-chunks":0,"removed-bad":0,"still-bad":0}';

test('the example', () => {
  const status = parseGcStatus(Buffer.from(example));
  expect(status).toMatchObject({ indexFileCount: 2, indexDataBytes: 9437184, diskBytes: 4456, diskChunks: 2 });
  expect(status.cacheStats).toBeUndefined();
  expect(encodeGcStatus(status).toString()).toBe(example);
});

test.each(fixtureStores)('of %s', (store) => {
  const bytes = readStored(store, '.gc-status');
  const encoded = encodeGcStatus(parseGcStatus(bytes));
  expect(encoded).toEqual(bytes);
  expect(JSON.parse(encoded.toString())).toEqual(expectedStore(store).gc_status);
});

test('any status comes back', () => {
  const count = fc.maxSafeNat();
  const any: fc.Arbitrary<GcStatus> = fc.record(
    {
      upid: fc.option(fc.string(), { nil: undefined }),
      indexFileCount: count,
      indexDataBytes: count,
      diskBytes: count,
      diskChunks: count,
      removedBytes: count,
      removedChunks: count,
      pendingBytes: count,
      pendingChunks: count,
      removedBad: count,
      stillBad: count,
      cacheStats: fc.record({ hits: count, misses: count }),
    },
    {
      requiredKeys: [
        'upid',
        'indexFileCount',
        'indexDataBytes',
        'diskBytes',
        'diskChunks',
        'removedBytes',
        'removedChunks',
        'pendingBytes',
        'pendingChunks',
        'removedBad',
        'stillBad',
      ],
    },
  );
  fc.assert(
    fc.property(any, (status) => {
      expect(parseGcStatus(encodeGcStatus(status))).toEqual(status);
    }),
  );
});

describe('damage', () => {
  test.each([
    ['nothing', '', 'BAD_STRUCTURE'],
    ['a missing counter', example.replace('"disk-chunks":2,', ''), 'BAD_STRUCTURE'],
    ['a negative counter', example.replace('"disk-chunks":2', '"disk-chunks":-2'), 'BAD_STRUCTURE'],
    ['a file too large', ' '.repeat(64 * 1024 + 1), 'LIMIT_EXCEEDED'],
  ])('%s', (_what, text, code) => {
    expect(() => parseGcStatus(Buffer.from(text))).toThrow(expect.objectContaining({ code }));
  });

  test(`anywhere, seed ${seed}`, () => {
    for (const { what, bytes } of damages(readStored('vault', '.gc-status'), 500, new Random(seed))) {
      resultOrCode(what, () => parseGcStatus(bytes));
    }
  });
});
