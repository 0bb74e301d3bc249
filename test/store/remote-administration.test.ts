/** What is done to a datastore through a server has the outcome that it has in its directory, whatever the server's version. */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { codeOf } from '../../src/errors.js';
import type { SnapshotName } from '../../src/format/snapshot-name.js';
import type { Administration } from '../../src/store/administration.js';
import type { Datastore } from '../../src/store/datastore.js';
import { openLocalDatastore } from '../../src/store/local/local-datastore.js';
import { openRemoteDatastore, type RemoteDatastore } from '../../src/store/remote/remote-datastore.js';
import { encodeBlob } from '../support/chunks.js';
import { password, startTestServer } from '../support/protocol-server.js';
import { RecordingServer } from '../support/recording-server.js';
import { copyOfStore } from '../support/scratch.js';

type Step = (administration: Administration, names: Names) => Promise<unknown>;

interface Names {
  /** Oldest first, of one group that has at least two. */
  readonly group: readonly SnapshotName[];
  readonly other: SnapshotName;
  readonly namespace: readonly string[];
}

const steps: Record<string, Step> = {
  'notes of a snapshot': async (a, { group: [first] }) => [await a.notes(given(first)), await a.setNotes(given(first), 'eins\nzwei & drei=vier'), await a.notes(given(first))],
  'long notes': async (a, { group: [first] }) => [await a.setNotes(given(first), 'x'.repeat(20_000)), (await a.notes(given(first))).length],
  'notes of a group': async (a, { group: [first] }) => [await a.setNotes(groupOf(first), 'a\nb\n'), await a.notes(groupOf(first))],
  'notes of nothing': (a, { group: [first] }) => a.notes({ ...given(first), time: 5 }),
  'notes of no group': (a, { group: [first] }) => a.setNotes({ ...groupOf(first), id: 'nobody' }, 'x'),
  'a protected snapshot stays': async (a, { group: [first] }) => [await a.setProtected(given(first), true), await codeOfFailure(a.removeSnapshot(given(first)))],
  'a group with a protected snapshot stays': async (a, { group: [first] }) => [await a.setProtected(given(first), true), await codeOfFailure(a.removeGroup(groupOf(first)))],
  'a group with a protected snapshot, skipped': async (a, { group: [first] }) => [await a.setProtected(given(first), true), await a.removeGroup(groupOf(first), { skipProtected: true })],
  'protection ends': async (a, { group: [first] }) => [await a.setProtected(given(first), true), await a.setProtected(given(first), false), await a.removeSnapshot(given(first))],
  'a snapshot is removed once': async (a, { group: [first] }) => [await a.removeSnapshot(given(first)), await codeOfFailure(a.removeSnapshot(given(first)))],
  'a group is removed': async (a, { group: [first] }) => [await a.removeGroup(groupOf(first)), await codeOfFailure(a.removeGroup(groupOf(first)))],
  'a namespace with groups stays': (a, { namespace }) => a.removeNamespace(namespace.slice(0, 1), { withGroups: false }),
  'a namespace is removed with all in it': (a, { namespace }) => a.removeNamespace(namespace.slice(0, 1), { withGroups: true }),
  'no namespace': (a) => a.removeNamespace(['nowhere'], { withGroups: true }),
  'the root': (a) => a.removeNamespace([], { withGroups: true }),
  'a new owner': (a, { group: [first] }) => a.changeOwner(groupOf(first), 'somebody@pbs!token'),
  'no owner': (a, { group: [first] }) => a.changeOwner(groupOf(first), 'nobody'),
  'an owner of nothing': (a, { group: [first] }) => a.changeOwner({ ...groupOf(first), id: 'nobody' }, 'somebody@pbs'),
  // Only the owner sends one.
  'a log, once': async (a, { other }) => [await a.changeOwner(groupOf(other), 'admin@pbs'), await codeOfFailure(a.writeLog(other, encodeBlob(Buffer.from('log')))), await codeOfFailure(a.writeLog(other, encodeBlob(Buffer.from('log'))))],
  'a log of nothing': (a, { other }) => a.writeLog({ ...other, time: 5 }, encodeBlob(Buffer.from('log'))),
  'prune, asked': (a, { group: [first] }) => a.prune(groupOf(first), { last: 1 }, { dryRun: true }),
  'prune, done': (a, { group: [first] }) => a.prune(groupOf(first), { last: 1 }, { dryRun: false }),
  'prune nothing': (a, { group: [first] }) => a.prune({ ...groupOf(first), id: 'nobody' }, { last: 1 }, { dryRun: true }),
};

function given(snapshot: SnapshotName | undefined): SnapshotName {
  if (snapshot === undefined) throw new Error('no snapshot');
  return snapshot;
}

function groupOf(snapshot: SnapshotName | undefined): Omit<SnapshotName, 'time'> {
  const { namespace, type, id } = given(snapshot);
  return { namespace, type, id };
}

async function codeOfFailure(work: Promise<unknown>): Promise<unknown> {
  try {
    return (await work) ?? 'done';
  } catch (error) {
    return codeOf(error) ?? String(error);
  }
}

async function namesOf(store: Datastore): Promise<Names> {
  const groups = await Promise.all((await store.groups([])).map((group) => store.snapshots(group)));
  const group = groups.find((each) => each.length >= 2);
  const waiting = [...(await store.namespaces([]))].map((name) => [name]);
  const [namespace = []] = waiting;
  const other = groups.flat().find((each) => each.id !== group?.[0]?.id);
  return { group: group ?? [], other: given(other), namespace };
}

/** All files but chunks, by their contents; manifests that are written anew have their own bytes. */
function contentOf(directory: string): string[] {
  return readdirSync(directory, { recursive: true, encoding: 'utf8' })
    .filter((name) => !name.startsWith('.chunks') && statSync(join(directory, name)).isFile())
    .map((name) => `${name} ${createHash('sha256').update(readFileSync(join(directory, name))).digest('hex')}`)
    .sort();
}

/** A datastore of each kind of server. */
const servers: Record<string, (directory: string) => Promise<RemoteDatastore>> = {
  'server of version 4': (directory) => recorded(directory, false),
  'server before 4.0': (directory) => recorded(directory, true),
  'our own server': async (directory) => {
    const { port, fingerprint } = await startTestServer(directory);
    const options = { environment: { PBS_PASSWORD: password, PATH: process.env['PATH'] }, fingerprint, warn: () => undefined };
    const store = await openRemoteDatastore({ authId: 'admin@pbs', host: '127.0.0.1', port, store: 'store1' }, options);
    onTestFinished(() => store.close());
    return store;
  },
};

async function recorded(directory: string, isOld: boolean): Promise<RemoteDatastore> {
  const server = await RecordingServer.start(directory);
  server.isOld = isOld;
  const store = await openRemoteDatastore(server.repository, server.options());
  onTestFinished(async () => {
    await store.close();
    await server.close();
  });
  return store;
}

describe.each(Object.entries(servers))('%s', (kind, open) => {
  test.each(Object.entries(steps).filter(([name]) => !kind.includes('before') || name.includes('removed') || name.includes('protected')))('%s', async (_name, step) => {
    const [near, far] = [copyOfStore('sample'), copyOfStore('sample')];
    const local = await openLocalDatastore(near);
    onTestFinished(() => local.close());
    const remote = await open(far);
    const names = await namesOf(local);
    const expected = await codeOfFailure(step(await local.administration(() => undefined), names));
    expect(await codeOfFailure(step(await remote.administration(() => undefined), names))).toEqual(expected);
    expect(contentOf(far)).toEqual(contentOf(near));
    // Listings are of now.
    const groups = await local.groups([]);
    expect(await remote.groups([])).toEqual(groups);
    for (const group of groups) expect(await remote.snapshots(group)).toEqual(await local.snapshots(group));
  });
});

test('a snapshot that was read a moment ago by the same mount can be removed', async () => {
  const server = await RecordingServer.start(copyOfStore('sample'));
  const store = await openRemoteDatastore(server.repository, server.options());
  onTestFinished(async () => {
    await store.close();
    await server.close();
  });
  const [group] = await store.groups([]);
  if (group === undefined) throw new Error('no group');
  const snapshot = given((await store.snapshots(group))[0]);
  await store.blob(snapshot, 'index.json.blob');
  const administration = await store.administration(() => undefined);
  const held = await store.holdSnapshot(snapshot, () => undefined);
  expect(await codeOfFailure(administration.removeSnapshot(snapshot))).toBe('REFUSED');
  held.release();
  await expect.poll(() => codeOfFailure(administration.removeSnapshot(snapshot))).toBe('done');
});

test('garbage collection is followed to its end', async () => {
  const server = await RecordingServer.start(copyOfStore('sample'));
  const store = await openRemoteDatastore(server.repository, server.options());
  onTestFinished(async () => {
    await store.close();
    await server.close();
  });
  const upid = 'UPID:host_1:00000001:00000002:00000003:6660A0F0:garbage_collection:store1:backup@pbs:';
  const counters = ['index-file-count', 'index-data-bytes', 'disk-bytes', 'disk-chunks', 'removed-bytes', 'removed-chunks', 'pending-bytes', 'pending-chunks', 'removed-bad', 'still-bad'];
  let asked = 0;
  let end = 'OK';
  server.answers.set('POST gc', () => upid);
  server.answers.set('GET gc', () => ({ store: 'store1', upid, schedule: 'daily', ...Object.fromEntries(counters.map((name, i) => [name, i])) }));
  server.tasks.set(upid, {
    status: () => (asked++ <= 0 ? { status: 'running' } : { status: 'stopped', exitstatus: end }),
    lines: Array.from({ length: 1200 }, (_, i) => `line ${i}`),
  });
  const lines: string[] = [];
  const administration = await store.administration(() => undefined);
  expect(await administration.collectGarbage?.({ log: (line) => lines.push(line) })).toMatchObject({ upid, indexFileCount: 0, stillBad: 9 });
  expect(lines).toEqual(server.tasks.get(upid)?.lines);
  end = 'unable to do it';
  expect(await codeOfFailure(administration.collectGarbage?.({ log: () => undefined }) ?? Promise.resolve())).toBe('REFUSED');
  asked = -1e9;
  const aborting = new AbortController();
  const aborted = codeOfFailure(administration.collectGarbage?.({ log: () => aborting.abort(), signal: aborting.signal }) ?? Promise.resolve());
  expect(await aborted).toBe('INTERRUPTED');
  expect(server.counted('DELETE /nodes/localhost/tasks/')).toBe(1);
});
