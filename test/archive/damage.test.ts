/**
 * Opening a file reads the chunks on its path and no others: shown by taking every other chunk away, and by taking each chunk away
 * in turn. What a path needs is worked out from where a walk from front to back finds things.
 */
import { renameSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { PxarTree, type PxarChild } from '../../src/archive/pxar-tree.js';
import { codeOf } from '../../src/errors.js';
import { chunkPath } from '../../src/format/chunk-path.js';
import { parseDynamicIndex } from '../../src/format/dynamic-index.js';
import { archiveOf, fifo, placesOf, type MadeArchive, type Place, type Sketch } from '../support/archives.js';
import { splitPath } from '../support/file-system-reader.js';
import { storePath } from '../support/fixtures.js';
import { noise, Random, seed } from '../support/random.js';
import { bytesOf, dynamicIndexOf, newShelf, storedStream, streamOver, type Shelf } from '../support/streams.js';

const headerBytes = 16;
/** The header of the root's entry, in version 2 after the item with the version. */
const preambleBytes = 40;

interface Span {
  readonly stream: 'meta' | 'payload';
  readonly start: number;
  readonly end: number;
}

interface Needs {
  readonly path: string;
  readonly kind: string;
  /** To find it and to know its attributes; to read its content. */
  readonly spans: readonly Span[];
}

function entrySpan({ event }: Place): Span {
  const { kind } = event.entry;
  // What ends the entry of these is the header of what follows.
  const further = kind === 'directory' || kind === 'fifo' || kind === 'socket' ? headerBytes : 0;
  return { stream: 'meta', start: event.namePosition, end: event.endPosition + further };
}

/** For each path what has to be read for it. */
function needsOf(meta: Buffer): Needs[] {
  const places = placesOf(meta);
  const byPath = new Map(places.map((place) => [place.path, place]));
  const byPosition = new Map(places.map((place) => [place.event.namePosition, place]));
  return places.slice(1).map((place): Needs => {
    const spans: Span[] = [{ stream: 'meta', start: 0, end: preambleBytes }];
    const names = place.path.split('/');
    for (let depth = 0; depth < names.length; depth++) {
      const directory = byPath.get(names.slice(0, depth).join('/'));
      if (directory?.table === undefined) throw new Error(`${place.path} has no directory`);
      spans.push({ stream: 'meta', ...directory.table });
      if (depth > 0) spans.push(entrySpan(directory));
    }
    spans.push(entrySpan(place));
    const { entry, namePosition } = place.event;
    const target = entry.hardlink === undefined ? place : byPosition.get(namePosition - entry.hardlink.distance);
    if (target === undefined) throw new Error(`${place.path} links to nothing`);
    if (target !== place) spans.push(entrySpan(target));
    const { content } = target.event.entry;
    if (content?.where === 'payload') spans.push({ stream: 'payload', start: content.offset, end: content.offset + headerBytes + content.size });
    return { path: place.path, kind: target.event.entry.kind, spans };
  });
}

interface Cut {
  readonly shelf: Shelf;
  readonly open: () => Promise<PxarTree>;
  /** Files of the chunks that these spans touch. */
  readonly chunksOf: (spans: readonly Span[]) => Set<string>;
  readonly chunks: readonly string[];
}

/** The archive cut into chunks, with streams that are new each time: nothing is remembered from one look to the next. */
function cut({ meta, payload }: Pick<MadeArchive, 'meta' | 'payload'>, cuts: readonly number[], payloadCuts = cuts): Cut {
  const shelf = newShelf();
  const index = { meta: parseDynamicIndex(dynamicIndexOf(shelf.directory, meta, { cuts })), payload: payload && parseDynamicIndex(dynamicIndexOf(shelf.directory, payload, { cuts: payloadCuts })) };
  const fileOf = (stream: Span['stream'], n: number): string => join(shelf.directory, chunkPath(index[stream]?.digestAt(n) ?? Buffer.alloc(0)));
  const chunksOf = (spans: readonly Span[]): Set<string> => {
    const files = new Set<string>();
    for (const { stream, start, end } of spans) {
      const own = index[stream];
      if (own === undefined) throw new Error(`there is no ${stream}`);
      for (let n = own.chunkAt(start); n <= own.chunkAt(Math.min(end, own.size) - 1); n++) files.add(fileOf(stream, n));
    }
    return files;
  };
  const everything: Span[] = [{ stream: 'meta', start: 0, end: meta.length }];
  if (payload !== undefined) everything.push({ stream: 'payload', start: 0, end: payload.length });
  const open = (): Promise<PxarTree> => {
    const fresh = newShelfOver(shelf);
    return PxarTree.open({ meta: streamOver(fresh, index.meta), payload: index.payload && streamOver(fresh, index.payload) });
  };
  return { shelf, open, chunksOf, chunks: [...chunksOf(everything)] };
}

/** One cache per round, so that what was decoded before a chunk went away is not at hand. */
const current = new Map<Shelf, Shelf>();
function newShelfOver(shelf: Shelf): Shelf {
  let own = current.get(shelf);
  if (own === undefined) {
    own = newShelf({ directory: shelf.directory, workers: 1, cacheBytesMax: 16 << 20 });
    current.set(shelf, own);
  }
  return own;
}

/** Finds `path` and reads it; the code of the error if there was one. */
async function look(tree: PxarTree, path: string): Promise<string | undefined> {
  try {
    let id = tree.root;
    let child: PxarChild | undefined;
    for (const name of splitPath(Buffer.from(path, 'latin1'))) {
      child = await tree.lookup(id, name);
      if (child === undefined) return 'not found';
      ({ id } = child);
    }
    if (child?.entry.kind !== 'file') return undefined;
    const { stream, offset, size } = await tree.content(child);
    await bytesOf(stream, offset, size);
    return undefined;
  } catch (error) {
    return codeOf(error) ?? String(error);
  }
}

const numbers = new Random(seed);
const sketch: Sketch = Object.fromEntries([
  ...Array.from({ length: 12 }, (_, i) => [`dir ${i}`, Object.fromEntries(Array.from({ length: 8 }, (__, j) => [`file ${j}`, noise(`${i} ${j}`, numbers.below(3000))]))] as const),
  ['deep', { er: { est: { file: noise('deep', 700), pipe: fifo, link: { to: 'file' } } } }],
  ['hard', { linkTo: 'dir 3/file 5' }],
  ['pipe', fifo],
]);
const cuts = Array.from({ length: 400 }, () => 500 + numbers.below(6000));
const sample = newShelf({ directory: storePath('sample') });
const stored = async (name: string): Promise<Buffer> => bytesOf(storedStream(sample, name));
const container = await stored('ct/113/2021-05-24T16:41:32Z/root.pxar.didx');
const split = { meta: await stored('host/split/2021-05-25T20:00:00Z/data.mpxar.didx'), payload: await stored('host/split/2021-05-25T20:00:00Z/data.ppxar.didx') };

describe.each([
  ['a made archive of version 1', cut(archiveOf(sketch, 1), cuts), archiveOf(sketch, 1).meta],
  ['a made archive of version 2', cut(archiveOf(sketch, 2), cuts), archiveOf(sketch, 2).meta],
  ['the container of the fixtures', cut({ meta: container, payload: undefined }, [Math.ceil(container.length / 24)]), container],
  ['the split archive of the fixtures', cut(split, [Math.ceil(split.meta.length / 15)], [Math.ceil(split.payload.length / 15)]), split.meta],
])('%s', (_, archive, meta) => {
  const all = needsOf(meta);
  const needs = all.filter((__, i) => i % Math.ceil(all.length / 45) === 0);

  test(`each chunk lost in turn fails exactly what needs it (seed ${seed})`, async () => {
    expect(archive.chunks.length).toBeGreaterThan(20);
    for (const file of archive.chunks) {
      renameSync(file, `${file}.away`);
      current.delete(archive.shelf);
      const wrong: string[] = [];
      for (const { path, spans } of needs) {
        const expected = archive.chunksOf(spans).has(file) ? 'CHUNK_MISSING' : undefined;
        const tree = await archive.open().catch(codeOf);
        const found = typeof tree === 'object' ? await look(tree, path) : tree;
        if (found !== expected) wrong.push(`${path}: ${found ?? 'read'} instead of ${expected ?? 'read'}`);
      }
      renameSync(`${file}.away`, file);
      await current.get(archive.shelf)?.cache.close();
      expect(wrong, `without chunk ${archive.chunks.indexOf(file)}`).toEqual([]);
    }
  });

  test('with all other chunks taken away a file reads as before, and nothing else was decoded', async () => {
    const samples = needs.filter(({ kind }) => kind === 'file').filter((__, i, all) => i % Math.ceil(all.length / 8) === 0);
    for (const { path, spans } of samples) {
      const needed = archive.chunksOf(spans);
      const others = archive.chunks.filter((file) => !needed.has(file));
      for (const file of others) renameSync(file, `${file}.away`);
      current.delete(archive.shelf);
      expect(await look(await archive.open(), path), path).toBeUndefined();
      const { bytesDecoded, chunks } = newShelfOver(archive.shelf).cache.statistics();
      expect(chunks).toBeLessThanOrEqual(needed.size);
      expect(bytesDecoded).toBeGreaterThan(0);
      for (const file of others) renameSync(`${file}.away`, file);
      await current.get(archive.shelf)?.cache.close();
    }
    current.delete(archive.shelf);
  });
});
