/** Archives of real directories: everything in them comes out as it was, and what cannot be had is told. */
import { describe, expect, test } from 'vitest';
import { ArchiveMaker, describeArchive, describeTree } from '../support/archived-trees.js';
import { makeOddTree } from '../support/odd-trees.js';
import { Random, seed } from '../support/random.js';
import { scratchDirectory } from '../support/scratch.js';
import { newShelf } from '../support/streams.js';

const maker = new ArchiveMaker(newShelf());

describe(`odd trees (seed ${seed})`, () => {
  test.each([0, 1, 2, 3])('come out as they were, %i', async (n) => {
    const root = scratchDirectory();
    makeOddTree(root, new Random(seed + n));
    const expected = describeTree(root);
    for (const format of ['legacy', 'split'] as const) {
      const made = await maker.make(root, { format });
      expect(made.warnings).toEqual([]);
      const archived = describeArchive(made);
      expect(archived).toEqual(expected);
      expect([...archived.keys()]).toEqual([...expected.keys()]);
    }
  });
});
