/** Hard links found by catalog and by walking, and catalogs that are missing, damaged or lie. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { Catalog } from '../../src/archive/catalog.js';
import type { ChunkStream } from '../../src/archive/chunk-stream.js';
import { LinkCounts } from '../../src/archive/link-counts.js';
import { PxarTree, type NodeId } from '../../src/archive/pxar-tree.js';
import { PbsfsError } from '../../src/errors.js';
import { CatalogWriter } from '../../src/format/catalog-writer.js';
import { archiveOf, type Sketch } from '../support/archives.js';
import type { ExpectedEntry } from '../support/expected.js';
import { splitPath } from '../support/file-system-reader.js';
import { expectedLines, expectedPath, storePath } from '../support/fixtures.js';
import { Random, seed } from '../support/random.js';
import { bytesOf, newShelf, storedStream, streamOf } from '../support/streams.js';

const shelf = newShelf();
const sample = newShelf({ directory: storePath('sample') });

async function idOf(tree: PxarTree, path: Buffer): Promise<NodeId> {
  let id = tree.root;
  for (const name of splitPath(path)) id = (await tree.lookup(id, name))?.id ?? -1;
  return id;
}

function opener(stream: ChunkStream | undefined): () => Promise<ChunkStream | undefined> {
  return () => Promise.resolve(stream);
}

const legacy: [snapshot: string, archive: string][] = [
  ['ct/113/2021-05-24T16:41:32Z', 'root'],
  ['ct/113/2021-05-28T03:10:07Z', 'root'],
  ['host/odd/2021-05-25T08:00:00Z', 'odd'],
  ['host/odd/2021-05-25T08:00:00Z', 'odd-btrfs'],
  ['host/odd/2021-05-25T08:00:00Z', 'odd-xfs'],
  ['ns/prod/host/web/2021-05-26T01:40:00Z', 'etc'],
];

describe.each(legacy)('%s/%s.pxar', (snapshot, archive) => {
  const expected = expectedLines<ExpectedEntry>('sample', `${snapshot}/${archive}.pxar.jsonl`);
  const links = expected.filter(({ link_to }) => link_to !== undefined);
  const catalog = (): ChunkStream => storedStream(sample, `${snapshot}/catalog.pcat1.didx`);

  test('the catalog names its hard links', async () => {
    const found = await new Catalog(catalog()).hardlinks(`${archive}.pxar.didx`);
    const paths = found.map((names) => Buffer.concat(names.flatMap((name, i) => (i === 0 ? [name] : [Buffer.from('/'), name]))).toString('base64'));
    expect(paths.sort()).toEqual(links.map(({ path }) => path).sort());
  });

  test('files have as many links as the source had', async () => {
    const tree = await PxarTree.open({ meta: storedStream(sample, `${snapshot}/${archive}.pxar.didx`), payload: undefined });
    const counts = new LinkCounts(tree, `${archive}.pxar.didx`, opener(catalog()));
    expect(counts.complete).toBe(false);
    await counts.settle('one');
    expect(counts.complete).toBe(true);
    for (const { type, path, nlink, name } of expected.filter((line) => line.type === 'file')) {
      expect(counts.of(await idOf(tree, Buffer.from(path, 'base64'))), `${type} ${name}`).toBe(nlink ?? 1);
    }
  });
});

test('every table of a catalog is found, its root table last', async () => {
  const catalog = new Catalog(storedStream(sample, 'host/odd/2021-05-25T08:00:00Z/catalog.pcat1.didx'));
  const kinds = { directory: 0, others: 0 };
  let last = 0;
  for await (const { position, entries } of catalog.tables()) {
    last = position;
    for (const { kind } of entries) kinds[kind === 'directory' ? 'directory' : 'others']++;
  }
  expect(last).toBe(await catalog.rootPosition());
  const lines = readFileSync(expectedPath('sample', 'host/odd/2021-05-25T08:00:00Z/catalog.txt'), 'latin1').trim().split('\n');
  expect(kinds.directory).toBe(lines.filter((line) => line.startsWith('d ')).length);
  expect(kinds.directory + kinds.others).toBe(lines.length);
});

const sketch: Sketch = { a: { file: 'x', other: 'y' }, b: { one: { linkTo: 'a/file' }, two: { linkTo: 'a/file' } }, c: { linkTo: 'a/other' } };

async function counted(version: 1 | 2, catalog: (made: ReturnType<typeof archiveOf>) => ChunkStream | undefined): Promise<number[]> {
  const made = archiveOf(sketch, version);
  const tree = await PxarTree.open({ meta: streamOf(shelf, made.meta), payload: made.payload && streamOf(shelf, made.payload) });
  const counts = new LinkCounts(tree, 'root.pxar.didx', opener(catalog(made)));
  await counts.settle('all');
  expect(counts.complete).toBe(true);
  const ids = await Promise.all(['a/file', 'b/two', 'a/other', 'c'].map((path) => idOf(tree, Buffer.from(path))));
  return ids.map((id) => counts.of(id));
}

test('version 1 with its catalog, version 2 without', async () => {
  expect(await counted(1, ({ catalog }) => streamOf(shelf, catalog))).toEqual([3, 3, 2, 2]);
  expect(await counted(2, () => undefined)).toEqual([3, 3, 2, 2]);
});

function catalogOf(write: (writer: CatalogWriter) => void, archive = 'root.pxar.didx'): ChunkStream {
  const parts: Buffer[] = [];
  const writer = new CatalogWriter((bytes) => parts.push(bytes));
  writer.openDirectory(Buffer.from(archive));
  write(writer);
  writer.closeDirectory();
  writer.finish();
  return streamOf(shelf, Buffer.concat(parts));
}

test('a catalog that names links which are none counts none of them', async () => {
  const lies = catalogOf((writer) => {
    writer.openDirectory(Buffer.from('a'));
    writer.add({ kind: 'hardlink', name: Buffer.from('file') });
    writer.add({ kind: 'hardlink', name: Buffer.from('nothing') });
    writer.closeDirectory();
    writer.openDirectory(Buffer.from('nowhere'));
    writer.add({ kind: 'hardlink', name: Buffer.from('x') });
    writer.closeDirectory();
    writer.add({ kind: 'hardlink', name: Buffer.from('a') });
    writer.add({ kind: 'hardlink', name: Buffer.from('c') });
  });
  expect(await counted(1, () => lies)).toEqual([1, 1, 2, 2]);
});

test('a catalog that has a file as a directory stops the counting, not the reading', async () => {
  const lies = catalogOf((writer) => {
    writer.openDirectory(Buffer.from('c'));
    writer.add({ kind: 'hardlink', name: Buffer.from('x') });
    writer.closeDirectory();
  });
  expect((await counted(1, () => lies)).every((count) => count >= 1)).toBe(true);
});

test('a catalog of other archives says nothing', async () => {
  const other = catalogOf((writer) => {
    writer.add({ kind: 'hardlink', name: Buffer.from('c') });
  }, 'other.pxar.didx');
  expect(await counted(1, () => other)).toEqual([1, 1, 1, 1]);
});

test(`damaged catalogs: links are counted or not, nothing throws (seed ${seed})`, async () => {
  const { catalog } = archiveOf(sketch);
  const stored = await bytesOf(storedStream(sample, 'ct/113/2021-05-24T16:41:32Z/catalog.pcat1.didx'));
  const numbers = new Random(seed);
  for (let round = 0; round < 150; round++) {
    const source = numbers.pick([catalog, stored]);
    const bytes = Buffer.from(source.subarray(0, numbers.below(3) === 0 ? 1 + numbers.below(source.length) : source.length));
    for (let flips = numbers.below(4); flips > 0; flips--) {
      const at = numbers.below(bytes.length);
      bytes[at] = (bytes[at] ?? 0) ^ (1 << numbers.below(8));
    }
    const damaged = streamOf(shelf, bytes);
    try {
      await new Catalog(damaged).hardlinks('root.pxar.didx');
    } catch (error) {
      if (!(error instanceof PbsfsError)) throw error;
    }
    if (round % 10 === 0) expect((await counted(1, () => damaged)).every((count) => count >= 1 && count <= 3)).toBe(true);
  }
});
