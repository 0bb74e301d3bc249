import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { decodeBlob } from '../../src/codec/blob-decoder.js';
import { manifestLockName, nestedManifestLockName, snapshotLockName, groupLockName } from '../../src/format/lock-name.js';
import { snapshotPath, type SnapshotName } from '../../src/format/snapshot-name.js';
import type { Administration } from '../../src/store/administration.js';
import type { Datastore } from '../../src/store/datastore.js';
import { encodeBlob, zstd } from '../support/chunks.js';
import { canLock, holdLock } from '../support/lock-holder.js';
import { begin, checkSnapshots, emptyStore, fakeServer, hostSnapshot, noServer, openStore, put, storeNames, targetOf, indexOf, writeSnapshot } from '../support/new-snapshots.js';

const time = 1_700_000_000;
const group = { namespace: [], type: 'host', id: 'web' } as const;
const signed = {
  'backup-id': 'web',
  'backup-time': time,
  'backup-type': 'host',
  files: [],
  future: { deep: [1, null] },
  signature: 'ab'.repeat(32),
  unprotected: { chunk_upload_stats: { strange: true }, 'some-later-thing': { a: 1 }, notes: 'old' },
};

interface Administered {
  readonly directory: string;
  readonly store: Datastore;
  readonly administration: Administration;
  readonly lines: string[];
  readonly locks: string;
}

async function administered(count = 1, withServer = false): Promise<Administered> {
  const directory = emptyStore();
  const server = withServer ? fakeServer(directory) : undefined;
  const store = await openStore(directory, server?.paths ?? noServer);
  for (let i = 0; i < count; i++) {
    const session = await begin(store, hostSnapshot(time + i));
    const { digest } = await put(session, Buffer.alloc(1000, i + 1));
    await targetOf(session).writeIndex(indexOf([{ digest, length: 1000 }]));
    await session.writeBlob('fw.conf.blob', encodeBlob(Buffer.from('a')));
    await session.finish(encodeBlob(Buffer.from(JSON.stringify(signed))));
  }
  const lines: string[] = [];
  return { directory, store, administration: await store.administration((line) => lines.push(line)), lines, locks: server?.locks ?? '' };
}

async function manifestOf(store: Datastore, snapshot: SnapshotName): Promise<Record<string, unknown>> {
  return JSON.parse(decodeBlob(await store.blob(snapshot, 'index.json.blob'), zstd, undefined).toString()) as Record<string, unknown>;
}

function protect({ directory }: Administered, i: number): void {
  writeFileSync(join(directory, snapshotPath(hostSnapshot(time + i)), '.protected'), '');
}

describe('notes', () => {
  test('of a snapshot: only they change, what is not known stays', async () => {
    const { store, administration } = await administered();
    const text = 'two\nlines, \u00fc "quoted"';
    await administration.setNotes(hostSnapshot(time), text);
    expect(await administration.notes(hostSnapshot(time))).toBe(text);
    expect(await manifestOf(store, hostSnapshot(time))).toEqual({ ...signed, unprotected: { ...signed.unprotected, notes: text } });
    await administration.setNotes(hostSnapshot(time), '');
    expect(await administration.notes(hostSnapshot(time))).toBe('');
  });

  test('many at once: one after the other, none is half', async () => {
    const { store, administration, directory } = await administered();
    await Promise.all(Array.from({ length: 20 }, (_, i) => administration.setNotes(hostSnapshot(time), `n${i}`)));
    expect(await administration.notes(hostSnapshot(time))).toMatch(/^n\d+$/);
    expect(await checkSnapshots(store)).toBe(1);
    expect(storeNames(directory).filter((name) => name.includes('tmp'))).toEqual([]);
  });

  test('of a group', async () => {
    const { administration, store, directory } = await administered();
    expect(await administration.notes(group)).toBe('');
    await administration.setNotes(group, 'about it\nmore');
    expect(readFileSync(join(directory, 'host/web/notes'), 'utf8')).toBe('about it\nmore');
    expect(await administration.notes(group)).toBe('about it\nmore');
    await administration.setNotes(group, '');
    expect(existsSync(join(directory, 'host/web/notes'))).toBe(false);
    expect(await checkSnapshots(store)).toBe(1);
  });

  test('refused: too long, no text, not finished, not there, locked', async () => {
    const { administration, directory, locks } = await administered(1, true);
    await expect(administration.setNotes(group, 'x'.repeat((1 << 20) + 1))).rejects.toMatchObject({ code: 'LIMIT_EXCEEDED' });
    for (const of of [group, hostSnapshot(time)]) await expect(administration.setNotes(of, 'a\ud800b')).rejects.toMatchObject({ code: 'BAD_STRUCTURE' });
    mkdirSync(join(directory, snapshotPath(hostSnapshot(time + 9))));
    await expect(administration.setNotes(hostSnapshot(time + 9), 'x')).rejects.toMatchObject({ code: 'UNFINISHED' });
    await expect(administration.setNotes(hostSnapshot(time + 8), 'x')).rejects.toMatchObject({ code: 'NOT_FOUND' });
    await expect(administration.notes({ ...group, id: 'none' })).rejects.toMatchObject({ code: 'NOT_FOUND' });
    const lock = join(locks, groupLockName(group));
    const release = await holdLock('whole', 'exclusive', lock);
    await expect(administration.setNotes(group, 'x')).rejects.toMatchObject({ code: 'LOCKED' });
    await release();
    await administration.setNotes(group, 'x');
  });

  test.each([manifestLockName, nestedManifestLockName])('a locked manifest is waited for', async (nameOf) => {
    const { administration, locks } = await administered(1, true);
    const release = await holdLock('whole', 'exclusive', join(locks, nameOf(hostSnapshot(time))));
    const writing = administration.setNotes(hostSnapshot(time), 'later');
    await setTimeout(200);
    expect(await administration.notes(hostSnapshot(time))).toBe('old');
    await release();
    await writing;
    expect(await administration.notes(hostSnapshot(time))).toBe('later');
  });
});

describe('protection, owner, log', () => {
  test('a protected snapshot is not removed', async () => {
    const { administration, store } = await administered(2);
    await administration.setProtected(hostSnapshot(time), true);
    await administration.setProtected(hostSnapshot(time), true);
    expect((await store.snapshotFacts(hostSnapshot(time))).protected).toBe(true);
    await expect(administration.removeSnapshot(hostSnapshot(time))).rejects.toMatchObject({ code: 'NOT_PERMITTED' });
    await administration.setProtected(hostSnapshot(time), false);
    await administration.removeSnapshot(hostSnapshot(time));
    expect(await checkSnapshots(store)).toBe(1);
  });

  test('owner', async () => {
    const { administration, store, directory } = await administered();
    await administration.changeOwner(group, 'a@pbs!t');
    expect(readFileSync(join(directory, 'host/web/owner'), 'utf8')).toBe('a@pbs!t\n');
    await expect(administration.changeOwner(group, 'nobody')).rejects.toMatchObject({ code: 'USAGE' });
    await expect(administration.changeOwner({ ...group, id: 'x' }, 'a@pbs')).rejects.toMatchObject({ code: 'NOT_FOUND' });
    expect((await store.groupFacts(group)).owner).toBe('a@pbs!t');
    const session = await begin(store, hostSnapshot(time + 5));
    await expect(administration.changeOwner(group, 'a@pbs')).rejects.toMatchObject({ code: 'LOCKED' });
    await session.abort();
  });

  test('a log, once, and only a whole blob', async () => {
    const { administration, store } = await administered();
    const log = encodeBlob(Buffer.from('all went well'));
    const damaged = Buffer.from(log);
    damaged.writeUInt8(damaged.readUInt8(15) ^ 1, 15);
    await expect(administration.writeLog(hostSnapshot(time), damaged)).rejects.toMatchObject({ code: 'BAD_CRC' });
    await expect(administration.writeLog(hostSnapshot(time), Buffer.from('plain text of some length'))).rejects.toMatchObject({ code: 'BAD_MAGIC' });
    await administration.writeLog(hostSnapshot(time), log);
    expect(await store.blob(hostSnapshot(time), 'client.log.blob')).toEqual(log);
    await expect(administration.writeLog(hostSnapshot(time), log)).rejects.toMatchObject({ code: 'EXISTS' });
  });
});

describe('removal', () => {
  test('of all snapshots, one by one: the group and all lock files are gone with the last', async () => {
    const { administration, directory, locks } = await administered(2, true);
    await administration.setNotes(group, 'notes');
    await administration.removeSnapshot(hostSnapshot(time));
    expect(readdirSync(join(directory, 'host/web')).sort()).toEqual(['2023-11-14T22:13:21Z', 'notes', 'owner']);
    await administration.removeSnapshot(hostSnapshot(time + 1));
    expect(readdirSync(join(directory, 'host'))).toEqual([]);
    const files = readdirSync(locks, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
    expect(files.map(({ name }) => name)).toEqual([]);
    await expect(administration.removeSnapshot(hostSnapshot(time))).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });

  test('of an unfinished one, and of one whose manifest is damaged', async () => {
    const { administration, directory } = await administered();
    mkdirSync(join(directory, snapshotPath(hostSnapshot(time + 1))));
    await administration.removeSnapshot(hostSnapshot(time + 1));
    writeFileSync(join(directory, snapshotPath(hostSnapshot(time)), 'index.json.blob'), '');
    await administration.removeSnapshot(hostSnapshot(time));
  });

  test.each(['shared', 'exclusive'] as const)('refused while it is locked (%s), in either way', async (kind) => {
    const { administration, directory, locks, store } = await administered(2, true);
    const snapshot = hostSnapshot(time + 1);
    for (const path of [join(directory, snapshotPath(snapshot)), join(locks, snapshotLockName(snapshot))]) {
      mkdirSync(locks, { recursive: true });
      writeFileSync(join(locks, snapshotLockName(snapshot)), '');
      const release = await holdLock('whole', kind, path);
      await expect(administration.removeSnapshot(snapshot)).rejects.toMatchObject({ code: 'LOCKED' });
      await expect(administration.setProtected(snapshot, true)).rejects.toMatchObject({ code: 'LOCKED' });
      await release();
    }
    const held = await store.holdSnapshot(snapshot, () => undefined);
    await expect(administration.removeSnapshot(snapshot)).rejects.toMatchObject({ code: 'LOCKED' });
    held.release();
    expect(await checkSnapshots(store)).toBe(2);
    await administration.removeSnapshot(snapshot);
    expect(canLock('whole', 'exclusive', join(directory, 'host/web'))).toBe(true);
  });

  test('while a backup of the group runs: the others can be removed, the newest and the new one not', async () => {
    const { administration, store } = await administered(2);
    const session = await begin(store, hostSnapshot(time + 5));
    await administration.removeSnapshot(hostSnapshot(time));
    await expect(administration.removeSnapshot(hostSnapshot(time + 1))).rejects.toMatchObject({ code: 'LOCKED' });
    await expect(administration.removeSnapshot(hostSnapshot(time + 5))).rejects.toMatchObject({ code: 'NOT_FOUND' });
    await expect(administration.removeGroup(group)).rejects.toMatchObject({ code: 'LOCKED' });
    await writeSnapshot(session);
    expect(await checkSnapshots(store)).toBe(2);
  });

  test('of a group: protected snapshots keep it', async () => {
    const all = await administered(3);
    protect(all, 1);
    await expect(all.administration.removeGroup(group)).rejects.toMatchObject({ code: 'NOT_PERMITTED' });
    expect(await all.administration.removeGroup(group, { skipProtected: true })).toEqual({ groups: 0, snapshots: 0, protectedSnapshots: 1 });
    expect(await checkSnapshots(all.store)).toBe(1);
    await all.administration.setProtected(hostSnapshot(time + 1), false);
    expect(await all.administration.removeGroup(group)).toEqual({ groups: 1, snapshots: 1, protectedSnapshots: 0 });
    await expect(all.administration.removeGroup(group)).rejects.toMatchObject({ code: 'NOT_FOUND' });
    expect(readdirSync(join(all.directory, 'host'))).toEqual([]);
  });

  test('of a group with something else in it: that stays', async () => {
    const { administration, directory } = await administered(1);
    writeFileSync(join(directory, 'host/web/thesis.txt'), 'x');
    await expect(administration.removeGroup(group)).rejects.toMatchObject({ code: 'NOT_EMPTY' });
    expect(readdirSync(join(directory, 'host/web')).sort()).toEqual(['owner', 'thesis.txt']);
  });

  test('of namespaces', async () => {
    const { administration, store, directory } = await administered(1);
    const quiet = (): void => undefined;
    for (const namespace of [['a'], ['a', 'b'], ['a', 'c']]) await store.createNamespace(namespace, quiet);
    for (const namespace of [['a'], ['a', 'b']]) await writeSnapshot(await begin(store, hostSnapshot(time, 'in', namespace)));
    await expect(administration.removeNamespace([], { withGroups: true })).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    await expect(administration.removeNamespace(['x'], { withGroups: true })).rejects.toMatchObject({ code: 'NOT_FOUND' });
    await expect(administration.removeNamespace(['a'], { withGroups: false })).rejects.toMatchObject({ code: 'NOT_EMPTY' });
    expect(await store.namespaces(['a'])).toEqual(['b']);
    await administration.setProtected(hostSnapshot(time, 'in', ['a', 'b']), true);
    await expect(administration.removeNamespace(['a'], { withGroups: true })).rejects.toMatchObject({ code: 'NOT_PERMITTED' });
    expect(await store.groups(['a'])).toEqual([]);
    await administration.setProtected(hostSnapshot(time, 'in', ['a', 'b']), false);
    expect(await administration.removeNamespace(['a'], { withGroups: true })).toEqual({ groups: 1, snapshots: 1, protectedSnapshots: 0 });
    expect(readdirSync(join(directory, 'ns'))).toEqual([]);
    expect(await checkSnapshots(store)).toBe(1);
  });

  test('killed at any instant: the snapshot is whole or not there, and nothing stays for good', async () => {
    const { store, directory, administration } = await administered(1);
    const remover = new URL('../support/snapshot-remover.js', import.meta.url).pathname;
    for (let round = 1; round <= 8; round++) {
      const path = join(directory, snapshotPath(hostSnapshot(time + round)));
      await writeSnapshot(await begin(store, hostSnapshot(time + round)));
      for (let i = 0; i < 4000; i++) writeFileSync(join(path, `extra${i}.blob`), 'x');
      const files = readdirSync(path).length;
      const child = spawn(process.execPath, [remover, directory, 'web', String(time + round)], { stdio: ['ignore', 'pipe', 'inherit'] });
      await once(child.stdout, 'data');
      await setTimeout(round * 6);
      child.kill('SIGKILL');
      await once(child, 'exit');
      if (existsSync(path)) expect(readdirSync(path)).toHaveLength(files);
      if (existsSync(path)) await administration.removeSnapshot(hostSnapshot(time + round));
    }
    await administration.removeGroup(group);
    expect(readdirSync(join(directory, 'host'))).toEqual([]);
  });
});

test('prune: what is decided, and what is done', async () => {
  const all = await administered(4);
  protect(all, 0);
  const keep = { last: 1 };
  const decided = await all.administration.prune(group, keep, { dryRun: true });
  expect(decided.map(({ keep: kept, protected: isProtected }) => [kept, isProtected])).toEqual([[true, true], [false, false], [false, false], [true, false]]);
  expect(await checkSnapshots(all.store)).toBe(4);
  const held = await all.store.holdSnapshot(hostSnapshot(time + 1), () => undefined);
  expect(await all.administration.prune(group, keep, { dryRun: false })).toEqual(decided);
  expect(all.lines).toEqual([expect.stringMatching(/22:13:21Z was not removed: .*locked/)]);
  held.release();
  expect((await all.store.snapshots(group)).map((snapshot) => snapshot.time - time)).toEqual([0, 1, 3]);
});
