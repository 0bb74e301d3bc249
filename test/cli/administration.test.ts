/** The commands that change what is in a datastore, run as they are built. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { decodeBlob } from '../../src/codec/blob-decoder.js';
import type { Datastore } from '../../src/store/datastore.js';
import { encodeBlob, zstd } from '../support/chunks.js';
import { pbsfs, type Ended } from '../support/command.js';
import { begin, emptyStore, hostSnapshot, indexOf, openStore, put, targetOf } from '../support/new-snapshots.js';
import { scratchDirectory } from '../support/scratch.js';

const time = 1_700_000_000;
let directory: string;
let store: Datastore;

async function write(at: number, id = 'web', namespace: readonly string[] = []): Promise<void> {
  const session = await begin(store, hostSnapshot(at, id, namespace));
  const { digest } = await put(session, Buffer.alloc(1000, 7));
  await targetOf(session).writeIndex(indexOf([{ digest, length: 1000 }]));
  await session.finish(encodeBlob(Buffer.from(JSON.stringify({ 'backup-type': 'host', 'backup-id': id, 'backup-time': at, files: [] }))));
}

function run(name: string, ...args: string[]): Promise<Ended> {
  return pbsfs([name, '--store', directory, ...args]);
}

beforeEach(async () => {
  directory = emptyStore();
  store = await openStore(directory);
  for (let i = 0; i < 3; i++) await write(time + i);
});

test('forget: a snapshot; a group only when it is meant', async () => {
  expect(await run('forget', 'host/web/2023-11-14T22:13:20')).toMatchObject({ status: 0, stdout: 'host/web/2023-11-14T22:13:20Z is removed\n' });
  expect(await run('forget', 'host/web/2023-11-14T22:13:20')).toMatchObject({ status: 3 });
  expect(await run('forget', 'host/web/2023')).toMatchObject({ status: 3, stderr: expect.stringMatching(/fits 2 snapshots/) as string });
  expect(await run('forget', 'host/web')).toMatchObject({ status: 2, stderr: expect.stringMatching(/has 2 snapshots.*--yes/) as string });
  expect(await store.snapshots(hostSnapshot(0))).toHaveLength(2);
  expect(await run('forget', '--json', '--yes', 'host/web')).toMatchObject({ status: 0, stdout: '{"removed":"host/web","snapshots":2}\n' });
  expect(existsSync(join(directory, 'host/web'))).toBe(false);
  expect(await run('forget', 'host')).toMatchObject({ status: 2 });
});

test('protect: forget and prune leave it', async () => {
  expect(await run('protect', 'host/web/2023-11-14T22:13:20Z')).toMatchObject({ status: 0 });
  expect(await run('forget', 'host/web/2023-11-14T22:13:20Z')).toMatchObject({ status: 1, stderr: expect.stringMatching(/protected/) as string });
  const keep = ['--keep-last', '1', 'host/web'];
  const lines = ['SNAPSHOT                       DECISION', 'host/web/2023-11-14T22:13:20Z  protected', 'host/web/2023-11-14T22:13:21Z  remove', 'host/web/2023-11-14T22:13:22Z  keep', ''];
  expect(await run('prune', '--dry-run', ...keep)).toMatchObject({ status: 0, stdout: lines.join('\n') });
  expect(await store.snapshots(hostSnapshot(0))).toHaveLength(3);
  const { stdout } = await run('prune', '--json', ...keep);
  expect(stdout.split('\n')[1]).toBe('{"snapshot":"host/web/2023-11-14T22:13:21Z","epoch":1700000001,"keep":false,"protected":false}');
  expect(await store.snapshots(hostSnapshot(0))).toHaveLength(2);
  expect(await run('protect', '--off', '--json', 'host/web/2023-11-14T22:13:20Z')).toMatchObject({ status: 0, stdout: '{"snapshot":"host/web/2023-11-14T22:13:20Z","protected":false}\n' });
  await run('prune', ...keep);
  expect(await store.snapshots(hostSnapshot(0))).toHaveLength(1);
});

test.each([
  [[], /no --keep option/],
  [['--keep-last', '0'], /from 1 to/],
  [['--keep-daily', 'x'], /from 1 to/],
])('prune with %j is refused', async (options, message) => {
  expect(await run('prune', 'host/web', ...options)).toMatchObject({ status: 2, stderr: expect.stringMatching(message) as string });
});

test('prune tells what could not be removed by its status', async () => {
  const held = await store.holdSnapshot(hostSnapshot(time), () => undefined);
  expect(await run('prune', 'host/web', '--keep-last', '1')).toMatchObject({ status: 9, stderr: expect.stringMatching(/22:13:20Z was not removed/) as string });
  held.release();
});

test('notes', async () => {
  expect(await run('notes', 'host/web/latest')).toMatchObject({ status: 0, stdout: '' });
  expect(await run('notes', 'host/web/latest', 'one\ntwo')).toMatchObject({ status: 0, stdout: '' });
  expect(await run('notes', 'host/web/latest')).toMatchObject({ status: 0, stdout: 'one\ntwo\n' });
  const file = join(scratchDirectory(), 'about');
  writeFileSync(file, 'about the group\n');
  expect(await run('notes', 'host/web', '--file', file)).toMatchObject({ status: 0 });
  expect(await run('notes', '--json', 'host/web')).toMatchObject({ stdout: '{"of":"host/web","notes":"about the group\\n"}\n' });
  expect(await run('notes', 'host/web', '')).toMatchObject({ status: 0 });
  expect(existsSync(join(directory, 'host/web/notes'))).toBe(false);
  expect(await run('notes', 'host/web', 'x', '--file', file)).toMatchObject({ status: 2 });
});

test('chown', async () => {
  expect(await run('chown', 'host/web', 'backup@pbs!laptop')).toMatchObject({ status: 0 });
  expect(readFileSync(join(directory, 'host/web/owner'), 'utf8')).toBe('backup@pbs!laptop\n');
  for (const nobody of ['nobody', 'a@b', `${'x'.repeat(65)}@pbs`, `backup@pbs!${'x'.repeat(65)}`]) expect(await run('chown', 'host/web', nobody)).toMatchObject({ status: 2 });
  expect(await run('chown', 'host/web/latest', 'a@pbs')).toMatchObject({ status: 2 });
});

test('namespaces', async () => {
  expect(await run('namespace', 'create', 'prod')).toMatchObject({ status: 0 });
  expect(await run('namespace', 'create', 'prod/eu')).toMatchObject({ status: 0 });
  expect(await run('namespace', 'create', 'prod')).toMatchObject({ status: 8 });
  expect(await run('namespace', 'create', 'no/where')).toMatchObject({ status: 3 });
  expect(await run('namespace', 'list')).toMatchObject({ stdout: 'prod\nprod/eu\n' });
  expect(await run('namespace', 'list', '--json', 'prod')).toMatchObject({ stdout: '{"namespace":"prod/eu"}\n' });
  await write(time, 'in', ['prod', 'eu']);
  expect(await run('forget', '--ns', 'prod', 'ns/eu/host/in/2022')).toMatchObject({ status: 3 });
  expect(await run('namespace', 'delete', 'prod')).toMatchObject({ status: 1, stderr: expect.stringMatching(/not empty/) as string });
  expect(await run('namespace', 'delete', 'prod', '--groups')).toMatchObject({ status: 2, stderr: expect.stringMatching(/--yes/) as string });
  expect(await run('namespace', 'delete', 'prod', '--groups', '--yes', '--json')).toMatchObject({ status: 0, stdout: '{"removed":"prod","groups":1,"snapshots":1}\n' });
  expect(await store.namespaces([])).toEqual([]);
  expect(await run('namespace', 'list', '--yes')).toMatchObject({ status: 2 });
});

test('gc and status', async () => {
  expect(await pbsfs(['status', directory])).toMatchObject({ status: 0, stdout: expect.stringMatching(/^datastore {4}\/.*\nspace .*free\n$/) as string });
  expect(await pbsfs(['gc', directory])).toMatchObject({ status: 0, stdout: '', stderr: expect.stringMatching(/phase 1[^]*phase 2[^]*on disk: /) as string });
  const { stdout } = await pbsfs(['gc', '--json', directory]);
  expect(JSON.parse(stdout)).toMatchObject({ upid: null, 'index-file-count': 3, 'disk-chunks': 2 });
  expect(await pbsfs(['status', directory])).toMatchObject({ stdout: expect.stringMatching(/last gc {6}0 B in 0 chunks removed/) as string });
  const session = await begin(store, hostSnapshot(time + 9));
  expect(await pbsfs(['gc', directory])).toMatchObject({ status: 7, stderr: expect.stringMatching(/in use/) as string });
  await session.abort();
  expect(await pbsfs(['status', '/nonexistent'])).toMatchObject({ status: 3 });
});

describe('upload-log', () => {
  test('plain, once', async () => {
    const file = join(scratchDirectory(), 'log');
    writeFileSync(file, 'it went well\n'.repeat(50));
    expect(await run('upload-log', 'host/web/latest', file)).toMatchObject({ status: 0 });
    const log = decodeBlob(await store.blob(hostSnapshot(time + 2), 'client.log.blob'), zstd, undefined);
    expect(log.toString()).toBe('it went well\n'.repeat(50));
    expect(await run('upload-log', 'host/web/latest', file)).toMatchObject({ status: 8 });
  });
});
