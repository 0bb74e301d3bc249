import { describe, expect, test } from 'vitest';
import { chunkPath, parseChunkName } from '../../src/format/chunk-path.js';
import { fixtureStores, storedPaths } from '../support/stored-files.js';

const zeroChunk = 'bb9f8df61474d25e71fa00722318cd387396ca1736605e1248821cc0de3d3af8';

describe.each(fixtureStores)('chunks of %s', (store) => {
  test('lie where their digest says', () => {
    const paths = storedPaths(store, /^\.chunks\/.*\/./);
    expect(paths.length).toBeGreaterThan(0);
    for (const path of paths) expect(chunkPath(parseChunkName(path.slice(-64)) ?? Buffer.alloc(0))).toBe(path);
  });
});

test('the zero chunk', () => {
  const digest = Buffer.from(zeroChunk, 'hex');
  expect(chunkPath(digest)).toBe(`.chunks/bb9f/${zeroChunk}`);
  expect(parseChunkName(zeroChunk)).toEqual(digest);
});

test.each([`${zeroChunk}.0.bad`, `${zeroChunk}.tmp_abcdef`, zeroChunk.toUpperCase(), zeroChunk.slice(1), `${zeroChunk}\n`, ''])(
  '%j is no chunk',
  (name) => {
    expect(parseChunkName(name)).toBeUndefined();
  },
);

test('a digest of another length has no path', () => {
  expect(() => chunkPath(Buffer.alloc(31))).toThrow(expect.objectContaining({ code: 'BAD_STRUCTURE' }));
});
