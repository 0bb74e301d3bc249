/** What --salvage still gives of an archive that lost chunks: everything whose bytes are there, and a mark on what is not. */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { chunkPath } from '../../src/format/chunk-path.js';
import { openDatastore } from '../../src/store/open.js';
import { openDatastoreTree, type DatastoreTree } from '../../src/tree/datastore-tree.js';
import type { ExpectedEntry } from '../support/expected.js';
import { entryAt, listAll, namesOf, readAll, sha256, splitPath } from '../support/file-system-reader.js';
import { expectedLines, storePath } from '../support/fixtures.js';

const snapshot = { namespace: [], type: 'ct', id: '113', time: 1621874492 } as const;
const path = 'ct/113/2021-05-24T16:41:32Z/root.pxar';

let directory: string;
let log: string[];
let tree: DatastoreTree | undefined;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'pbsfs-salvage-'));
  cpSync(storePath('sample'), directory, { recursive: true });
  log = [];
});

afterEach(async () => {
  await tree?.close();
  rmSync(directory, { recursive: true, force: true });
});

async function openTree(salvage: boolean): Promise<DatastoreTree> {
  const store = await openDatastore(directory);
  tree = openDatastoreTree({ store, keys: [], namespace: [], cacheBytesMax: 64 << 20, salvage, log: (line) => log.push(line) });
  return tree;
}

/** Chunks of the archive, first to last. */
async function chunkFiles(): Promise<{ file: string; start: number; end: number }[]> {
  const store = await openDatastore(directory);
  const index = await store.index(snapshot, 'root.pxar.didx');
  return Array.from({ length: index.count }, (_, n) => ({
    file: join(directory, chunkPath(index.digestAt(n))),
    start: index.startOf(n),
    end: index.endOf(n),
  }));
}

async function foundFiles(fs: DatastoreTree): Promise<Map<string, number>> {
  const root = await entryAt(fs, namesOf(path));
  const found = new Map<string, number>();
  const open = [{ ino: root.attributes.ino, prefix: Buffer.alloc(0) }];
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    for (const child of await listAll(fs, next.ino)) {
      const name = Buffer.concat([next.prefix, child.name]);
      found.set(name.toString('base64'), child.ino);
      if (child.type === 0o040000) open.push({ ino: child.ino, prefix: Buffer.concat([name, Buffer.from('/')]) });
    }
  }
  return found;
}

test('the last chunk is lost, and with it the table of the root directory', async () => {
  const chunks = await chunkFiles();
  rmSync(chunks.at(-1)?.file ?? '');
  const strict = await openTree(false);
  const root = await entryAt(strict, namesOf(path));
  await expect(listAll(strict, root.attributes.ino)).rejects.toMatchObject({ code: 'CHUNK_MISSING' });
  expect(log.filter((line) => line.includes('root.pxar.didx'))).toHaveLength(1);
  await strict.close();

  const fs = await openTree(true);
  const found = await foundFiles(fs);
  const expected = expectedLines<ExpectedEntry>('sample', `${path}.jsonl`).slice(1);
  const files = expected.filter(({ type }) => type === 'file');
  let whole = 0;
  for (const line of files) {
    const ino = found.get(line.path);
    if (ino === undefined) continue;
    if (sha256(await readAll(fs, ino)) === line.sha256) whole++;
    else expect(await fs.getxattr(ino, Buffer.from('user.pbsfs.damaged')), line.name).toBeDefined();
  }
  const lostShare = ((chunks.at(-1)?.end ?? 0) - (chunks.at(-1)?.start ?? 0)) / (chunks.at(-1)?.end ?? 1);
  expect(whole / files.length).toBeGreaterThan(0.9 - lostShare);
  const damaged = await entryAt(fs, namesOf('.pbsfs/damaged.jsonl'));
  const lines = (await readAll(fs, damaged.attributes.ino)).toString().trim().split('\n');
  expect(lines).toHaveLength(1);
  expect(JSON.parse(lines[0] ?? '')).toMatchObject({ affects: [{ path: `${path}.didx`, ranges: [{ end: chunks.at(-1)?.end }] }] });
});

test('a chunk in the middle is lost: files of other chunks are whole, lost bytes are zeros and marked', async () => {
  const chunks = await chunkFiles();
  const middle = chunks[Math.floor(chunks.length / 2)] ?? { file: '', start: 0, end: 0 };
  writeFileSync(middle.file, Buffer.alloc(0));
  const fs = await openTree(true);
  const root = await entryAt(fs, namesOf(path));
  const expected = expectedLines<ExpectedEntry>('sample', `${path}.jsonl`).slice(1);
  let marked = 0;
  for (const line of expected.filter(({ type }) => type === 'file')) {
    const entry = await entryAt(fs, splitPath(Buffer.from(line.path, 'base64')), root.attributes.ino).catch(() => undefined);
    if (entry === undefined) continue;
    const { ino, size } = entry.attributes;
    const content = await readAll(fs, ino);
    expect(content).toHaveLength(size);
    const mark = await fs.getxattr(ino, Buffer.from('user.pbsfs.damaged'));
    if (sha256(content) === line.sha256) continue;
    expect(mark, line.name).toBeDefined();
    const [first = 0, last = 0] = (mark?.toString().split(' ')[0] ?? '').split('-').map(Number);
    expect(content.subarray(first, last + 1).every((byte) => byte === 0)).toBe(true);
    marked++;
  }
  expect(marked).toBeGreaterThan(0);
});

test('an index that is not the one of the manifest is refused, and opened with a mark when salvaging', async () => {
  const file = join(directory, 'ct/113/2021-05-24T16:41:32Z/root.pxar.didx');
  const index = readFileSync(file);
  // One bit of the last digest: the structure stays sound, the checksum does not.
  index[index.length - 1] = (index.at(-1) ?? 0) ^ 1;
  writeFileSync(file, index);

  const strict = await openTree(false);
  const root = await entryAt(strict, namesOf(path));
  expect(root.attributes.mode).toBe(0o040500);
  await expect(strict.openDirectory(root.attributes.ino)).rejects.toMatchObject({ code: 'MANIFEST_MISMATCH' });
  await expect(entryAt(strict, namesOf(`${path}/etc`))).rejects.toMatchObject({ code: 'MANIFEST_MISMATCH' });
  expect(log).toHaveLength(1);
  await strict.close();

  const fs = await openTree(true);
  const found = await foundFiles(fs);
  expect(found.size).toBeGreaterThan(100);
  const mark = await fs.getxattr((await entryAt(fs, namesOf(path))).attributes.ino, Buffer.from('user.pbsfs.damaged'));
  expect(mark?.toString()).toContain('its manifest says');
});
