/** Contents that become chunk files: what lies on disk, what is kept, what is written anew, and how writing fails. */
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, truncateSync, utimesSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { ChunkDecoder } from '../../src/codec/chunk-decoder.js';
import { ChunkStorer, type ChunkStorerOptions } from '../../src/codec/chunk-storer.js';
import { ContentMemory } from '../../src/codec/content-memory.js';
import { chunkDigest } from '../../src/crypto/chunk-digest.js';
import { EncryptionKey } from '../../src/crypto/encryption-key.js';
import { codeOf, messageOf, StoreError } from '../../src/errors.js';
import { decodeBlobHeader } from '../../src/format/blob.js';
import { chunkPath } from '../../src/format/chunk-path.js';
import { chunksOf, zstd } from '../support/chunks.js';
import { noise, text } from '../support/random.js';
import { scratchDirectory } from '../support/scratch.js';

const memory = new ContentMemory(64 << 20);
const key = new EncryptionKey(Buffer.from(Array.from({ length: 32 }, (_, i) => i)));
const mebibyte = 1 << 20;
const storers: ChunkStorer[] = [];
const mounts: string[] = [];

afterEach(async () => {
  await Promise.all(storers.splice(0).map((storer) => storer.close()));
});
afterAll(() => {
  for (const path of mounts) execFileSync('umount', [path]);
});

interface Place {
  readonly store: string;
  readonly temporary: string;
  readonly storer: ChunkStorer;
}

function newStore(options: Partial<ChunkStorerOptions> = {}, store = scratchDirectory()): Place {
  const chunksDirectory = join(store, '.chunks');
  const temporaryDirectory = options.temporaryDirectory ?? join(store, 'temporary');
  mkdirSync(chunksDirectory, { recursive: true });
  mkdirSync(temporaryDirectory, { recursive: true });
  const storer = new ChunkStorer({ memory, key: undefined, owner: undefined, durable: false, workers: 2, ...options, chunksDirectory, temporaryDirectory });
  storers.push(storer);
  return { store, temporary: temporaryDirectory, storer };
}

/** A small file system of its own. */
function newFileSystem(bytes: number): string {
  const path = scratchDirectory();
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${bytes}`, 'tmpfs', path]);
  mounts.push(path);
  return path;
}

/** The same bytes in shared memory. Rooms are not given back: there are enough of them. */
async function shared(content: Buffer): Promise<Buffer> {
  const view = memory.view(await memory.take(content.length), content.length);
  content.copy(view);
  return view;
}

async function put(storer: ChunkStorer, content: Buffer): ReturnType<ChunkStorer['put']> {
  const room = await memory.take(content.length);
  try {
    const view = memory.view(room, content.length);
    content.copy(view);
    return await storer.put(view);
  } finally {
    memory.give(room);
  }
}

function pathIn(store: string, digest: Buffer): string {
  return join(store, chunkPath(digest));
}

function decoded(store: string, digest: Buffer, length: number, withKey?: EncryptionKey): Buffer {
  const target = Buffer.alloc(length);
  new ChunkDecoder(zstd).decode({ path: pathIn(store, digest), digest, key: withKey }, target);
  return target;
}

const longAgo = 1_000_000_000;

describe('a chunk file', () => {
  test.each([
    { kind: 'zstd', content: text('compresses', 3 * mebibyte), withKey: undefined },
    { kind: 'plain', content: noise('does not', mebibyte + 1), withKey: undefined },
    { kind: 'encrypted-zstd', content: text('compresses', 70_000), withKey: key },
    { kind: 'encrypted', content: noise('does not', 200_001), withKey: key },
    { kind: 'plain', content: Buffer.from('x'), withKey: undefined },
    { kind: 'encrypted', content: Buffer.from('x'), withKey: key },
    { kind: 'zstd', content: text('largest', 16 * mebibyte), withKey: undefined },
    { kind: 'encrypted', content: noise('largest', 16 * mebibyte), withKey: key },
  ] as const)('of kind $kind decodes to its content ($content.length bytes)', async ({ kind, content, withKey }) => {
    const { store, temporary, storer } = newStore({ key: withKey });
    const { digest, added, encodedBytes } = await put(storer, content);
    expect(digest.equals(chunkDigest(content, withKey?.idKey))).toBe(true);
    const bytes = readFileSync(pathIn(store, digest));
    expect([added, encodedBytes]).toEqual([true, bytes.length]);
    expect(decodeBlobHeader(bytes).kind).toBe(kind);
    expect(decoded(store, digest, content.length, withKey).equals(content)).toBe(true);
    expect(readdirSync(temporary)).toEqual([]);
  });

  // Format: datastore, sections 13.1 and 13.2.
  const p = Buffer.from('PBS blob test\n');
  const q = Buffer.from('0123456789abcdef'.repeat(16));
  test.each([
    { name: 'P', content: p, plain: '4c7aa8dda4c2ffd6a21c5bfd0ccc8d3cfe353346b4f738f1d48850dbdcbc2e6b', keyed: 'bb1c65754c0d13b20bcfdc3e826bd44ca7b6ce2e707d2cfc9ce65b679c8aab7c' },
    { name: 'Q', content: q, plain: '2f8ab27c794db6afcc4f795f819f1d1c0d90fe357d0584cb0c38710838013aa5', keyed: '8fdd66e6d18081673f9d3ca2b636bee4bd640971691b8c6bda8bab35e53898c6' },
    { name: '4 MiB of zeros', content: Buffer.alloc(4 * mebibyte), plain: 'bb9f8df61474d25e71fa00722318cd387396ca1736605e1248821cc0de3d3af8', keyed: '348571e12bbbedb529def1f1394316e338a01945d871df9ef792617ceb13d636' },
    { name: '512 KiB of 0x5a', content: Buffer.alloc(524_288, 0x5a), plain: '0d57ce7e6f299b77f1aa75b8b0198aaaa910b6fd2ea09bfc4a5fcc4d2023f5d2', keyed: 'be8619edfe7e6b97e18adf2e2dc183163029a6c357b3c31cbb271785a62b5fee' },
  ])('of $name has the known digests', async ({ content, plain, keyed }) => {
    const one = newStore();
    const other = newStore({ key });
    expect((await put(one.storer, content)).digest.toString('hex')).toBe(plain);
    expect((await put(other.storer, content)).digest.toString('hex')).toBe(keyed);
    expect(decoded(one.store, Buffer.from(plain, 'hex'), content.length).equals(content)).toBe(true);
    expect(decoded(other.store, Buffer.from(keyed, 'hex'), content.length, key).equals(content)).toBe(true);
  });

  test('of the known plain blob has its very bytes', async () => {
    const { store, storer } = newStore();
    const { digest } = await put(storer, p);
    expect(readFileSync(pathIn(store, digest)).toString('hex')).toBe('42ab3807be8370a15a1f886650425320626c6f6220746573740a');
  });

  test('has another IV each time', async () => {
    const content = noise('iv', 1000);
    const ivs = await Promise.all([1, 2, 3].map(async () => {
      const { store, storer } = newStore({ key });
      return decodeBlobHeader(readFileSync(pathIn(store, (await put(storer, content)).digest))).iv?.toString('hex');
    }));
    expect(new Set(ivs).size).toBe(3);
  });

  test.each([false, true])('and its directory have owner and modes whatever the umask says (durable: %s)', async (durable) => {
    const umask = process.umask(0o077);
    try {
      const { store, storer } = newStore({ owner: { uid: 34, gid: 35 }, durable });
      const { digest } = await put(storer, text('owned', 5000));
      const path = pathIn(store, digest);
      const facts = [dirname(path), path].map((each) => statSync(each)).map(({ uid, gid, mode }) => [uid, gid, (mode & 0o7777).toString(8)]);
      expect(facts).toEqual([[34, 35, '750'], [34, 35, '644']]);
    } finally {
      process.umask(umask);
    }
  });

  test('may come from a temporary directory on another file system', async () => {
    const { store, temporary, storer } = newStore({ temporaryDirectory: newFileSystem(4 * mebibyte) });
    for (const label of ['first', 'second']) {
      const content = text(label, 9000);
      const { digest } = await put(storer, content);
      expect(decoded(store, digest, 9000).equals(content)).toBe(true);
      expect(readdirSync(dirname(pathIn(store, digest)))).toEqual([digest.toString('hex')]);
    }
    expect(readdirSync(temporary)).toEqual([]);
  });
});

describe('a chunk that is there', () => {
  test('is kept from garbage collection and not written', async () => {
    const { store, storer } = newStore();
    const content = text('again', 40_000);
    const { digest } = await put(storer, content);
    await storer.close();
    const path = pathIn(store, digest);
    utimesSync(path, longAgo, longAgo);
    const { ino } = statSync(path);
    expect(await put(newStore({}, store).storer, content)).toEqual({ digest, added: false, encodedBytes: 0 });
    const after = statSync(path);
    expect([after.ino, after.mtimeMs]).toEqual([ino, longAgo * 1000]);
    expect(after.atimeMs).toBeGreaterThan(Date.now() - 600_000);
  });

  test.each([
    { fileBytes: 0, withKey: undefined, isReplaced: true },
    { fileBytes: 12, withKey: undefined, isReplaced: true },
    { fileBytes: 13, withKey: undefined, isReplaced: false },
    { fileBytes: 1012, withKey: undefined, isReplaced: false },
    { fileBytes: 1013, withKey: undefined, isReplaced: true },
    { fileBytes: 44, withKey: key, isReplaced: true },
    { fileBytes: 45, withKey: key, isReplaced: false },
    { fileBytes: 1044, withKey: key, isReplaced: false },
    { fileBytes: 1045, withKey: key, isReplaced: true },
  ])('with $fileBytes bytes for 1000 of content is replaced: $isReplaced', async ({ fileBytes, withKey, isReplaced }) => {
    const { store, storer } = newStore({ key: withKey });
    const content = noise('size', 1000);
    const digest = chunkDigest(content, withKey?.idKey);
    mkdirSync(dirname(pathIn(store, digest)));
    writeFileSync(pathIn(store, digest), Buffer.alloc(fileBytes));
    expect(await storer.touch([{ digest, length: 1000 }])).toEqual(isReplaced ? [0] : []);
    expect((await put(storer, content)).added).toBe(isReplaced);
    expect(statSync(pathIn(store, digest)).size).toBe(isReplaced ? 1000 + (withKey ? 44 : 12) : fileBytes);
  });

  test.each([
    ['a directory', (path: string) => mkdirSync(path)],
    ['a link', (path: string) => { symlinkSync('/etc/passwd', path); }],
  ])('and is %s is an error', async (_, make) => {
    const { store, temporary, storer } = newStore();
    const content = noise('no file', 100);
    const digest = chunkDigest(content);
    mkdirSync(dirname(pathIn(store, digest)));
    make(pathIn(store, digest));
    expect(await storer.touch([{ digest, length: 100 }])).toEqual([0]);
    const failure: unknown = await put(storer, content).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(StoreError);
    expect(messageOf(failure)).toBe(`chunk ${pathIn(store, digest)} cannot be written: ${pathIn(store, digest)} is not a file`);
    expect(readdirSync(temporary)).toEqual([]);
  });
});

describe('several puts', () => {
  test('of one content count it once', async () => {
    const { store, storer } = newStore();
    const content = await shared(text('same', 2 * mebibyte));
    const results = await Promise.all(Array.from({ length: 20 }, () => storer.put(content)));
    expect(results.filter(({ added }) => added)).toHaveLength(1);
    expect(new Set(results.map(({ digest }) => digest.toString('hex'))).size).toBe(1);
    const [first] = chunksOf(store);
    const encodedBytesAdded = statSync(pathIn(store, first ?? Buffer.alloc(32))).size;
    expect(storer.statistics).toEqual({ chunks: 1, bytes: content.length, chunksAdded: 1, bytesAdded: content.length, encodedBytesAdded });
    expect(results.reduce((sum, { encodedBytes }) => sum + encodedBytes, 0)).toBe(encodedBytesAdded);
  });

  test('of many contents all get their own chunk', async () => {
    const { store, storer } = newStore({ workers: 3 });
    const contents = Array.from({ length: 100 }, (_, i) => (i % 3 === 0 ? noise : text)(`content ${i}`, 1 + i * 997));
    const results = await Promise.all(contents.map((content) => put(storer, content)));
    for (const [i, content] of contents.entries()) {
      expect(decoded(store, results[i]?.digest ?? Buffer.alloc(32), content.length).equals(content)).toBe(true);
    }
    expect(storer.statistics).toMatchObject({ chunks: 100, chunksAdded: 100 });
  });
});

describe('zeros', () => {
  test('are stored once for each length, asked for in either way', async () => {
    const { store, storer } = newStore();
    const lengths = [4 * mebibyte, 16 * mebibyte, 1, 4 * mebibyte];
    const results = await Promise.all(lengths.map((length) => storer.putZeros(length)));
    expect(results.map(({ added }) => added)).toEqual([true, true, true, false]);
    expect(results[0]?.digest.toString('hex')).toBe('bb9f8df61474d25e71fa00722318cd387396ca1736605e1248821cc0de3d3af8');
    expect(results[3]?.digest).toEqual(results[0]?.digest);
    expect((await put(storer, Buffer.alloc(4 * mebibyte))).added).toBe(false);
    for (const [i, length] of lengths.entries()) {
      expect(decoded(store, results[i]?.digest ?? Buffer.alloc(32), length).equals(Buffer.alloc(length))).toBe(true);
    }
    expect(storer.statistics.chunks).toBe(3);
  });

  test('with a key have digests of that key', async () => {
    const { storer } = newStore({ key });
    expect((await storer.putZeros(4 * mebibyte)).digest.toString('hex')).toBe('348571e12bbbedb529def1f1394316e338a01945d871df9ef792617ceb13d636');
  });

  test('that could not be stored are tried again', async () => {
    const { store, storer } = newStore();
    const digest = Buffer.from('bb9f8df61474d25e71fa00722318cd387396ca1736605e1248821cc0de3d3af8', 'hex');
    writeFileSync(dirname(pathIn(store, digest)), 'in the way');
    expect(codeOf(await storer.putZeros(4 * mebibyte).catch((error: unknown) => error))).toBe('ENOTDIR');
    execFileSync('rm', [dirname(pathIn(store, digest))]);
    expect((await storer.putZeros(4 * mebibyte)).added).toBe(true);
  });
});

test('touching tells what has to be put again, of any number of chunks', async () => {
  const { store, storer } = newStore();
  const contents = Array.from({ length: 1100 }, (_, i) => noise(`touched ${i}`, 20));
  const chunks = await Promise.all(contents.map(async (content) => ({ digest: (await put(storer, content)).digest, length: content.length })));
  await storer.close();
  const missing = [0, 511, 512, 1099];
  for (const [i, { digest }] of chunks.entries()) {
    utimesSync(pathIn(store, digest), longAgo, longAgo);
    if (missing.includes(i)) truncateSync(pathIn(store, digest));
  }
  const again = newStore({}, store).storer;
  expect(await again.touch(chunks)).toEqual(missing);
  expect(await again.touch([])).toEqual([]);
  for (const [i, { digest }] of chunks.entries()) {
    if (!missing.includes(i)) expect(statSync(pathIn(store, digest)).atimeMs).toBeGreaterThan(longAgo * 1000);
  }
  expect(again.statistics.chunks).toBe(0);
});

describe('failures', () => {
  test('of a full file system come with code and place, and leave nothing behind', async () => {
    const { store, temporary, storer } = newStore({}, newFileSystem(2 * mebibyte));
    const failure: unknown = await put(storer, noise('too much', 3 * mebibyte)).catch((error: unknown) => error);
    expect(failure).toMatchObject({ code: 'ENOSPC', errno: -28, syscall: 'write' });
    expect(messageOf(failure)).toMatch(/^chunk .*\/\.chunks\/.* cannot be written: ENOSPC: no space left on device/);
    expect([...readdirSync(temporary), ...chunksOf(store)]).toEqual([]);
    expect((await put(storer, noise('enough', mebibyte))).added).toBe(true);
  });

  test('of a missing temporary directory', async () => {
    const { temporary, storer } = newStore();
    execFileSync('rmdir', [temporary]);
    expect(await put(storer, noise('nowhere', 10)).catch((error: unknown) => error)).toMatchObject({ code: 'ENOENT', syscall: 'open' });
  });

  test('of what is no content', async () => {
    const { storer } = newStore();
    expect(() => storer.put(Buffer.alloc(5))).toThrow(RangeError);
    expect(() => storer.put(memory.view({ offset: 0, bytes: 0 }))).toThrow(RangeError);
    expect(() => storer.putZeros((16 << 20) + 1)).toThrow(RangeError);
    await expect(storer.touch([{ digest: Buffer.alloc(3), length: 1 }])).rejects.toThrow(RangeError);
  });

  test('of what is asked for after the end, and of what waits then', async () => {
    const { storer } = newStore({ workers: 1 });
    const content = await shared(text('ends', 4 * mebibyte));
    const puts = Array.from({ length: 5 }, () => storer.put(content).catch(codeOf));
    await storer.close();
    expect((await Promise.all(puts)).map((result) => (typeof result === 'string' ? result : 'stored'))).toEqual(['stored', 'stored', 'CLOSED', 'CLOSED', 'CLOSED']);
    expect(await storer.put(content).catch(codeOf)).toBe('CLOSED');
  });

  test('of permissions', () => {
    const { store } = newStore();
    chmodSync(store, 0o755);
    const program = `
      import { ChunkStorer } from '${new URL('../../dist/codec/chunk-storer.js', import.meta.url).pathname}';
      import { ContentMemory } from '${new URL('../../dist/codec/content-memory.js', import.meta.url).pathname}';
      const memory = new ContentMemory(1);
      const storer = new ChunkStorer({ memory, key: undefined, owner: undefined, durable: false, workers: 1,
        chunksDirectory: '${store}/.chunks', temporaryDirectory: '${store}/temporary' });
      await storer.putZeros(1);
      process.setgroups([]); process.setgid(65534); process.setuid(65534);
      await storer.putZeros(100).catch(({ code, syscall }) => console.log(code, syscall));
      await storer.close();`;
    const output = execFileSync(process.execPath, ['--input-type=module', '--eval', program], { encoding: 'utf8' });
    expect(output).toBe('EACCES open\n');
  });
});
