/** Whatever tree is written, both readers give it back. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { PxarEntry } from '../../../src/format/pxar/entry.js';
import { decodeName } from '../../../src/format/pxar/entry-decoder.js';
import { encodeName } from '../../../src/format/pxar/entry-encoder.js';
import { PxarScanner } from '../../../src/format/pxar/scanner.js';
import { seed } from '../../support/random.js';
import { contentOf, scan, scanByNeed, walk } from './streams.js';
import { names, trees, writeTree, type Expected } from './trees.js';
import { write } from './vectors.js';

it.each([1, 2] as const)('version %i', (version) => {
  fc.assert(
    fc.property(
      trees,
      fc.option(fc.constant(Buffer.from('{"exclude-patterns":"a\\n"}')), { nil: undefined }),
      (tree, prelude) => {
        let expected: Expected[] = [];
        const { meta, payload } = write(version, prelude, (streams) => {
          const made = writeTree(streams, tree);
          expected = made.expected;
          return made.writer;
        });
        const found = [...walk(meta)];
        const read = found.map(({ path, entry, itemsEnd }) => ({
          path,
          entry: withoutContent(entry),
          data: entry.kind === 'file' ? contentOf(entry, itemsEnd, meta, payload) : undefined,
        }));
        expect(read).toEqual(expected);
        for (const { entry, namePosition } of found) {
          if (entry.hardlink === undefined) continue;
          const target = found.find((other) => other.namePosition === namePosition - (entry.hardlink?.distance ?? 0));
          expect(target?.path).toEqual(entry.hardlink.target);
        }
        const events = [...scan(meta)];
        const scanned = events.flatMap((event) => (event.type === 'entry' ? [withoutContent(event.entry)] : []));
        expect(scanned).toEqual(expected.map(({ entry }) => entry));
        expect([...scanByNeed(meta)]).toEqual(events);
        for (const { entry, entryPosition, goodbyePosition } of found) {
          if (entry.kind !== 'directory') continue;
          const part = [...scan(meta, new PxarScanner({ entryPosition }))];
          expect(part.at(-1)).toMatchObject({ type: 'directoryEnd', depth: 0, entryPosition, goodbyePosition });
        }
      },
    ),
    { seed, numRuns: 150 },
  );
});

it('names', () => {
  fc.assert(
    fc.property(names, (name) => {
      expect(decodeName(encodeName(name))).toEqual({ value: name, bytes: 17 + name.length });
    }),
    { seed },
  );
});

function withoutContent({ content: _content, ...rest }: PxarEntry): Omit<PxarEntry, 'content'> {
  return rest;
}
