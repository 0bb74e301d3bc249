/**
 * Each chunk of a copied store damaged in turn: the files whose bytes it has can't be read, all others are as they were, and it is told
 * once. (Which chunks a path needs to be found is the matter of archive/damage.test.ts.)
 */
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { codeOf } from '../../src/errors.js';
import type { ChunkIndex } from '../../src/format/chunk-index.js';
import { chunkPath } from '../../src/format/chunk-path.js';
import { parseDynamicIndex } from '../../src/format/dynamic-index.js';
import { parseFixedIndex } from '../../src/format/fixed-index.js';
import { encodeManifest } from '../../src/format/manifest.js';
import { errnoOf } from '../../src/vfs/errno.js';
import type { DatastoreTree } from '../../src/tree/datastore-tree.js';
import { archiveOf, placesOf, type Place, type Sketch } from '../support/archives.js';
import { encodeBlob } from '../support/chunks.js';
import { entryAt, namesOf, readAll, sha256, splitPath } from '../support/file-system-reader.js';
import { noise } from '../support/random.js';
import { copyOfStore, scratchDirectory } from '../support/scratch.js';
import { bytesOf, dynamicIndexOf, newShelf, storedStream } from '../support/streams.js';
import { openTree } from '../support/trees.js';

const eio = 5;
const damages: [string, (path: string) => void][] = [
  ['deleted', (path) => rmSync(path)],
  ['with a bit flipped', (path) => flip(path)],
  ['cut', (path) => writeFileSync(path, readFileSync(path).subarray(0, -1))],
  ['empty', (path) => writeFileSync(path, '')],
];

function flip(path: string): void {
  const bytes = readFileSync(path);
  const at = Math.floor(bytes.length / 2);
  bytes[at] = (bytes[at] ?? 0) ^ 0x10;
  writeFileSync(path, bytes);
}

interface StoredFile {
  readonly path: string;
  /** Where its bytes are in the stream of chunks. */
  readonly start: number;
  readonly end: number;
  readonly sha256: string;
}

interface Archive {
  readonly shown: string;
  readonly indexPath: string;
  readonly index: ChunkIndex;
  readonly files: readonly StoredFile[];
  /** Ranges of everything that is not content. */
  readonly isMetadata: (start: number, end: number) => boolean;
}

const store = copyOfStore('sample');

function indexAt(path: string): ChunkIndex {
  const bytes = readFileSync(join(store, path));
  return path.endsWith('.fidx') ? parseFixedIndex(bytes) : parseDynamicIndex(bytes);
}

async function archiveAt(indexPath: string, shown: string): Promise<Archive> {
  const shelf = newShelf({ directory: store });
  const index = indexAt(indexPath);
  const bytes = await bytesOf(storedStream(shelf, indexPath));
  if (indexPath.endsWith('.fidx')) {
    const files = [{ path: '', start: 0, end: bytes.length, sha256: sha256(bytes) }];
    return { shown, indexPath, index, files, isMetadata: () => false };
  }
  const split = indexPath.endsWith('.ppxar.didx');
  const meta = split ? await bytesOf(storedStream(shelf, indexPath.replace('.ppxar', '.mpxar'))) : bytes;
  const places = placesOf(meta);
  const files = places.filter(({ event }) => event.entry.kind === 'file').map((place) => fileOf(place, bytes));
  const isMetadata = (start: number, end: number): boolean => {
    if (split) return false;
    const content = files.reduce((sum, file) => sum + Math.max(Math.min(file.end, end) - Math.max(file.start, start), 0), 0);
    return content < end - start;
  };
  return { shown, indexPath, index, files, isMetadata };
}

function fileOf({ path, event }: Place, bytes: Buffer): StoredFile {
  const { content } = event.entry;
  if (content === undefined) throw new Error(`${path} is no file`);
  const start = content.where === 'inline' ? event.endPosition - content.size : content.offset + 16;
  const end = start + content.size;
  return { path, start, end, sha256: sha256(bytes.subarray(start, end)) };
}

async function read(fs: DatastoreTree, shown: string, path: string): Promise<string> {
  try {
    const root = await entryAt(fs, namesOf(shown));
    const entry = await entryAt(fs, splitPath(Buffer.from(path, 'latin1')), root.attributes.ino);
    return sha256(await readAll(fs, entry.attributes.ino, 4 << 20));
  } catch (error) {
    if (errnoOf(error) !== eio) throw error;
    return codeOf(error) ?? 'unknown';
  }
}

const sources: [indexPath: string, shown: string][] = [
  ['ct/113/2021-05-24T16:41:32Z/root.pxar.didx', 'ct/113/2021-05-24T16:41:32Z/root.pxar'],
  ['host/odd/2021-05-25T08:00:00Z/odd.pxar.didx', 'host/odd/2021-05-25T08:00:00Z/odd.pxar'],
  ['host/split/2021-05-26T20:00:00Z/data.ppxar.didx', 'host/split/2021-05-26T20:00:00Z/data.pxar'],
  ['ns/prod/vm/200/2021-05-26T01:30:00Z/drive-virtio0.img.fidx', 'ns/prod/vm/200/2021-05-26T01:30:00Z/drive-virtio0.img'],
];

describe.each(sources)('%s', (indexPath, shown) => {
  let archive: Archive;
  beforeAll(async () => {
    archive = await archiveAt(indexPath, shown);
  });

  test('each chunk damaged in turn', async () => {
    const digests = new Map(Array.from({ length: archive.index.count }, (_, n) => [archive.index.digestAt(n).toString('hex'), n]));
    let damaged = 0;
    for (const [hex, n] of digests) {
      const start = archive.index.startOf(n);
      const end = archive.index.endOf(n);
      const path = join(store, chunkPath(Buffer.from(hex, 'hex')));
      const before = readFileSync(path);
      const [name, damage] = damages[damaged++ % damages.length] ?? ['', () => undefined];
      damage(path);
      const { fs, log } = await openTree(store);
      const spans = archive.index.chunksOf(Buffer.from(hex, 'hex')).map((i) => ({ start: archive.index.startOf(i), end: archive.index.endOf(i) }));
      const touches = (file: StoredFile): boolean => file.start < file.end && spans.some((span) => file.start < span.end && span.start < file.end);
      const where = `chunk ${n} ${name}`;
      const zero = indexPath.endsWith('.fidx') && archive.index.digestAt(n).toString('hex').startsWith('bb9f8df6');
      for (const file of archive.files.filter((each, i) => touches(each) || i % 5 === 0)) {
        const found = await read(fs, shown, file.path);
        if (touches(file) && !zero) expect(found, `${where}: ${file.path}`).toMatch(/^CHUNK_(MISSING|CORRUPT)$/);
        // What lies in other chunks may still not be found if the chunk has tables and names.
        else if (!archive.isMetadata(start, end)) expect(found, `${where}: ${file.path}`).toBe(file.sha256);
        else expect([file.sha256, 'CHUNK_MISSING', 'CHUNK_CORRUPT'], `${where}: ${file.path}`).toContain(found);
      }
      expect(await read(fs, 'vm/120/2021-05-24T16:09:24Z/qemu-server.conf', '')).toMatch(/^[0-9a-f]{64}$/);
      const lines = (await readAll(fs, (await entryAt(fs, namesOf('.pbsfs/damaged.jsonl'))).attributes.ino)).toString().split('\n').slice(0, -1);
      if (zero) expect(lines).toEqual([]);
      else {
        expect(lines.length, where).toBe(1);
        const told = JSON.parse(lines[0] ?? '') as { digest: string; affects: { path: string; ranges: unknown[] }[] };
        expect(told.digest).toBe(hex);
        expect(told.affects.find((each) => each.path === indexPath)?.ranges).toEqual(spans);
        expect(log.filter((line) => line.includes(hex)), where).toHaveLength(1);
      }
      writeFileSync(path, before);
      await fs.close();
    }
    expect(damaged).toBeGreaterThan(0);
  });
});

/** A store with one snapshot of an archive that is cut into small chunks. */
function storeWith(sketch: Sketch, cuts: readonly number[]): { directory: string; index: ChunkIndex; places: Place[] } {
  const directory = join(scratchDirectory(), 'store');
  const snapshot = join(directory, 'host/made/2024-01-01T00:00:00Z');
  mkdirSync(snapshot, { recursive: true });
  const { meta, catalog } = archiveOf(sketch);
  const bytes = dynamicIndexOf(directory, meta, { cuts });
  const files = [
    ['root.pxar.didx', bytes],
    ['catalog.pcat1.didx', dynamicIndexOf(directory, catalog)],
  ] as const;
  for (const [name, content] of files) writeFileSync(join(snapshot, name), content);
  const manifest = encodeManifest({
    backupType: 'host',
    backupId: 'made',
    backupTime: Date.parse('2024-01-01T00:00:00Z') / 1000,
    files: files.map(([filename, content]) => ({
      filename,
      cryptMode: 'none',
      size: parseDynamicIndex(content).size,
      csum: createHash('sha256').update(content.subarray(4096)).digest('hex'),
    })),
    signature: undefined,
    unprotected: {},
  });
  writeFileSync(join(snapshot, 'index.json.blob'), encodeBlob(manifest));
  return { directory, index: parseDynamicIndex(bytes), places: placesOf(meta) };
}

test('a listing of which some children are lost gives all others, then the error', async () => {
  const sketch = Object.fromEntries(Array.from({ length: 200 }, (_, i) => [`file ${String(i).padStart(3, '0')}`, noise(`${i}`, 100)]));
  const { directory, index, places } = storeWith({ dir: sketch }, [1000]);
  const lost = [3, 4, 11];
  for (const n of lost) rmSync(join(directory, chunkPath(index.digestAt(n))));
  const { fs, log } = await openTree(directory);
  const { attributes } = await entryAt(fs, namesOf('host/made/2024-01-01T00:00:00Z/root.pxar/dir'));
  const listing = await fs.openDirectory(attributes.ino);
  const names: string[] = [];
  const failure = await (async () => {
    for (;;) {
      const more = await listing.read(names.length, 7);
      if (more.length === 0) return undefined;
      names.push(...more.map(({ name }) => name.toString()));
    }
  })().catch(codeOf);
  const isWhole = ({ event }: Place): boolean => {
    const first = index.chunkAt(event.namePosition);
    const last = index.chunkAt(event.endPosition - 100 - 1);
    return !lost.some((n) => n >= first && n <= last);
  };
  const expected = places.filter(({ path }) => path.startsWith('dir/')).filter(isWhole).map(({ path }) => path.slice(4));
  expect(names).toEqual(expected);
  expect(names.length).toBeLessThan(200);
  expect(failure).toBe('CHUNK_MISSING');
  expect(log.filter((line) => line.includes('is missing'))).toHaveLength(3);
});

test('a directory of which a chunk with 36,000 entries is lost gives the others soon', async () => {
  const sketch = Object.fromEntries(Array.from({ length: 50_000 }, (_, i) => [`${i}`, '']));
  const { directory, index, places } = storeWith({ dir: sketch }, [200, 1 << 22]);
  rmSync(join(directory, chunkPath(index.digestAt(1))));
  const { fs } = await openTree(directory);
  const { attributes } = await entryAt(fs, namesOf('host/made/2024-01-01T00:00:00Z/root.pxar/dir'));
  const listing = await fs.openDirectory(attributes.ino);
  let count = 0;
  const failure = await (async () => {
    for (;;) {
      const more = await listing.read(count, 1000);
      if (more.length === 0) return 'no failure';
      count += more.length;
    }
  })().catch(codeOf);
  expect(failure).toBe('CHUNK_MISSING');
  const whole = places.filter(({ path, event }) => path.startsWith('dir/') && index.chunkAt(event.namePosition) > 1);
  expect(count).toBe(whole.length);
  expect(count).toBeLessThan(14_000);
});
