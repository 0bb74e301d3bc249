/** Verification of real snapshots, whole and damaged. */
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, expect, test } from 'vitest';
import { chunkPath } from '../../src/format/chunk-path.js';
import type { SnapshotName } from '../../src/format/snapshot-name.js';
import type { Datastore } from '../../src/store/datastore.js';
import { openLocalDatastore } from '../../src/store/local/local-datastore.js';
import { callsOf, ended, everything, type CallsOfDatastore } from '../support/datastore-calls.js';
import { madeStore } from '../support/made-stores.js';
import { fakeServer, noServer } from '../support/new-snapshots.js';
import { text } from '../support/random.js';
import { copyOfStore } from '../support/scratch.js';

let store: Datastore;
let calls: CallsOfDatastore;

beforeEach(async () => {
  store = await openLocalDatastore(copyOfStore('vault'), { server: noServer });
  calls = callsOf(store);
});

async function allSnapshots(): Promise<SnapshotName[]> {
  const lists = (await store.groups([])).map((group) => store.snapshots(group));
  return (await Promise.all(lists)).flat();
}

function snap({ type, id, time }: SnapshotName): { 'backup-type': string; 'backup-id': string; 'backup-time': number } {
  return { 'backup-type': type, 'backup-id': id, 'backup-time': time };
}

interface Listed {
  readonly 'backup-type': string;
  readonly 'backup-id': string;
  readonly 'backup-time': number;
  readonly verification?: { readonly state: string; readonly upid: string };
  readonly files: readonly { readonly filename: string; readonly 'crypt-mode'?: string }[];
}

async function listed(): Promise<Listed[]> {
  return (await calls.root('GET', 'snapshots')) as Listed[];
}

async function verify(parameters: Readonly<Record<string, string | number | boolean>> = {}): Promise<{ outcome: string | undefined; text: string; upid: string }> {
  const upid = String(await calls.root('POST', 'verify', parameters));
  return { ...(await ended(calls, upid)), upid };
}

/** A snapshot that is finished, has an index of this crypt mode, and its chunks. */
async function someIndex(mode: string): Promise<{ snapshot: SnapshotName; chunk: string }> {
  for (const snapshot of await allSnapshots()) {
    const item = (await listed()).find((each) => each['backup-time'] === snapshot.time && each['backup-id'] === snapshot.id);
    const file = item?.files.find((each) => each['crypt-mode'] === mode && /\.[fd]idx$/.test(each.filename));
    if (file === undefined) continue;
    const index = await store.index(snapshot, file.filename);
    const chunk = join(store.location, chunkPath(index.digestAt(index.count - 1)));
    if (existsSync(chunk)) return { snapshot, chunk };
  }
  throw new Error(`no snapshot with ${mode}`);
}

function damage(path: string): void {
  const bytes = readFileSync(path);
  bytes.writeUInt8(bytes.readUInt8(bytes.length - 1) ^ 1, bytes.length - 1);
  rmSync(path);
  writeFileSync(path, bytes);
}

test('a snapshot that is whole, and one that was verified', async () => {
  const { snapshot } = await someIndex('encrypt');
  const first = await verify({ ...snap(snapshot), 'ignore-verified': false });
  expect(first).toMatchObject({ outcome: 'OK', text: expect.stringMatching(/: ok\n/) as string });
  const item = (await listed()).find((each) => each['backup-time'] === snapshot.time && each['backup-id'] === snapshot.id);
  expect(item?.verification).toEqual({ state: 'ok', upid: first.upid });
  expect((await verify(snap(snapshot))).text).toMatch(/skipped, it was verified before/);
  expect((await verify({ ...snap(snapshot), 'outdated-after': 1 })).text).toMatch(/skipped/);
});

test('a blob that decodes to more than can be uploaded', async () => {
  const directory = madeStore({ blobs: { 'large.log': text('large', 20_000_000) } });
  writeFileSync(join(directory, 'host/made/owner'), 'root@pam\n');
  store = await openLocalDatastore(directory, { server: noServer });
  calls = callsOf(store);
  expect(await verify({ 'ignore-verified': false })).toMatchObject({ outcome: 'OK', text: expect.stringMatching(/: ok\n/) as string });
  expect((await listed())[0]?.verification).toMatchObject({ state: 'ok' });
});

test('with as many threads as the client says', async () => {
  const { snapshot } = await someIndex('encrypt');
  for (const threads of [{ 'read-threads': 1, 'verify-threads': 1 }, { 'verify-threads': 32 }]) {
    expect(await verify({ ...snap(snapshot), 'ignore-verified': false, ...threads })).toMatchObject({ outcome: 'OK' });
  }
  expect(await calls.status('root@pam', everything, 'POST', 'verify', { 'read-threads': 33 })).toBe(400);
});

test.each(['none', 'encrypt'])('a damaged chunk (%s): it is moved aside, the snapshot has failed', async (mode) => {
  const { snapshot, chunk } = await someIndex(mode);
  damage(chunk);
  const result = await verify({ ...snap(snapshot), 'ignore-verified': false });
  expect(result).toMatchObject({ outcome: expect.stringMatching(/failed for 1/) as string, text: expect.stringMatching(/CRC-32.*\n.*\.0\.bad now/) as string });
  expect([existsSync(chunk), existsSync(`${chunk}.0.bad`)]).toEqual([false, true]);
  const item = (await listed()).find((each) => each['backup-time'] === snapshot.time && each['backup-id'] === snapshot.id);
  expect(item?.verification).toMatchObject({ state: 'failed', upid: result.upid });
  expect((await verify({ ...snap(snapshot), 'ignore-verified': false })).text).toMatch(/no such file|ENOENT/);
});

test('a chunk with the content of another is not believed', async () => {
  const { snapshot, chunk } = await someIndex('none');
  const zeros = join(store.location, '.chunks/bb9f/bb9f8df61474d25e71fa00722318cd387396ca1736605e1248821cc0de3d3af8');
  const other = existsSync(zeros) ? zeros : (await someIndex('encrypt')).chunk;
  const bytes = readFileSync(other);
  rmSync(chunk);
  writeFileSync(chunk, bytes);
  expect(await verify({ ...snap(snapshot), 'ignore-verified': false })).toMatchObject({ outcome: expect.stringMatching(/failed/) as string });
});

test('all of it: what is locked or unfinished is told, rights are asked for', async () => {
  const { snapshot } = await someIndex('encrypt');
  const held = await store.holdSnapshot(snapshot, () => undefined);
  const { outcome, text } = await verify({ 'ignore-verified': false });
  held.release();
  const snapshots = await allSnapshots();
  expect(text.split('\n').filter((line) => /: (ok|failed)|: skipped/.test(line)).length).toBeGreaterThanOrEqual(snapshots.length);
  expect(outcome === 'OK' || /failed/.test(outcome ?? '')).toBe(true);
  expect(await calls.status('carl@pbs', { '': ['Audit'] }, 'POST', 'verify')).toBe(403);
  expect(await calls.status('carl@pbs', { '': ['Backup'] }, 'POST', 'verify', snap(snapshot))).toBe(400);
  expect(await calls.status('root@pam', everything, 'POST', 'verify', { 'backup-type': 'vm' })).toBe(400);
  expect(await calls.status('root@pam', everything, 'POST', 'verify', { ...snap(snapshot), 'backup-time': 5 })).toBe(400);
});

test.each(['read-only', 'offline'])('in maintenance mode %s it ends with an error: no result can be written', async (mode) => {
  const path = copyOfStore('vault');
  store = await openLocalDatastore(path, { server: fakeServer(path, [`maintenance-mode ${mode}`]).paths });
  calls = callsOf(store);
  const { outcome, text } = await verify({ 'ignore-verified': false });
  expect(outcome).toContain(`maintenance mode ${mode}`);
  expect(text).not.toContain('skipped');
});
