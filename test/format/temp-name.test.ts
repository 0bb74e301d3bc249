import { expect, test } from 'vitest';
import { archiveKind } from '../../src/format/archive-name.js';
import { parseChunkName } from '../../src/format/chunk-path.js';
import { indexTempName, replacementTempName } from '../../src/format/temp-name.js';

const zeroChunk = 'bb9f8df61474d25e71fa00722318cd387396ca1736605e1248821cc0de3d3af8';

/** Section 1.6. */
test.each([
  ['a.img.fidx', 'a.img.tmp_fidx'],
  ['a.pxar.didx', 'a.pxar.tmp_didx'],
])('an index %s grows as %s', (name, temp) => {
  expect(indexTempName(name)).toBe(temp);
  expect(archiveKind(temp)).toBeUndefined();
});

test.each([
  ['index.json.blob', 'index.json'],
  ['NAME.conf.blob', 'NAME.conf'],
  ['client.log.blob', 'client.log'],
  [zeroChunk, zeroChunk],
  ['notes', 'notes'],
  ['.gc-status', '.gc-status'],
  ['.lock', '.lock'],
  ['host-one', 'host-one'],
  ['host-a.b', 'host-a'],
])('%s is replaced by %s.tmp_XXXXXX', (name, stem) => {
  const temp = replacementTempName(name);
  expect(temp.slice(0, -6)).toBe(`${stem}.tmp_`);
  expect(temp.slice(-6)).toMatch(/^[A-Za-z0-9]{6}$/);
  expect(archiveKind(temp)).toBeUndefined();
  expect(parseChunkName(temp)).toBeUndefined();
});

test('two writers do not meet', () => {
  expect(new Set(Array.from({ length: 100 }, () => replacementTempName('notes'))).size).toBe(100);
});
