/** Archives as trees: every path of the fixtures, and tables, links and entries that are not as they should be. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { PxarTree, type NodeId, type PxarChild } from '../../src/archive/pxar-tree.js';
import { PbsfsError } from '../../src/errors.js';
import { encodeEntry, encodeName } from '../../src/format/pxar/entry-encoder.js';
import { nameHash } from '../../src/format/pxar/name-hash.js';
import { archiveOf, fifo, fileItems, handmadeArchive, metadata, type HandmadeChild, type Sketch } from '../support/archives.js';
import { fixtureKeys } from '../support/chunks.js';
import { expectedFiles, type ExpectedEntry } from '../support/expected.js';
import { sha256, splitPath } from '../support/file-system-reader.js';
import { expectedLines, storePath } from '../support/fixtures.js';
import { noise, Random, seed, text } from '../support/random.js';
import { bytesOf, newShelf, storedStream, streamOf } from '../support/streams.js';

const shelf = newShelf();
const isFormatError = expect.objectContaining({ name: 'FormatError' }) as Error;

function openBytes(meta: Buffer, payload?: Buffer, cuts?: readonly number[]): Promise<PxarTree> {
  const options = cuts === undefined ? {} : { cuts };
  return PxarTree.open({ meta: streamOf(shelf, meta, options), payload: payload && streamOf(shelf, payload, options) });
}

function openSketch(sketch: Sketch, version: 1 | 2 = 1, cuts?: readonly number[]): Promise<PxarTree> {
  const { meta, payload } = archiveOf(sketch, version);
  return openBytes(meta, payload, cuts);
}

async function find(tree: PxarTree, path: string): Promise<PxarChild | undefined> {
  let id = tree.root;
  let child: PxarChild | undefined;
  for (const name of splitPath(Buffer.from(path, 'latin1'))) {
    child = await tree.lookup(id, name);
    if (child === undefined) return undefined;
    ({ id } = child);
  }
  return child;
}

async function content(tree: PxarTree, child: PxarChild | undefined): Promise<string> {
  if (child === undefined) return 'not found';
  const { stream, offset, size } = await tree.content(child);
  return (await bytesOf(stream, offset, size)).toString('latin1');
}

async function list(tree: PxarTree, id: NodeId): Promise<PxarChild[]> {
  const directory = await tree.directory(id);
  const children: PxarChild[] = [];
  for (let i = 0; i < directory.count; i++) children.push(await tree.child(directory, directory.slotAt(i)));
  return children;
}

describe.each(['sample', 'vault'] as const)('%s', (store) => {
  const keys = fixtureKeys();
  test.each(expectedFiles(store, '.pxar.jsonl'))('%s: every path, and names that are not there', async (file) => {
    const own = newShelf({ directory: storePath(store), keys });
    const base = file.replace(/\.pxar\.jsonl$/, '');
    const split = existsSync(join(storePath(store), `${base}.mpxar.didx`));
    const encrypted = store === 'vault' && !/06-0[45]T10/.test(file);
    const number = file.includes('password') ? 1 : 0;
    const [first, second] = keys;
    const key = number === 0 ? first : second;
    const using = encrypted && key !== undefined ? { key: { key, number } } : {};
    const meta = storedStream(own, `${base}.${split ? 'mpxar' : 'pxar'}.didx`, using);
    const payload = split ? storedStream(own, `${base}.ppxar.didx`, using) : undefined;
    const tree = await PxarTree.open({ meta, payload });
    expect(tree.version).toBe(split ? 2 : 1);
    const numbers = new Random(seed);
    for (const line of expectedLines<ExpectedEntry>(store, file).slice(1)) {
      const path = Buffer.from(line.path, 'base64').toString('latin1');
      const child = await find(tree, path);
      expect(child?.linked, line.name).toBe(line.link_to !== undefined);
      const again = child && (await tree.node(child.id));
      expect(again?.entry).toEqual(child?.entry);
      if (line.type === 'file') expect(sha256(Buffer.from(await content(tree, child), 'latin1')), line.name).toBe(line.sha256);
      const wrong = await find(tree, `${path}\xff`);
      expect(wrong, line.name).toBeUndefined();
      if (numbers.below(10) === 0) expect(await tree.lookup(tree.root, noise(path, 12))).toBeUndefined();
    }
    for (const odd of ['', '.', '..', '/', '\0', 'x'.repeat(4096)]) expect(await tree.lookup(tree.root, Buffer.from(odd))).toBeUndefined();
  });
});

const sketch: Sketch = {
  'empty': '',
  'large': noise('large', 300_000),
  'dir': { 'one': 'first', 'two': text('two', 5000), 'deep': { 'er': { 'est': 'bottom' }, 'pipe': fifo }, 'none': {} },
  'link': { to: 'dir/one' },
  'zz-hard': { linkTo: 'dir/one' },
  'name\xff\x01': 'odd name',
};

describe.each([1, 2] as const)('version %i', (version) => {
  test.each([[1 << 20], [100], [37], [16], [7]])('cut into chunks of %i bytes', async (cut) => {
    const bytes = cut < 100 ? { ...sketch, large: noise('small', 500), dir: { one: 'first', deep: { er: { est: 'bottom' }, pipe: fifo }, none: {} } } : sketch;
    const tree = await openSketch(bytes, version, [cut]);
    expect(await content(tree, await find(tree, 'dir/one'))).toBe('first');
    expect(await content(tree, await find(tree, 'dir/deep/er/est'))).toBe('bottom');
    expect(await content(tree, await find(tree, 'zz-hard'))).toBe('first');
    expect((await find(tree, 'zz-hard'))?.id).toBe((await find(tree, 'dir/one'))?.id);
    expect(await content(tree, await find(tree, 'empty'))).toBe('');
    expect(await content(tree, await find(tree, 'name\xff\x01'))).toBe('odd name');
    expect((await find(tree, 'link'))?.entry.target?.toString()).toBe('dir/one');
    expect((await find(tree, 'dir/deep/pipe'))?.entry.kind).toBe('fifo');
    expect((await list(tree, (await find(tree, 'dir/none'))?.id ?? 0)).length).toBe(0);
    expect((await list(tree, tree.root)).map(({ name }) => name.toString('latin1'))).toEqual(['dir', 'empty', 'large', 'link', 'name\xff\x01', 'zz-hard']);
  });

  test('what is no directory has no children, what is no file no content', async () => {
    const tree = await openSketch(sketch, version);
    await expect(find(tree, 'empty/x')).rejects.toMatchObject({ code: 'NOT_A_DIRECTORY' });
    for (const path of ['dir', 'link', 'dir/deep/pipe']) await expect(content(tree, await find(tree, path))).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
  });
});

describe('names with one hash', () => {
  const target = nameHash(Buffer.from('target'));

  test.each([1, 2, 3, 4, 5, 7, 8, 12])('%i of them: each place is found', async (count) => {
    for (let place = 0; place < count; place++) {
      const children = Array.from({ length: count }, (_, i): HandmadeChild => {
        const name = i === place ? 'target' : `other ${i}`;
        return { name, bytes: fileItems(name, Buffer.from(name)), hash: target };
      });
      const tree = await openBytes(handmadeArchive(children));
      expect(await content(tree, await find(tree, 'target'))).toBe('target');
      expect(await find(tree, 'other 0')).toBeUndefined();
      expect(await list(tree, tree.root)).toHaveLength(count);
    }
  });

  test('beside other hashes', async () => {
    const names = Array.from({ length: 40 }, (_, i) => `name ${i}`);
    const children = names.map((name, i): HandmadeChild => ({ name, bytes: fileItems(name, Buffer.from(name)), hash: i % 3 === 0 ? target : nameHash(Buffer.from(name)) }));
    children.push({ name: 'target', bytes: fileItems('target', Buffer.from('here')), hash: target });
    const tree = await openBytes(handmadeArchive(children));
    expect(await content(tree, await find(tree, 'target'))).toBe('here');
    for (const [i, name] of names.entries()) expect(await content(tree, await find(tree, name))).toBe(i % 3 === 0 ? 'not found' : name);
  });

  test('20,000 of them end neither the stack nor the patience', async () => {
    const children = Array.from({ length: 20_000 }, (_, i): HandmadeChild => ({ name: `${i}`, bytes: fileItems(`${i}`, Buffer.alloc(0)), hash: target }));
    const tree = await openBytes(handmadeArchive(children));
    expect(await find(tree, 'target')).toBeUndefined();
  });
});

describe('hard links', () => {
  const linkTo = (distance: number): Buffer => encodeEntry({ kind: 'hardlink', metadata: undefined, hardlink: { distance, target: Buffer.from('file') } });
  const entryBytes = encodeEntry({ kind: 'directory', metadata: metadata('directory') }).length;
  const file = fileItems('file', Buffer.from('content'));
  const named = (name: string, items: Buffer): HandmadeChild => ({
    name,
    bytes: Buffer.concat([encodeName(Buffer.from(name)), items]),
    hash: nameHash(Buffer.from(name)),
  });
  const fileChild: HandmadeChild = { name: 'file', bytes: file, hash: nameHash(Buffer.from('file')) };
  const symlink = named('symlink', encodeEntry({ kind: 'symlink', metadata: metadata('symlink'), target: Buffer.from('x') }));

  test('to a file', async () => {
    const tree = await openBytes(handmadeArchive([fileChild, named('link', linkTo(file.length))]));
    const link = await find(tree, 'link');
    expect(link).toMatchObject({ linked: true, name: Buffer.from('link') });
    expect(await content(tree, link)).toBe('content');
    expect(link?.id).toBe((await find(tree, 'file'))?.id);
  });

  test.each([
    ['a symbolic link', [symlink, named('link', linkTo(symlink.bytes.length))], /points at a symlink/],
    ['another hard link', [fileChild, named('a', linkTo(file.length)), named('link', linkTo(named('a', linkTo(file.length)).bytes.length))], /points at a hardlink/],
    ['before the archive', [fileChild, named('link', linkTo(100_000))], /before the archive|points before/],
    ['the root itself', [fileChild, named('link', linkTo(file.length + entryBytes))], /./],
    ['the middle of a file', [fileChild, named('link', linkTo(file.length - 20))], /./],
    ['the middle of itself', [fileChild, named('link', linkTo(1))], /./],
  ])('to %s: an error, and neighbours are found', async (_, children, message) => {
    const tree = await openBytes(handmadeArchive(children));
    await expect(find(tree, 'link')).rejects.toThrow(isFormatError);
    await expect(find(tree, 'link')).rejects.toThrow(message);
    const neighbour = children[0]?.name ?? '';
    expect((await find(tree, neighbour))?.name.toString()).toBe(neighbour);
  });

  test('in a directory that is linked to by its number alone', async () => {
    const tree = await openSketch({ a: { f: 'x' }, b: { g: { linkTo: 'a/f' } } });
    const linked = await find(tree, 'b/g');
    expect((await find(tree, 'a/f'))?.id).toBe(linked?.id);
    const fresh = await openSketch({ a: { f: 'x' }, b: { g: { linkTo: 'a/f' } } });
    expect((await fresh.node(linked?.id ?? 0)).entry).toEqual(linked?.entry);
  });
});

describe('streams that contradict themselves', () => {
  const { meta, payload } = archiveOf(sketch, 2);
  const v1 = archiveOf(sketch, 1).meta;
  if (payload === undefined) throw new Error('version 2 has a payload');

  test('a payload that is missing, or there is one too many', async () => {
    await expect(openBytes(meta)).rejects.toMatchObject({ code: 'BAD_STRUCTURE' });
    await expect(openBytes(v1, payload)).rejects.toMatchObject({ code: 'BAD_STRUCTURE' });
  });

  test('a payload that is not where the metadata says', async () => {
    const tree = await openBytes(meta, Buffer.concat([payload.subarray(0, 16), Buffer.alloc(payload.length - 16, 1)]));
    await expect(content(tree, await find(tree, 'large'))).rejects.toThrow(isFormatError);
    const cut = await openBytes(meta, payload.subarray(0, 300));
    await expect(content(cut, await find(cut, 'large'))).rejects.toMatchObject({ code: 'TRUNCATED' });
    expect(await content(cut, await find(cut, 'dir/one'))).toBe('first');
  });

  test.each([0, 1, 15, 16, 23, 24, 40, 100])('an archive of %i bytes', async (length) => {
    if (length === 0) return;
    const outcome = await openBytes(v1.subarray(0, length)).then((tree) => list(tree, tree.root)).catch((error: unknown) => error);
    expect(outcome).toEqual(isFormatError);
  });

  test('an archive that lost its end', async () => {
    for (const lost of [1, 8, 24, 100, 1000]) {
      const tree = await openBytes(v1.subarray(0, v1.length - lost));
      await expect(list(tree, tree.root)).rejects.toThrow(isFormatError);
    }
  });

  test('a root that is no directory', async () => {
    const entry = encodeEntry({ kind: 'fifo', metadata: metadata('fifo') });
    const tree = await openBytes(handmadeArchive([{ name: 'file', bytes: fileItems('file', Buffer.alloc(0)), hash: nameHash(Buffer.from('file')) }], { entry }));
    await expect(Promise.resolve(tree.root).then((root) => tree.node(root))).rejects.toThrow(isFormatError);
  });

  test('a directory whose table claims the entry of something else', async () => {
    const inner = archiveOf({ x: 'in the inner one' }).meta;
    const dir: HandmadeChild = { name: 'dir', bytes: Buffer.concat([encodeName(Buffer.from('dir')), inner]), hash: nameHash(Buffer.from('dir')) };
    const file = fileItems('a-file', Buffer.from('data'));
    const archive = handmadeArchive([{ name: 'a-file', bytes: file, hash: nameHash(Buffer.from('a-file')) }, dir]);
    // The tail of the inner directory: its distance now reaches back to the entry of the file.
    const end = archive.length - (16 + 3 * 24);
    const fileEntry = encodeEntry({ kind: 'directory', metadata: metadata('directory') }).length + encodeName(Buffer.from('a-file')).length;
    const goodbye = end - 16 - 2 * 24;
    archive.writeBigUInt64LE(BigInt(goodbye - fileEntry), end - 16);
    const id = (await find(await openBytes(archive), 'dir'))?.id ?? 0;
    const fresh = await openBytes(archive);
    await expect(Promise.resolve().then(() => fresh.node(id))).rejects.toThrow(isFormatError);
  });
});

describe('tables that lie', () => {
  const entryBytes = encodeEntry({ kind: 'directory', metadata: metadata('directory') }).length;
  const inner = archiveOf({ x: 'inside' }).meta;
  const dirBytes = Buffer.concat([encodeName(Buffer.from('dir')), inner]);
  const dir: HandmadeChild = { name: 'dir', bytes: dirBytes, hash: nameHash(Buffer.from('dir')) };
  const file: HandmadeChild = { name: 'file', bytes: fileItems('file', Buffer.from('data')), hash: nameHash(Buffer.from('file')) };

  test('a child at the table itself, or before the directory', async () => {
    const archive = handmadeArchive([file]);
    const goodbye = archive.length - 16 - 2 * 24;
    for (const distance of [0n, BigInt(goodbye), BigInt(goodbye) + 1n, 2n ** 63n, 2n ** 64n - 1n]) {
      const wrong = Buffer.from(archive);
      wrong.writeBigUInt64LE(distance, goodbye + 16 + 8);
      const tree = await openBytes(wrong);
      await expect(list(tree, tree.root)).rejects.toThrow(isFormatError);
    }
  });

  test.each([1, 20, dirBytes.length - 1])('a directory that is said to have only %i bytes', async (size) => {
    const tree = await openBytes(handmadeArchive([{ ...dir, size }, file]));
    expect(await content(tree, await find(tree, 'file'))).toBe('data');
    await expect(find(tree, 'dir/x')).rejects.toThrow(isFormatError);
  });

  test.each([dirBytes.length + 1, 10_000, 2 ** 52])('a directory that is said to have %i bytes ends where the next child begins', async (size) => {
    const tree = await openBytes(handmadeArchive([{ ...dir, size }, file]));
    expect(await content(tree, await find(tree, 'file'))).toBe('data');
    expect(await content(tree, await find(tree, 'dir/x'))).toBe('inside');
  });

  test('a child that begins in the middle of another', async () => {
    const tree = await openBytes(handmadeArchive([{ ...file, position: entryBytes + 3 }, dir]));
    await expect(find(tree, 'file')).rejects.toThrow(isFormatError);
    expect(await content(tree, await find(tree, 'dir/x'))).toBe('inside');
  });

  test('directories that share what is in them do not multiply it', async () => {
    // Each of ten levels names the next one four times.
    let level: Buffer = dirBytes;
    for (let depth = 0; depth < 10; depth++) {
      const position = entryBytes;
      const children = Array.from({ length: 4 }, (_, i): HandmadeChild => ({ name: `${i}`, bytes: i === 0 ? level : Buffer.alloc(0), hash: dir.hash, position, size: level.length }));
      level = Buffer.concat([encodeName(Buffer.from('dir')), handmadeArchive(children)]);
    }
    const tree = await openBytes(level.subarray(encodeName(Buffer.from('dir')).length));
    expect(await walk(tree, 100_000)).toBeLessThan(1000);
  });
});

/** Visits everything; errors must be ours. Gives how many entries there were. */
async function walk(tree: PxarTree, limit: number): Promise<number> {
  const open: NodeId[] = [tree.root];
  let visited = 0;
  for (let id = open.pop(); id !== undefined; id = open.pop()) {
    try {
      await tree.node(id);
      const directory = await tree.directory(id);
      for (let i = 0; i < directory.count; i++) {
        if (++visited > limit) throw new Error(`more than ${limit} entries`);
        try {
          const child = await tree.child(directory, directory.slotAt(i));
          if (child.entry.kind === 'directory') open.push(child.id);
          else if (child.entry.kind === 'file') await tree.content(child);
          await tree.lookup(id, child.name);
        } catch (error) {
          if (!(error instanceof PbsfsError)) throw error;
        }
      }
    } catch (error) {
      if (!(error instanceof PbsfsError)) throw error;
    }
  }
  return visited;
}

test(`real archives with bytes flipped, cut out and put elsewhere: errors of ours, no crash, no loop (seed ${seed})`, async () => {
  const own = newShelf({ directory: storePath('sample') });
  const stored = await bytesOf(storedStream(own, 'ns/prod/host/web/2021-05-26T01:40:00Z/etc.pxar.didx'));
  const made = [archiveOf(sketch, 1), archiveOf({ ...sketch, large: 'small' }, 2)];
  const sources = [{ meta: stored, payload: undefined }, ...made];
  const numbers = new Random(seed);
  for (let round = 0; round < 300; round++) {
    const { meta, payload } = numbers.pick(sources);
    let bytes = Buffer.from(meta);
    for (let changes = 1 + numbers.below(3); changes > 0; changes--) {
      const at = numbers.below(bytes.length);
      const length = numbers.below(200);
      const kind = numbers.below(4);
      if (kind === 0) bytes[at] = (bytes[at] ?? 0) ^ (1 << numbers.below(8));
      else if (kind === 1) bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + length)]);
      else if (kind === 2) bytes.copy(bytes, numbers.below(bytes.length), at, at + length);
      else bytes.writeUIntLE(numbers.below(2 ** 40), Math.max(0, Math.min(bytes.length - 6, at - (at % 8))), 6);
      if (bytes.length === 0) bytes = Buffer.from(meta);
    }
    try {
      await walk(await openBytes(bytes, payload), 100_000);
    } catch (error) {
      if (!(error instanceof PbsfsError)) throw error;
    }
  }
});

test('a directory of 100,000 entries', async () => {
  const names = Array.from({ length: 100_000 }, (_, i) => `entry number ${String(i).padStart(6, '0')}`);
  const tree = await openSketch({ big: Object.fromEntries(names.map((name) => [name, ''])), small: 'beside it' });
  const big = await find(tree, 'big');
  const directory = await tree.directory(big?.id ?? 0);
  expect(directory.count).toBe(100_000);
  for (let i = 0; i < directory.count; i += 997) {
    expect((await tree.child(directory, directory.slotAt(i))).name.toString()).toBe(names[i]);
    expect((await find(tree, `big/${names[i] ?? ''}`))?.name.toString()).toBe(names[i]);
  }
  expect(await find(tree, 'big/entry number 100000')).toBeUndefined();
  expect(await content(tree, await find(tree, 'small'))).toBe('beside it');
});
