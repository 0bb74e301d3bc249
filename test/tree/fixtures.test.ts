/** Every archive, image and blob of both fixture stores, in a directory and on a server, read through the tree and compared with what was backed up. */
import { readFileSync } from 'node:fs';
import { afterAll, describe, expect, test } from 'vitest';
import { unwrapKeyFile } from '../../src/crypto/key-wrap.js';
import { parseKeyFile } from '../../src/format/key-file.js';
import { openDatastore } from '../../src/store/open.js';
import { openDatastoreTree, type DatastoreTree } from '../../src/tree/datastore-tree.js';
import { chattrBits, expectedFiles, typeBits, type ExpectedEntry, type ExpectedImage } from '../support/expected.js';
import { entryAt, listAll, namesOf, readAll, sha256, splitPath } from '../support/file-system-reader.js';
import { expectedJson, expectedLines, expectedPath, keyPath } from '../support/fixtures.js';
import { placedStore, placedStores, type PlacedStore } from '../support/store-table.js';

const trees = new Map<PlacedStore, Promise<DatastoreTree>>();

function treeOf(placed: PlacedStore): Promise<DatastoreTree> {
  let tree = trees.get(placed);
  if (tree === undefined) {
    tree = open(placed);
    trees.set(placed, tree);
  }
  return tree;
}

async function open(placed: PlacedStore): Promise<DatastoreTree> {
  const keys = [
    unwrapKeyFile(parseKeyFile(readFileSync(keyPath('plain.json')))),
    unwrapKeyFile(parseKeyFile(readFileSync(keyPath('password.json'))), Buffer.from('correct horse battery staple')),
  ];
  const store = await openDatastore(await placedStore(placed));
  return openDatastoreTree({ store, keys, namespace: [], cacheBytesMax: 64 << 20, salvage: false, log: (line) => expect(line).toBe('nothing') });
}

afterAll(async () => {
  for (const tree of trees.values()) await (await tree).close();
});

describe.each(placedStores)('$store $place', (placed) => {
  const name = placed.store;
  test.each(expectedFiles(name, '.pxar.jsonl'))('%s', async (file) => {
    const tree = await treeOf(placed);
    const root = await entryAt(tree, namesOf(file.replace(/\.jsonl$/, '')));
    const expected = expectedLines<ExpectedEntry>(name, file);
    const inoOfPath = new Map<string, number>();
    const inos = new Set<number>();
    for (const line of expected) {
      const path = Buffer.from(line.path, 'base64');
      const { attributes } = await entryAt(tree, splitPath(path), root.attributes.ino);
      const where = `${file}: ${line.name}`;
      expect(attributes.mode.toString(8), where).toBe((typeBits[line.type] | parseInt(line.mode, 8)).toString(8));
      expect([attributes.uid, attributes.gid], where).toEqual([line.uid, line.gid]);
      expect([attributes.mtime.sec, attributes.mtime.nsec], where).toEqual(line.mtime);
      if (line.rdev !== undefined) expect([attributes.rdevMajor, attributes.rdevMinor], where).toEqual(line.rdev);
      if (line.type === 'file') {
        expect(attributes.nlink, where).toBe(line.nlink ?? 1);
        expect(attributes.size, where).toBe(line.size);
        expect(sha256(await readAll(tree, attributes.ino)), where).toBe(line.sha256);
      }
      if (line.target !== undefined) expect((await tree.readlink(attributes.ino)).toString('base64'), where).toBe(line.target);
      if (line.link_to !== undefined) expect(attributes.ino, where).toBe(inoOfPath.get(line.link_to));
      else expect(inos.has(attributes.ino), where).toBe(false);
      inos.add(attributes.ino);
      inoOfPath.set(line.path, attributes.ino);
      expect(await xattrsOf(tree, attributes.ino), where).toEqual(expectedXattrs(line));
      const flags = await tree.inodeFlags(attributes.ino);
      expect(flags.flags, where).toBe((line.flags ?? []).reduce((sum, flag) => sum | (chattrBits[flag] ?? 0), 0));
      expect(flags.projectId, where).toBe(line.projid ?? 0);
    }
  });

  test.each(expectedFiles(name, '.pxar.jsonl'))('listings of %s', async (file) => {
    const tree = await treeOf(placed);
    const root = await entryAt(tree, namesOf(file.replace(/\.jsonl$/, '')));
    const expected = expectedLines<ExpectedEntry>(name, file).slice(1).map(({ path }) => path);
    const found: string[] = [];
    const walk = async (ino: number, prefix: Buffer): Promise<void> => {
      for (const child of await listAll(tree, ino)) {
        const path = Buffer.concat([prefix, child.name]);
        found.push(path.toString('base64'));
        expect(child.entry?.attributes.ino).toBe(child.ino);
        if (child.type === 0o040000) await walk(child.ino, Buffer.concat([path, Buffer.from('/')]));
      }
    };
    await walk(root.attributes.ino, Buffer.alloc(0));
    expect(found).toEqual(expected);
  });

  test.each(expectedFiles(name, '.img.json'))('%s', async (file) => {
    const tree = await treeOf(placed);
    const expected = expectedJson(name, file) as ExpectedImage;
    const path = file.replace(/\.json$/, '');
    const { attributes } = await entryAt(tree, namesOf(path));
    expect(attributes.size).toBe(expected.size);
    expect(attributes.mode).toBe(0o100400);
    expect(sha256(await readAll(tree, attributes.ino))).toBe(expected.sha256);
    const zeroBytes = expected.zero_chunks.length * (4 << 20);
    expect(attributes.blocks * 512).toBeLessThanOrEqual(expected.size - zeroBytes + 512);
    const parts = await entryAt(tree, namesOf(`${path}.parts`));
    const names = (await listAll(tree, parts.attributes.ino)).map((entry) => entry.name.toString());
    const partitions = expected.partition_table === null ? [] : expected.partitions;
    expect(names).toEqual(partitions.map(({ number }) => `p${number}`));
    for (const { number, length, sha256: digest } of partitions) {
      const part = await entryAt(tree, namesOf(`${path}.parts/p${number}`));
      expect(part.attributes.size).toBe(length);
      expect(sha256(await readAll(tree, part.attributes.ino))).toBe(digest);
    }
  });

  test.each([...expectedFiles(name, '.conf'), ...expectedFiles(name, 'client.log')])('%s', async (file) => {
    const tree = await treeOf(placed);
    const { attributes } = await entryAt(tree, namesOf(file));
    const content = readFileSync(expectedPath(name, file));
    expect(attributes.size).toBe(content.length);
    expect((await readAll(tree, attributes.ino)).equals(content)).toBe(true);
  });
});

async function xattrsOf(tree: DatastoreTree, ino: number): Promise<Record<string, string>> {
  const values: Record<string, string> = {};
  for (const name of await tree.listxattr(ino)) {
    const value = await tree.getxattr(ino, name);
    const text = name.toString('latin1');
    if (!text.startsWith('user.pbsfs.')) values[text] = summary(value ?? Buffer.from('none'));
  }
  return values;
}

function expectedXattrs({ xattrs = {}, acl }: ExpectedEntry): Record<string, string> {
  const values = Object.entries(xattrs).map(([name, value]) => [
    unescaped(name),
    typeof value === 'string' ? summary(Buffer.from(value, 'base64')) : `${value.size} ${value.sha256}`,
  ]);
  if (acl?.access !== undefined) values.push(['system.posix_acl_access', summary(Buffer.from(acl.access.raw, 'base64'))]);
  if (acl?.default !== undefined) values.push(['system.posix_acl_default', summary(Buffer.from(acl.default.raw, 'base64'))]);
  return Object.fromEntries(values) as Record<string, string>;
}

function summary(value: Buffer): string {
  return `${value.length} ${sha256(value)}`;
}

/** `\xNN` stands for a byte; other characters are UTF-8. The result is as a name in latin1. */
function unescaped(name: string): string {
  const bytes = name.split(/(\\x[0-9a-f]{2})/).map((part) => (part.startsWith('\\x') ? Buffer.from(part.slice(2), 'hex') : Buffer.from(part)));
  return Buffer.concat(bytes).toString('latin1');
}
