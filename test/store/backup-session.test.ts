/** Writing snapshots into a local datastore: what is on disk while and after, who may, and what is refused. */
import {
  chownSync,
  existsSync,
  linkSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { EncryptionKey } from '../../src/crypto/encryption-key.js';
import { chunkPath } from '../../src/format/chunk-path.js';
import { chunksOf, encodeBlob } from '../support/chunks.js';
import {
  begin,
  checkSnapshots,
  emptyStore,
  fakeServer,
  hostSnapshot,
  indexOf,
  manifest,
  openStore,
  put,
  storeNames,
  targetOf,
  writeSnapshot,
} from '../support/new-snapshots.js';
import { noise } from '../support/random.js';

const time = 1_700_000_000;
const text = '2023-11-14T22:13:20Z';
const leftover = '.pbsfs-abc123';

async function written(directory = emptyStore()): Promise<string> {
  await writeSnapshot(await begin(await openStore(directory), hostSnapshot(time)));
  return directory;
}

describe('a snapshot', () => {
  test('is not there before it is finished, and whole then', async () => {
    const directory = emptyStore();
    const store = await openStore(directory);
    const session = await begin(store, hostSnapshot(time));
    const { digest, added, encodedBytes } = await put(session, noise('x', 5000));
    await targetOf(session).writeIndex(indexOf([{ digest, length: 5000 }]));
    await session.writeBlob('fw.conf.blob', encodeBlob(Buffer.from('x')));
    expect({ added, encodedBytes }).toEqual({ added: true, encodedBytes: 5012 });
    expect(await store.snapshots(hostSnapshot(time))).toEqual([]);
    const hidden = readdirSync(join(directory, 'host/web')).filter((name) => name !== 'owner');
    expect(hidden).toEqual([expect.stringMatching(/^\.pbsfs-[A-Za-z0-9]{6}$/)]);
    expect(readdirSync(join(directory, 'host/web', hidden[0] ?? '')).sort()).toEqual(['fw.conf.blob', 'root.pxar.didx']);
    await session.finish(manifest);
    const path = `host/web/${text}`;
    expect(storeNames(directory)).toEqual(
      [
        ...['.chunks', '.lock', 'host', 'host/web', 'host/web/owner', path],
        ...['fw.conf.blob', 'index.json.blob', 'root.pxar.didx'].map((name) => `${path}/${name}`),
      ].sort(),
    );
    expect(readFileSync(join(directory, 'host/web/owner'), 'utf8')).toBe('root@pam\n');
    expect(await checkSnapshots(store)).toBe(1);
    expect(session.statistics).toMatchObject({ chunks: 1, bytes: 5000, chunksAdded: 1, encodedBytesAdded: 5012 });
  });

  test('knows the one before, and uses its chunks', async () => {
    const store = await openStore(await written());
    const session = await begin(store, hostSnapshot(time + 1));
    expect(session.previous).toEqual(hostSnapshot(time));
    const index = await store.index(hostSnapshot(time), 'root.pxar.didx');
    const chunks = Array.from({ length: index.count }, (_, i) => ({ digest: index.digestAt(i), length: 40_000 }));
    const [first, second, third] = chunks.map(({ digest }) => join(store.location, chunkPath(digest)));
    rmSync(first ?? '');
    truncateSync(second ?? '', 0);
    utimesSync(third ?? '', 1, 1);
    expect(await targetOf(session).reuseChunks(chunks)).toEqual([0, 1]);
    expect(statSync(third ?? '').atimeMs).toBeGreaterThan(Date.now() - 60_000);
    expect(statSync(third ?? '').mtimeMs).toBe(1000);
    expect((await put(session, noise('a0', 40_000))).added).toBe(true);
    expect((await put(session, noise('a1', 40_000))).added).toBe(true);
    await writeSnapshot(session);
    expect(await checkSnapshots(store)).toBe(2);
  });

  test('has no name of a file twice, and only names of its files', async () => {
    const session = await begin(await openStore(emptyStore()), hostSnapshot(time));
    await session.writeBlob('a.conf.blob', Buffer.from('1'));
    await expect(session.writeBlob('a.conf.blob', Buffer.from('2'))).rejects.toMatchObject({ code: 'EXISTS' });
    for (const name of ['index.json.blob', 'a.pxar.didx', 'x', '../a.blob', '.protected']) {
      await expect(session.writeBlob(name, Buffer.from('2')), name).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    }
    const target = session.openIndex('b.pxar.didx');
    expect(() => session.openIndex('a.blob')).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }));
    expect(() => session.openIndex('b.pxar.didx')).toThrow(expect.objectContaining({ code: 'EXISTS' }));
    await session.finish(manifest);
    await expect(session.writeBlob('b.conf.blob', Buffer.from('2'))).rejects.toMatchObject({ code: 'CLOSED' });
    await expect(target.putZeros(1)).rejects.toMatchObject({ code: 'CLOSED' });
    await expect(session.finish(manifest)).rejects.toMatchObject({ code: 'CLOSED' });
  });

  test('with a key has encrypted chunks, which another key does not share', async () => {
    const directory = emptyStore();
    for (const [n, fill] of [1, 1, 2].entries()) {
      const session = await begin(await openStore(directory), hostSnapshot(time + n), { key: new EncryptionKey(Buffer.alloc(32, fill)) });
      expect((await put(session, noise('same', 9000))).added).toBe(n !== 1);
      await session.finish(manifest);
    }
    expect(chunksOf(directory)).toHaveLength(2);
  });

  test('in a namespace', async () => {
    const directory = emptyStore();
    const store = await openStore(directory);
    const snapshot = hostSnapshot(time, 'web', ['prod', 'eu']);
    await expect(begin(store, snapshot)).rejects.toMatchObject({
      code: 'NOT_FOUND',
      message: expect.stringMatching(/namespace prod: .*install -d .*ns\/prod\/ns\/eu/) as string,
    });
    expect(storeNames(directory)).toEqual(['.chunks', '.lock']);
    mkdirSync(join(directory, 'ns/prod/ns/eu'), { recursive: true });
    await (await begin(store, snapshot)).finish(manifest);
    expect(existsSync(join(directory, 'ns/prod/ns/eu/host/web', text, 'index.json.blob'))).toBe(true);
  });
});

describe('nothing is left', () => {
  test('of one that is given up, but chunks', async () => {
    const directory = emptyStore();
    const session = await begin(await openStore(directory), hostSnapshot(time));
    const running = Array.from({ length: 20 }, (_, i) => put(session, noise(`r${i}`, 200_000)));
    const settled = Promise.allSettled(running);
    await session.writeBlob('a.conf.blob', Buffer.from('1'));
    await session.abort();
    await session.abort();
    await settled;
    expect(storeNames(directory)).toEqual(['.chunks', '.lock', 'host']);
    await expect(session.finish(manifest)).rejects.toMatchObject({ code: 'CLOSED' });
  });

  test('of one that is given up beside others, but those', async () => {
    const directory = await written();
    const before = storeNames(directory);
    await (await begin(await openStore(directory), hostSnapshot(time + 1))).abort();
    expect(storeNames(directory)).toEqual(before);
  });

  test('of a killed one, after the next', async () => {
    const directory = await written();
    for (const parent of ['host', 'host/web']) {
      mkdirSync(join(directory, parent, leftover, 'deeper'), { recursive: true });
      writeFileSync(join(directory, parent, leftover, 'index.json.blob'), 'x');
    }
    mkdirSync(join(directory, 'host/web/.pbsfs-and-more'));
    symlinkSync(emptyStore(), join(directory, 'host/web/.pbsfs-link00'));
    const store = await openStore(directory);
    expect(await store.snapshots(hostSnapshot(time))).toHaveLength(1);
    expect(await store.groups([])).toHaveLength(1);
    await writeSnapshot(await begin(store, hostSnapshot(time + 1)));
    expect(readdirSync(join(directory, 'host'))).toEqual(['web']);
    expect(readdirSync(join(directory, 'host/web')).filter((name) => name.startsWith('.')).sort()).toEqual(['.pbsfs-and-more', '.pbsfs-link00']);
  });

  test('where finishing fails', async () => {
    const directory = await written();
    const before = storeNames(directory);
    const session = await begin(await openStore(directory), hostSnapshot(time + 5));
    await put(session, noise('z', 1000));
    mkdirSync(join(directory, 'host/web/2023-11-14T22:13:25Z'));
    await expect(session.finish(manifest)).rejects.toMatchObject({ code: 'EXISTS' });
    rmSync(join(directory, 'host/web/2023-11-14T22:13:25Z'), { recursive: true });
    expect(storeNames(directory)).toEqual(before);
  });

  test('where the snapshot whose chunks it uses vanished', async () => {
    const directory = await written();
    const store = await openStore(directory);
    const session = await begin(store, hostSnapshot(time + 1));
    await targetOf(session).reuseChunks([]);
    renameSync(join(directory, 'host/web', text), join(directory, 'gone'));
    await expect(session.finish(manifest)).rejects.toMatchObject({ code: 'NOT_FOUND' });
    expect(readdirSync(join(directory, 'host/web'))).toEqual(['owner']);
  });
});

describe('refused', () => {
  test.each([
    ['the same time', time, 'EXISTS', /2023-11-14T22:13:20Z.*not before 2023-11-14T22:13:20Z/],
    ['an earlier time', time - 1, 'EXISTS', /2023-11-14T22:13:20Z.*not before 2023-11-14T22:13:19Z/],
    ['the time of an unfinished one', time + 9, 'EXISTS', /22:13:29Z exists, without a manifest/],
    ['no time', 0, 'BAD_NAME', /1970-01-01T00:00:00Z is not the time/],
    ['half a second', 1.5, 'BAD_NAME', /1\.5 is not a time/],
  ])('%s', async (_, at, code, message) => {
    const directory = await written();
    mkdirSync(join(directory, 'host/web/2023-11-14T22:13:29Z'));
    const before = storeNames(directory);
    const refusal = { code, message: expect.stringMatching(message) as string };
    await expect(begin(await openStore(directory), hostSnapshot(at))).rejects.toMatchObject(refusal);
    expect(storeNames(directory)).toEqual(before);
  });

  test.each(['.a', '-a', 'a/b', '..', '', 'a b'])('the id %j', async (id) => {
    const directory = emptyStore();
    await expect(begin(await openStore(directory), hostSnapshot(time, id))).rejects.toMatchObject({ code: 'BAD_NAME' });
    expect(storeNames(directory)).toEqual(['.chunks', '.lock']);
  });

  test('a long id is told', async () => {
    const lines: string[] = [];
    await begin(await openStore(emptyStore()), hostSnapshot(time, 'a'.repeat(129)), { lines });
    expect(lines).toEqual([expect.stringContaining('129 characters')]);
  });

  test.each(['host', 'host/web'])('a link in place of %s', async (name) => {
    const directory = emptyStore();
    const elsewhere = emptyStore();
    if (name !== 'host') mkdirSync(join(directory, 'host'));
    symlinkSync(elsewhere, join(directory, name));
    await expect(begin(await openStore(directory), hostSnapshot(time))).rejects.toMatchObject({ code: 'NOT_FOUND' });
    expect(storeNames(elsewhere)).toEqual(['.chunks', '.lock']);
  });
});

describe('the owner of a group', () => {
  const allowed: (readonly [wanted: string | undefined, owner: string])[] = [
    [undefined, 'joe@pbs!t1'],
    ['joe@pbs', 'joe@pbs'],
    ['joe@pbs', 'joe@pbs!t1'],
    ['joe@pbs!t1', 'joe@pbs!t1'],
  ];
  test.each(allowed)('%s may write into one of %s', async (owner, groupOwner) => {
    const directory = await written();
    writeFileSync(join(directory, 'host/web/owner'), `${groupOwner}\n`);
    expect((await begin(await openStore(directory), hostSnapshot(time + 1), { owner })).owner).toBe(groupOwner);
  });

  test.each([
    ['joe@pbs', 'root@pam'],
    ['joe@pbs!t1', 'joe@pbs'],
    ['joe@pbs!t1', 'joe@pbs!t1x'],
    ['joe@pb', 'joe@pbs!t1'],
    [undefined, ''],
    [undefined, 'nobody'],
  ])('%s may not write into one of %s', async (owner, groupOwner) => {
    const directory = await written();
    writeFileSync(join(directory, 'host/web/owner'), `${groupOwner}\n`);
    await expect(begin(await openStore(directory), hostSnapshot(time + 1), { owner })).rejects.toMatchObject({ code: 'NOT_OWNER' });
  });

  test('who is nobody at all', async () => {
    await expect(begin(await openStore(emptyStore()), hostSnapshot(time), { owner: 'root' })).rejects.toMatchObject({ code: 'USAGE' });
  });

  test('missing: refused, as by a server; but what a killed program left is completed', async () => {
    const directory = await written();
    rmSync(join(directory, 'host/web/owner'));
    await expect(begin(await openStore(directory), hostSnapshot(time + 1))).rejects.toMatchObject({
      code: 'NOT_OWNER',
      message: expect.stringContaining('echo') as string,
    });
    expect(storeNames(directory)).not.toContain('host/web/owner');
    mkdirSync(join(directory, 'host/new', leftover), { recursive: true });
    expect((await begin(await openStore(directory), hostSnapshot(time, 'new'), { owner: 'joe@pbs!t1' })).owner).toBe('joe@pbs!t1');
    expect(readFileSync(join(directory, 'host/new/owner'), 'utf8')).toBe('joe@pbs!t1\n');
  });
});

describe('files belong to whom the store belongs to', () => {
  const uid = 4242;
  const gid = 4343;

  test('whatever the umask is', async () => {
    const directory = emptyStore();
    const { paths, locks } = fakeServer(directory);
    chownSync(join(directory, '.chunks'), uid, gid);
    const before = process.umask(0o77);
    try {
      await writeSnapshot(await begin(await openStore(directory, paths), hostSnapshot(time)));
    } finally {
      process.umask(before);
    }
    const modes = (root: string, names: readonly string[]): unknown[] =>
      names.map((name) => {
        const facts = statSync(join(root, name));
        return [name, (facts.mode & 0o7777).toString(8), facts.uid, facts.gid];
      });
    const files = [`host/web/${text}/fw.conf.blob`, `host/web/${text}/root.pxar.didx`, `host/web/${text}/index.json.blob`, 'host/web/owner', '.lock'];
    const chunks = chunksOf(directory).map(chunkPath);
    expect(chunks).toHaveLength(3);
    expect(modes(directory, [...files, ...chunks])).toEqual([...files, ...chunks].map((name) => [name, '644', uid, gid]));
    const directories = ['host', 'host/web', `host/web/${text}`];
    expect(modes(directory, directories)).toEqual(directories.map((name) => [name, '755', uid, gid]));
    const lockFiles = ['host-web', 'host-web-2023\\x2d11\\x2d14T22\\x3a13\\x3a20Z', 'host-web-2023\\x2d11\\x2d14T22\\x3a13\\x3a20Z-.index.json.lck'];
    expect(modes(locks, lockFiles)).toEqual(lockFiles.map((name) => [name, '660', uid, gid]));
    expect(modes(locks, ['.'])).toEqual([['.', '755', uid, gid]]);
  });

  test('a file that another has a link to is replaced, not written to', async () => {
    const directory = await written();
    const chunk = join(directory, chunkPath(chunksOf(directory)[0] ?? Buffer.alloc(32)));
    linkSync(chunk, join(directory, 'link'));
    truncateSync(chunk, 0);
    await writeSnapshot(await begin(await openStore(directory), hostSnapshot(time + 1)));
    expect(statSync(join(directory, 'link')).size).toBe(0);
    expect(statSync(chunk).size).toBeGreaterThan(0);
  });
});
