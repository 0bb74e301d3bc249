import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { snapshotPath } from '../../src/format/snapshot-name.js';
import type { Datastore } from '../../src/store/datastore.js';
import { encodeBlob } from '../support/chunks.js';
import { callsOf, ended, everything, type CallsOfDatastore, type Rights } from '../support/datastore-calls.js';
import { begin, emptyStore, hostSnapshot, indexOf, openStore, put, targetOf } from '../support/new-snapshots.js';

const time = 1_700_000_000;
const snap = { 'backup-type': 'host', 'backup-id': 'web', 'backup-time': time } as const;
const group = { 'backup-type': 'host', 'backup-id': 'web' } as const;
const anna = 'anna@pbs';
const backup: Rights = { '': ['Backup'] };
const reader: Rights = { '': ['Audit', 'Verify', 'Read'] };
const powerUser: Rights = { '': ['Prune', 'Backup'] };

let store: Datastore;
let calls: CallsOfDatastore;

async function write(at: number, owner: string, id = 'web', namespace: readonly string[] = []): Promise<void> {
  const session = await begin(store, hostSnapshot(at, id, namespace), { owner });
  const { digest } = await put(session, Buffer.alloc(1000, 7));
  await targetOf(session).writeIndex(indexOf([{ digest, length: 1000 }]));
  const blob = encodeBlob(Buffer.from('a'));
  await session.writeBlob('fw.conf.blob', blob);
  const files = [
    { filename: 'root.pxar.didx', 'crypt-mode': 'none', size: 1000, csum: 'a'.repeat(64) },
    { filename: 'fw.conf.blob', 'crypt-mode': 'none', size: blob.length, csum: 'b'.repeat(64) },
  ];
  const unprotected = { notes: 'first\nsecond', verify_state: { state: 'ok', upid: 'UPID:v' }, 'key-fingerprint': Array(32).fill('ab').join(':') };
  const manifest = { 'backup-type': 'host', 'backup-id': id, 'backup-time': at, files, signature: 'c'.repeat(64), unprotected };
  await session.finish(encodeBlob(Buffer.from(JSON.stringify(manifest))));
}

beforeEach(async () => {
  store = await openStore(emptyStore());
  calls = callsOf(store);
  await write(time, anna);
  await write(time + 1, anna);
  await write(time, 'bert@pbs!token', 'other');
});

describe('listings', () => {
  test('snapshots: records in the order of a server, files of the manifest and others', async () => {
    writeFileSync(join(store.location, snapshotPath(hostSnapshot(time)), 'client.log.blob'), encodeBlob(Buffer.from('x')));
    const answer = await calls.call('root@pam', everything, 'GET', 'snapshots', group);
    const size = (await store.blob(hostSnapshot(time), 'index.json.blob')).length;
    const record = {
      'backup-type': 'host',
      'backup-id': 'web',
      'backup-time': time,
      comment: 'first',
      verification: { state: 'ok', upid: 'UPID:v' },
      fingerprint: Array(32).fill('ab').join(':'),
      files: [
        { filename: 'root.pxar.didx', 'crypt-mode': 'none', size: 1000 },
        { filename: 'fw.conf.blob', 'crypt-mode': 'none', size: 13 },
        { filename: 'index.json.blob', 'crypt-mode': 'sign-only', size },
        { filename: 'client.log.blob' },
      ],
      size: 1013 + size,
      owner: anna,
      protected: false,
    };
    if (!('data' in answer)) throw new Error('no data');
    expect(answer.form).toBe('chunked');
    expect(JSON.stringify((answer.data as unknown[])[0])).toBe(JSON.stringify(record));
    expect(answer.data).toHaveLength(2);
    expect(await calls.root('GET', 'files', snap)).toEqual(record.files);
    expect(await calls.root('GET', 'snapshots', { 'backup-id': 'other' })).toHaveLength(1);
    expect(await calls.root('GET', 'snapshots', { 'backup-id': 'none' })).toEqual([]);
  });

  test('groups: the newest finished one counts; what is unfinished or empty is there', async () => {
    mkdirSync(join(store.location, snapshotPath(hostSnapshot(time + 5))));
    await store.createGroup({ namespace: [], type: 'ct', id: '100' }, () => undefined);
    await calls.root('PUT', 'group-notes', { ...group, notes: 'about\nmore' });
    expect(await calls.root('GET', 'groups')).toEqual([
      { 'backup-type': 'ct', 'backup-id': '100', 'last-backup': 0, 'backup-count': 0, files: [], owner: 'root@pam' },
      { 'backup-type': 'host', 'backup-id': 'other', 'last-backup': time, 'backup-count': 1, files: ['fw.conf.blob', 'index.json.blob', 'root.pxar.didx'], owner: 'bert@pbs!token' },
      { 'backup-type': 'host', 'backup-id': 'web', 'last-backup': time + 1, 'backup-count': 3, files: ['fw.conf.blob', 'index.json.blob', 'root.pxar.didx'], owner: anna, comment: 'about\n' },
    ]);
    expect(await calls.root('GET', 'snapshots', group)).toContainEqual({ ...group, 'backup-time': time + 5, files: [], owner: anna, protected: false });
  });

  test('who may only see their own sees their own, and what belongs to their tokens', async () => {
    const ids = async (who: string, rights: Rights): Promise<unknown> => {
      const answer = await calls.call(who, rights, 'GET', 'groups');
      return 'data' in answer ? (answer.data as { 'backup-id': string }[]).map((item) => item['backup-id']) : undefined;
    };
    expect(await ids(anna, backup)).toEqual(['web']);
    expect(await ids('bert@pbs', backup)).toEqual(['other']);
    expect(await ids('bert@pbs!token', backup)).toEqual(['other']);
    expect(await ids('bert@pbs!second', backup)).toEqual([]);
    expect(await ids('carl@pbs', reader)).toEqual(['other', 'web']);
    expect(await calls.status('carl@pbs', { '': ['Read'] }, 'GET', 'groups')).toBe(403);
  });

  test('status', async () => {
    const { bytes } = await store.space();
    expect(await calls.root('GET', 'status')).toMatchObject({ total: bytes });
    const verbose = await calls.root('GET', 'status', { verbose: true });
    expect(verbose).toMatchObject({ counts: { ct: null, host: { groups: 2, snapshots: 3 }, vm: null, other: null }, 'gc-status': { upid: null, 'disk-chunks': 0 } });
    const answer = await calls.call('carl@pbs', { '': [], a: ['Read'] }, 'GET', 'status');
    expect(answer).toEqual({ data: { total: 0, used: 0, avail: 0 } });
    expect(await calls.status('carl@pbs', {}, 'GET', 'status')).toBe(403);
  });
});

test('what is not there is 400, and so is what is not understood', async () => {
  const none = { ...snap, 'backup-time': time + 77 };
  for (const [method, path, parameters] of [
    ['GET', 'groups', { store: 'unknown' }],
    ['GET', 'groups', { ns: 'nowhere' }],
    ['GET', 'snapshots', { ns: 'nowhere' }],
    ['GET', 'files', none],
    ['GET', 'notes', none],
    ['PUT', 'notes', { ...none, notes: 'x' }],
    ['PUT', 'protected', { ...none, protected: true }],
    ['DELETE', 'snapshots', none],
    ['DELETE', 'groups', { ...group, 'backup-id': 'none' }],
    ['POST', 'prune', { ...group, 'backup-id': 'none', 'keep-last': 1 }],
    ['POST', 'prune', { ...group, 'keep-last': 0 }],
    ['GET', 'files', { ...snap, 'backup-type': 'VM' }],
    ['GET', 'files', { ...snap, 'backup-id': '../x' }],
    ['GET', 'groups', { ns: 'a/../b' }],
    ['GET', 'groups', { strange: 1 }],
  ] as const) {
    expect([path, await calls.status('root@pam', everything, method, path, parameters)]).toEqual([path, 400]);
  }
});

test('what is wrong with a long value is said at once', async () => {
  const started = performance.now();
  expect(await calls.status(anna, backup, 'POST', 'change-owner', { ...group, 'new-owner': `a${' '.repeat(200_000)}b` })).toBe(400);
  expect(performance.now() - started).toBeLessThan(1000);
});

test('notes, protection, removal, and who may', async () => {
  expect(await calls.root('GET', 'notes', snap)).toBe('first\nsecond');
  expect(await calls.status(anna, backup, 'PUT', 'notes', { ...snap, notes: 'new' })).toBe(200);
  expect(await calls.root('GET', 'notes', snap)).toBe('new');
  expect(await calls.status('bert@pbs', backup, 'PUT', 'notes', { ...snap, notes: 'bad' })).toBe(400);
  expect(await calls.status('carl@pbs', reader, 'PUT', 'notes', { ...snap, notes: 'bad' })).toBe(403);
  expect(await calls.status('carl@pbs', reader, 'GET', 'notes', snap)).toBe(200);
  expect(await calls.root('GET', 'protected', snap)).toBe(false);
  expect(await calls.root('PUT', 'protected', { ...snap, protected: 'yes' })).toBe(null);
  expect(await calls.root('GET', 'protected', snap)).toBe(true);
  expect(await calls.status('root@pam', everything, 'DELETE', 'snapshots', snap)).toBe(400);
  expect(await calls.status('root@pam', everything, 'DELETE', 'groups', group)).toBe(400);
  expect(await calls.root('DELETE', 'groups', { ...group, 'error-on-protected': false })).toEqual({ 'protected-snapshots': 1, 'removed-groups': 0, 'removed-snapshots': 0 });
  await calls.root('PUT', 'protected', { ...snap, protected: false });
  expect(await calls.status(anna, backup, 'DELETE', 'snapshots', snap)).toBe(403);
  expect(await calls.status('bert@pbs', powerUser, 'DELETE', 'snapshots', snap)).toBe(400);
  expect(await calls.status(anna, powerUser, 'DELETE', 'snapshots', snap)).toBe(200);
  expect(existsSync(join(store.location, 'host/web'))).toBe(false);
  expect(calls.audit.at(-1)).toEqual({ who: anna, from: '127.0.0.1', what: 'forget', target: `store1:host/web/2023-11-14T22:13:20Z`, result: 'ok' });
  expect(calls.audit.filter(({ result }) => result === 'refused').map(({ what }) => what)).toEqual(['notes', 'forget']);
});

test('a group goes to a token and back, to others only by who may change all', async () => {
  const own = callsOf(store, { [anna]: ['one', 'two'], 'bert@pbs': ['token'] });
  const give = (who: string, rights: Rights, owner: string): Promise<number> => own.status(who, rights, 'POST', 'change-owner', { ...group, 'new-owner': owner });
  expect(await give(anna, backup, 'anna@pbs!one')).toBe(200);
  expect(await give(anna, backup, 'anna@pbs!two')).toBe(200);
  expect(await give('anna@pbs!one', backup, 'anna@pbs!one')).toBe(401);
  for (const owner of [anna, 'anna@pbs!one', 'anna@pbs!two']) expect(await give('anna@pbs!two', backup, owner)).toBe(401);
  expect(await give(anna, backup, 'anna@pbs!three')).toBe(400);
  expect((await store.groupFacts(hostSnapshot(time))).owner).toBe('anna@pbs!two');
  expect(await give(anna, backup, 'anna@pbs')).toBe(200);
  expect(await give(anna, backup, 'bert@pbs')).toBe(401);
  expect(await give('bert@pbs', backup, 'bert@pbs!token')).toBe(401);
  expect(await give(anna, reader, 'anna@pbs!one')).toBe(401);
  expect(await give('root@pam', everything, 'nonsense')).toBe(400);
  expect(await give('root@pam', everything, 'bert@pbs')).toBe(200);
});

test('a log: only by the owner, once, only a whole blob', async () => {
  const log = encodeBlob(Buffer.from('went well'));
  const upload = (who: string, rights: Rights, body: Buffer): Promise<number> => calls.status(who, rights, 'POST', 'upload-backup-log', snap, body);
  expect(await upload('root@pam', everything, log)).toBe(400);
  expect(await upload(anna, reader, log)).toBe(403);
  expect(await upload(anna, backup, log.subarray(0, -1))).toBe(400);
  expect(await upload(anna, backup, log)).toBe(200);
  expect(await upload(anna, backup, log)).toBe(400);
  expect(await store.blob(hostSnapshot(time), 'client.log.blob')).toEqual(log);
});

test('prune: at once, as a task, and of the whole datastore', async () => {
  const decided = [{ ...snap, keep: false, protected: false }, { ...snap, 'backup-time': time + 1, keep: true, protected: false }];
  expect(await calls.root('POST', 'prune', { ...group, 'keep-last': 1, 'dry-run': true })).toEqual(decided);
  expect(await calls.status('bert@pbs', powerUser, 'POST', 'prune', { ...group, 'keep-last': 1 })).toBe(400);
  const upid = await calls.root('POST', 'prune', { ...group, 'keep-last': 1, 'use-task': true });
  expect(await ended(calls, upid)).toMatchObject({ outcome: 'OK', text: expect.stringMatching(/22:13:20Z: remove\n.*22:13:21Z: keep/) as string });
  expect(await store.snapshots(hostSnapshot(0))).toHaveLength(1);
  await store.createNamespace(['a'], () => undefined);
  await write(time, anna, 'web', ['a']);
  await write(time + 1, anna, 'web', ['a']);
  await write(time + 1, 'bert@pbs!token', 'other');
  expect(await calls.root('POST', 'prune', { ...group, ns: 'a', 'keep-last': 5, 'dry-run': true })).toMatchObject([{ ns: 'a' }, { ns: 'a' }]);
  const own = await calls.call('bert@pbs', powerUser, 'POST', 'prune-datastore', { 'keep-last': 1 });
  await ended(calls, 'data' in own && own.data);
  expect(await store.snapshots(hostSnapshot(0, 'other'))).toHaveLength(1);
  expect(await store.snapshots(hostSnapshot(0, 'web', ['a']))).toHaveLength(2);
  expect(await ended(calls, await calls.root('POST', 'prune-datastore', { 'keep-last': 1 }))).toMatchObject({ outcome: 'OK' });
  expect(await store.snapshots(hostSnapshot(0, 'web', ['a']))).toHaveLength(1);
});

test('garbage collection', async () => {
  expect(await calls.status(anna, powerUser, 'POST', 'gc')).toBe(403);
  expect(await calls.status(anna, powerUser, 'GET', 'gc')).toBe(403);
  expect(await calls.root('GET', 'gc')).toMatchObject({ store: 'store1', upid: null, 'disk-chunks': 0 });
  const session = await begin(store, hostSnapshot(time + 9), { owner: anna });
  const upid = await calls.root('POST', 'gc');
  expect(await calls.status('root@pam', everything, 'POST', 'gc')).toBe(400);
  const other = await begin(store, hostSnapshot(time + 9, 'meanwhile'), { owner: anna });
  expect(await ended(calls, upid)).toMatchObject({ outcome: 'OK' });
  await session.abort();
  await other.abort();
  expect(await calls.root('GET', 'gc')).toMatchObject({ store: 'store1', upid, 'index-file-count': 3, 'disk-chunks': 2 });
});

test('namespaces', async () => {
  expect(await calls.root('GET', 'namespace')).toEqual([{ ns: '' }]);
  expect(await calls.root('POST', 'namespace', { name: 'a', parent: '' })).toBe('a');
  expect(await calls.root('POST', 'namespace', { name: 'b', parent: 'a' })).toBe('a/b');
  expect(await calls.root('POST', 'namespace', { name: 'b', parent: 'a' })).toBe('a/b');
  expect(await calls.status('root@pam', everything, 'POST', 'namespace', { name: 'x', parent: 'nowhere' })).toBe(400);
  expect(await calls.status('root@pam', everything, 'POST', 'namespace', { name: 'x'.repeat(33) })).toBe(400);
  expect(await calls.status(anna, powerUser, 'POST', 'namespace', { name: 'x' })).toBe(403);
  expect(await calls.root('GET', 'namespace', { parent: 'a' })).toEqual([{ ns: 'a' }, { ns: 'a/b' }]);
  expect(await calls.root('GET', 'namespace', { 'max-depth': 1 })).toEqual([{ ns: '' }, { ns: 'a' }]);
  expect(await calls.root('GET', 'namespace', { parent: 'nowhere' })).toEqual([{ ns: 'nowhere' }]);
  expect(await calls.status('carl@pbs', {}, 'GET', 'namespace')).toBe(403);
  const some = await calls.call('carl@pbs', { '': [], 'a/b': ['Read'] }, 'GET', 'namespace');
  expect(some).toEqual({ data: [{ ns: 'a/b' }] });
  await write(time, anna, 'web', ['a', 'b']);
  const zeros = { 'protected-snapshots': 0, 'removed-groups': 0, 'removed-snapshots': 0 };
  expect(await calls.status('root@pam', everything, 'DELETE', 'namespace', { ns: 'a' })).toBe(400);
  expect(await calls.status('root@pam', everything, 'DELETE', 'namespace', { ns: '' })).toBe(400);
  expect(await calls.status(anna, powerUser, 'DELETE', 'namespace', { ns: 'a' })).toBe(403);
  expect(await calls.root('DELETE', 'namespace', { ns: 'a', 'delete-groups': true })).toEqual({ ...zeros, 'removed-groups': 1, 'removed-snapshots': 1 });
  expect(await calls.root('DELETE', 'namespace', { ns: 'a' })).toEqual(zeros);
  expect(await calls.status('root@pam', everything, 'DELETE', 'namespace', { ns: 'a', 'delete-groups': true })).toBe(400);
});
