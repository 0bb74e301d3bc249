/** The tree of a datastore on a server is that of its directory, to the last byte and attribute, also when the connection breaks all the time. */
import { readFileSync } from 'node:fs';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { unwrapKeyFile } from '../../src/crypto/key-wrap.js';
import { messageOf } from '../../src/errors.js';
import { parseKeyFile } from '../../src/format/key-file.js';
import type { Datastore } from '../../src/store/datastore.js';
import { openDatastore } from '../../src/store/open.js';
import { openRemoteDatastore } from '../../src/store/remote/remote-datastore.js';
import { openDatastoreTree, openWritableTree, type DatastoreTree } from '../../src/tree/datastore-tree.js';
import { S_IFDIR, S_IFLNK, S_IFMT, S_IFREG, type Ino } from '../../src/vfs/file-system.js';
import type { WritableFileSystem } from '../../src/vfs/writable-file-system.js';
import { entryAt, listAll, namesOf, readAll, sha256 } from '../support/file-system-reader.js';
import { keyPath, storePath } from '../support/fixtures.js';
import { RecordingServer } from '../support/recording-server.js';
import { scratchDirectory } from '../support/scratch.js';

const keys = [
  unwrapKeyFile(parseKeyFile(readFileSync(keyPath('plain.json')))),
  unwrapKeyFile(parseKeyFile(readFileSync(keyPath('password.json'))), Buffer.from('correct horse battery staple')),
];

function treeOf(store: Datastore): DatastoreTree {
  const tree = openDatastoreTree({ store, keys, namespace: [], cacheBytesMax: 64 << 20, salvage: false, log: () => undefined });
  onTestFinished(() => tree.close());
  return tree;
}

async function servedTree(path: string): Promise<{ readonly server: RecordingServer; readonly tree: DatastoreTree }> {
  const server = await RecordingServer.start(path);
  onTestFinished(() => server.close());
  return { server, tree: treeOf(await openRemoteDatastore(server.repository, server.options())) };
}

/** A line for each thing in the tree: all that can be seen of it but its inode number. */
async function* linesOf(tree: DatastoreTree, ino: Ino = tree.root, path = ''): AsyncGenerator<string> {
  for (const { name } of await listAll(tree, ino)) {
    const below = `${path}/${name.toString('latin1')}`;
    const found = await tree.lookup(ino, name);
    if (found === undefined) throw new Error(`${below} is listed and not there`);
    const { ino: child, mode, nlink, uid, gid, size, blocks, rdevMajor, rdevMinor, mtime } = found.attributes;
    const type = mode & S_IFMT;
    // Directories that have no time of their own have that of the mount.
    const time = type === S_IFDIR && path.split('/').length < 4 ? 0 : mtime.sec;
    yield `${below} ${JSON.stringify({ mode, nlink, uid, gid, size, blocks, rdevMajor, rdevMinor, time })} ${await xattrsOf(tree, child)} ${await contentOf(tree, child, type)}`;
    if (type === S_IFDIR) yield* linesOf(tree, child, below);
  }
}

async function contentOf(tree: DatastoreTree, ino: Ino, type: number): Promise<string> {
  try {
    if (type === S_IFLNK) return (await tree.readlink(ino)).toString('latin1');
    return type === S_IFREG ? sha256(await readAll(tree, ino)) : '';
  } catch (error) {
    return messageOf(error).replace(/ can't be had.*| has no file .*| is missing.*/, '');
  }
}

/** Bytes in the store are only known where it lies. */
async function xattrsOf(tree: DatastoreTree, ino: Ino): Promise<string> {
  const names = (await tree.listxattr(ino)).map((name) => name.toString('latin1')).filter((name) => name !== 'user.pbsfs.encoded-size');
  const values = await Promise.all(names.sort().map(async (name) => `${name}=${(await tree.getxattr(ino, Buffer.from(name, 'latin1')))?.toString('base64')}`));
  return values.join();
}

async function all(lines: AsyncGenerator<string>): Promise<string[]> {
  const found: string[] = [];
  for await (const line of lines) found.push(line);
  return found;
}

describe.each(['sample', 'vault'] as const)('%s', (name) => {
  test('is the same tree', async () => {
    const { tree, server } = await servedTree(storePath(name));
    const expected = await all(linesOf(treeOf(await openDatastore(storePath(name)))));
    expect(expected.length).toBeGreaterThan(100);
    expect(await all(linesOf(tree))).toEqual(expected);
    const chunks = server.requests.filter((line) => line.startsWith('chunk '));
    expect(chunks.length).toBeGreaterThan(10);
  }, 180_000);
});

test('is the same tree while connections break again and again', async () => {
  const { tree, server } = await servedTree(storePath('sample'));
  const expected = await all(linesOf(treeOf(await openDatastore(storePath('sample')))));
  const breaking = setInterval(() => {
    server.dropConnections();
  }, 150);
  onTestFinished(() => {
    clearInterval(breaking);
  });
  expect(await all(linesOf(tree))).toEqual(expected);
  const status = JSON.parse((await readAll(tree, (await entryAt(tree, namesOf('.pbsfs/status.json'))).attributes.ino)).toString()) as { connection: { reconnections: number } };
  expect(status.connection.reconnections).toBeGreaterThan(0);
  expect(JSON.stringify(status)).not.toContain('secret');
}, 180_000);

interface Hindrance {
  readonly begin: (server: RecordingServer) => Promise<void> | void;
  readonly end: (server: RecordingServer) => Promise<void> | void;
  readonly code: string;
}

test.each<[string, Hindrance]>([
  ['is away', { begin: (server) => server.stop(), end: (server) => server.listen(), code: 'UNREACHABLE' }],
  [
    'gives nothing to read, in maintenance',
    {
      begin: (server) => {
        server.refusesReaders = 'datastore is in maintenance mode';
        server.dropConnections();
      },
      end: (server) => {
        server.refusesReaders = undefined;
      },
      code: 'REFUSED',
    },
  ],
])('what can not be read because the server %s is not lost: no zeros, no damage, and it is read later', async (_name, { begin, end, code }) => {
  const server = await RecordingServer.start(storePath('sample'));
  onTestFinished(() => server.close());
  const store = await openRemoteDatastore(server.repository, server.options({ timeoutMs: 1000 }));
  const tree = openDatastoreTree({ store, keys, namespace: [], cacheBytesMax: 64 << 20, salvage: true, log: () => undefined });
  onTestFinished(() => tree.close());
  const group = (await entryAt(tree, namesOf('vm/120'))).attributes.ino;
  const [snapshot] = (await listAll(tree, group)).map((each) => each.name.toString());
  const path = namesOf(`vm/120/${snapshot}`);
  const { ino } = (await entryAt(tree, path)).attributes;
  const name = (await listAll(tree, ino)).map((each) => each.name.toString()).find((each) => each.endsWith('.img'));
  const image = (await entryAt(tree, namesOf(name ?? ''), ino)).attributes.ino;
  const file = await tree.open(image);
  await begin(server);
  await vi.waitFor(() => {
    expect(store.readers.counts.open).toBe(0);
  });
  await expect(Promise.resolve(file.read(0, 4096))).rejects.toMatchObject({ code });
  expect((await tree.listxattr(image)).map(String)).not.toContain('user.pbsfs.damaged');
  expect((await readAll(tree, (await entryAt(tree, namesOf('.pbsfs/damaged.jsonl'))).attributes.ino)).length).toBe(0);
  await end(server);
  // What asks again at once gets the same answer.
  await new Promise((resolve) => setTimeout(resolve, 400));
  const local = treeOf(await openDatastore(storePath('sample')));
  const expected = await (await local.open((await entryAt(local, [...path, ...namesOf(name ?? '')])).attributes.ino)).read(0, 4096);
  expect(Buffer.concat(await file.read(0, 4096))).toEqual(Buffer.concat(expected));
  file.close();
});

test('what is staged in a group that the server does not have yet is there again', async () => {
  const server = await RecordingServer.start(storePath('sample'));
  onTestFinished(() => server.close());
  const spoolBase = scratchDirectory();
  const open = async (): Promise<DatastoreTree> => {
    const store = await openRemoteDatastore(server.repository, server.options());
    const options = { store, keys: [], namespace: [], cacheBytesMax: 64 << 20, salvage: false, log: () => undefined };
    return await openWritableTree(options, { spoolBase, mode: undefined, encryption: { cryptMode: 'none', key: undefined, encryptedKey: undefined } });
  };
  const first = await open();
  const made = { mode: 0o755, umask: 0o022, caller: { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0, pid: process.pid } };
  const { writing } = first as DatastoreTree & Partial<WritableFileSystem>;
  let ino = (await entryAt(first, namesOf('host'))).attributes.ino;
  for (const name of ['new', 'staging']) ino = (await writing?.makeDirectory(ino, Buffer.from(name), made))?.attributes.ino ?? 0;
  expect((await listAll(first, (await entryAt(first, namesOf('host/new'))).attributes.ino)).map(({ name }) => String(name))).toEqual(['staging']);
  await first.close();
  const second = await open();
  onTestFinished(() => second.close());
  expect((await listAll(second, (await entryAt(second, namesOf('host/new'))).attributes.ino)).map(({ name }) => String(name))).toEqual(['staging']);
});
