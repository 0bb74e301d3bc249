import fc from 'fast-check';
import { expect, test } from 'vitest';
import { commentOf, encodeNotes, notesBytesMax, parseNotes } from '../../src/format/notes.js';
import { expectedStore, readStored } from '../support/stored-files.js';

test('of the group that has some', () => {
  const groups = expectedStore('sample').groups.filter(({ notes }) => notes !== undefined);
  expect(groups.map(({ type, id }) => `${type}/${id}`)).toEqual(['vm/120']);
  for (const { type, id, notes = '' } of groups) {
    const bytes = readStored('sample', type, id, 'notes');
    expect(parseNotes(bytes)).toBe(notes);
    expect(encodeNotes(notes)).toEqual(bytes);
    expect(commentOf(notes)).toBe('Sample machine with two disks');
  }
});

test('any text comes back, also with a byte order mark or without anything', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), (notes) => {
      expect(parseNotes(encodeNotes(notes))).toBe(notes);
    }),
    { examples: [[''], ['\ufeffx'], ['a\r\nb\n']] },
  );
});

test.each([
  ['', ''],
  ['one', 'one'],
  ['one\ntwo', 'one'],
  ['one\r\ntwo', 'one'],
  ['\ntwo', ''],
])('the comment of %j', (notes, comment) => {
  expect(commentOf(notes)).toBe(comment);
});

test('neither other bytes nor a large file', () => {
  expect(() => parseNotes(Buffer.from('c3', 'hex'))).toThrow(expect.objectContaining({ code: 'BAD_STRUCTURE' }));
  expect(() => parseNotes(Buffer.alloc(notesBytesMax + 1))).toThrow(expect.objectContaining({ code: 'LIMIT_EXCEEDED' }));
});
