/** Who may open a session, and when. Format: protocol, sections 9.2, 9.3, 9.7, 14 and 15.5. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, readdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { decodeBlob } from '../../../src/codec/blob-decoder.js';
import { lockDirectory } from '../../../src/store/local/locks.js';
import { encodeBlob, zstd } from '../../support/chunks.js';
import { openStore } from '../../support/new-snapshots.js';
import { backupTime, open, openBackup, openReader, ProtocolSession, type OpenOptions } from '../../support/protocol-client.js';
import { startTestServer } from '../../support/protocol-server.js';
import { scratchDirectory } from '../../support/scratch.js';
import { append, archive, blob, finish, manifestBlob, noiseChunk, upload } from '../../support/protocol-steps.js';

const chunk = noiseChunk('1', 5000);
const at = (time: number, more: Record<string, string> = {}): OpenOptions => ({ query: { 'backup-time': String(time), ...more } });
const directory = 'host/elsa/2024-06-05T14:24:36Z';

async function statusOf(port: number, options: OpenOptions): Promise<number> {
  const opened = await open(port, options);
  if (!(opened instanceof ProtocolSession)) return opened.status;
  await opened.drop();
  return 101;
}

async function finished(port: number, options: OpenOptions = {}): Promise<void> {
  const client = await openBackup(port, options);
  await archive(client, 'dynamic', 'a.pxar.didx', [chunk]);
  await finish(client);
  await client.drop();
}

function readManifest(store: string): Record<string, unknown> {
  return JSON.parse(decodeBlob(readFileSync(join(store, directory, 'index.json.blob')), zstd, undefined).toString()) as Record<string, unknown>;
}

describe('backup', () => {
  test('rights, names, headers', async () => {
    const { port, store } = await startTestServer();
    const cases: [OpenOptions, number][] = [
      [{ user: 'nobody@pbs' }, 403],
      [{ user: 'reader@pbs' }, 403],
      [{ query: { store: 'other' } }, 400],
      [{ query: { ns: 'none' } }, 404],
      [{ query: { ns: '../x' } }, 400],
      [{ query: { 'backup-type': 'VM' } }, 400],
      [{ query: { 'backup-id': '.x' } }, 400],
      [{ query: { 'backup-time': '0' } }, 400],
      [{ query: { 'backup-time': '1e9' } }, 400],
      [{ query: { strange: '1' } }, 400],
      [{ query: { benchmark: 'true' } }, 400],
      [{ query: { 'backup-id': 'benchmark' } }, 400],
      [{ headers: { upgrade: 'proxmox-backup-reader-protocol-v1' } }, 400],
      [{ headers: { upgrade: 'Proxmox-backup-protocol-v1' } }, 400],
      [{ query: { 'no-cache': 'true' } }, 101],
      [{ user: 'backup@pbs!t01' }, 101],
    ];
    for (const [options, status] of cases) expect([options, await statusOf(port, options)]).toEqual([options, status]);
    await expect.poll(() => readdirSync(join(store, 'host'))).toEqual([]);
  });

  test('owners: the group belongs to who made it, and a user has what a token made', async () => {
    const { port } = await startTestServer();
    await finished(port, { user: 'backup@pbs!t01' });
    expect(await statusOf(port, { user: 'other@pbs', ...at(backupTime + 1) })).toBe(400);
    expect(await statusOf(port, { user: 'other@pbs!t01', ...at(backupTime + 1) })).toBe(400);
    expect(await statusOf(port, at(backupTime + 1))).toBe(101);
    await finished(port, at(backupTime, { 'backup-id': 'own' }));
    expect(await statusOf(port, { user: 'backup@pbs!t01', ...at(backupTime + 1, { 'backup-id': 'own' }) })).toBe(400);
  });

  test('times go up; one backup of a group at a time, others beside it', async () => {
    const { port, server } = await startTestServer();
    await finished(port);
    for (const time of [backupTime, backupTime - 1]) expect(await statusOf(port, at(time))).toBe(400);
    const first = await openBackup(port, at(backupTime + 10));
    expect(await statusOf(port, at(backupTime + 20))).toBe(400);
    const other = await openBackup(port, at(backupTime, { 'backup-id': 'other' }));
    await Promise.all([first, other].map((client) => archive(client, 'dynamic', 'a.pxar.didx', [chunk])));
    await finish(first);
    // The connection of the first one is still open.
    expect(await statusOf(port, at(backupTime + 20))).toBe(101);
    await finish(other);
    await expect.poll(() => server.sessionCount()).toBe(2);
  });

  test('an unfinished snapshot has its name, and is not the previous one', async () => {
    const { port, store } = await startTestServer();
    await finished(port);
    mkdirSync(join(store, 'host/elsa/2024-06-05T14:25:36Z'));
    expect(await statusOf(port, at(backupTime + 60))).toBe(400);
    const client = await openBackup(port, at(backupTime + 30));
    expect((await client.get('previous_backup_time')).data).toBe(backupTime);
  });

  test('a previous snapshot whose verification failed is none', async () => {
    const { port, store } = await startTestServer();
    await finished(port);
    const value = { ...readManifest(store), unprotected: { verify_state: { state: 'failed', upid: 'UPID:x' } } };
    writeFileSync(join(store, directory, 'index.json.blob'), encodeBlob(Buffer.from(JSON.stringify(value))));
    expect(await statusOf(port, at(backupTime))).toBe(400);
    const client = await openBackup(port, at(backupTime - 5));
    expect((await client.get('previous_backup_time')).data).toBe(null);
    expect((await client.get('previous', { 'archive-name': 'index.json.blob' })).status).toBe(400);
    await client.drop();
    writeFileSync(join(store, directory, 'index.json.blob'), encodeBlob(Buffer.from('x')));
    await expect.poll(() => statusOf(port, at(backupTime + 5))).toBe(400);
  });

  test('a previous snapshot that somebody removes refuses, and is held meanwhile', async () => {
    const { port, store } = await startTestServer();
    await finished(port);
    const lock = lockDirectory(join(store, directory), 'exclusive');
    expect(await statusOf(port, at(backupTime + 5))).toBe(400);
    lock?.release();
    const client = await openBackup(port, at(backupTime + 5));
    expect(lockDirectory(join(store, directory), 'exclusive')).toBeUndefined();
    // By force.
    await blob(client, 'index.json.blob', manifestBlob());
    rmSync(join(store, directory), { recursive: true });
    expect((await client.post('finish')).status).toBe(400);
  });

  test('a namespace that is there', async () => {
    const { port, store } = await startTestServer();
    mkdirSync(join(store, 'ns/a/ns/b'), { recursive: true });
    await finished(port, at(backupTime, { ns: 'a/b' }));
    expect(readdirSync(join(store, 'ns/a/ns/b/host/elsa'))).toContain('2024-06-05T14:24:36Z');
  });

  test('a group for benchmarks is one in every namespace', async () => {
    const { port, store } = await startTestServer();
    mkdirSync(join(store, 'ns/q2'), { recursive: true });
    const inNamespace = (more: Record<string, string>): OpenOptions => at(backupTime, { ns: 'q2', ...more });
    expect(await statusOf(port, inNamespace({ 'backup-id': 'benchmark' }))).toBe(400);
    expect(await statusOf(port, inNamespace({ benchmark: 'true' }))).toBe(400);
    expect(await statusOf(port, inNamespace({ benchmark: 'true', 'backup-id': 'benchmark' }))).toBe(101);
  });

  test('a benchmark leaves nothing, finished or not', async () => {
    const { port, store, server } = await startTestServer();
    const options = at(backupTime, { benchmark: 'true', 'backup-id': 'benchmark' });
    for (const end of [true, false]) {
      const client = await openBackup(port, options);
      const body = Buffer.alloc(4 << 20, 1);
      const sent = Array.from({ length: 20 }, () => client.ask('POST', 'speedtest', {}, { body, type: 'application/x-www-form-urlencoded' }));
      expect((await Promise.all(sent)).every(({ status }) => status === 200)).toBe(true);
      await archive(client, 'dynamic', 'a.pxar.didx', [chunk]);
      if (end) await finish(client);
      await client.drop();
      await expect.poll(() => server.sessionCount()).toBe(0);
      expect(readdirSync(join(store, 'host'))).toEqual([]);
    }
  });
});

describe('cut at any point', () => {
  const steps: ((client: ProtocolSession) => Promise<unknown>)[] = [
    (client) => client.get('previous_backup_time'),
    (client) => client.post('dynamic_index', { 'archive-name': 'a.pxar.didx' }),
    (client) => upload(client, 'dynamic', 1, chunk),
    (client) => append(client, 'dynamic', 1, [[chunk.digest, 0]]),
    (client) => archive(client, 'dynamic', 'b.pxar.didx', [chunk]),
    (client) => blob(client, 'index.json.blob', manifestBlob()),
  ];
  for (const isNew of [true, false]) {
    test(`of ${isNew ? 'a new' : 'an old'} group: no snapshot, the chunks, and the group is free`, async () => {
      const { port, store } = await startTestServer();
      const groups = await openStore(store);
      if (!isNew) await finished(port);
      for (let cut = 0; cut <= steps.length; cut++) {
        const time = backupTime + 100 + cut;
        const client = await openBackup(port, at(time));
        for (const step of steps.slice(0, cut)) await step(client);
        // In the middle of what comes next.
        if (cut < steps.length) steps[cut]?.(client).catch(() => undefined);
        await client.drop();
        const expected = isNew ? [] : [backupTime];
        const times = async (): Promise<number[]> => (await groups.groups([])).length === 0 ? [] : (await groups.snapshots({ namespace: [], type: 'host', id: 'elsa' })).map((snapshot) => snapshot.time);
        await expect.poll(async () => [cut, await times(), readdirSync(join(store, 'host')).length]).toEqual([cut, expected, isNew ? 0 : 1]);
        if (!isNew) await expect.poll(() => readdirSync(join(store, 'host/elsa')).sort()).toEqual(['2024-06-05T14:24:36Z', 'owner']);
        if (cut > 2) expect(readdirSync(join(store, '.chunks', chunk.digest.slice(0, 4)))).toEqual([chunk.digest]);
      }
      await expect.poll(() => statusOf(port, at(backupTime + 100))).toBe(101);
    });
  }

  test('tasks that are ended end their sessions', async () => {
    const { port, server, audit } = await startTestServer();
    const client = await openBackup(port);
    await upload(client, 'dynamic', 1, chunk);
    await server.drain(0);
    await expect.poll(() => client.socket.destroyed).toBe(true);
    await expect.poll(() => audit.some(({ what, result }) => what === 'backup-end' && result === 'failed')).toBe(true);
  });
});

describe('reader', () => {
  test('rights, owners, names', async () => {
    const { port } = await startTestServer();
    await finished(port);
    const cases: [OpenOptions, number][] = [
      [{ user: 'nobody@pbs' }, 400],
      [{ user: 'reader@pbs' }, 101],
      [{ user: 'backup@pbs' }, 101],
      [{ user: 'backup@pbs!t01' }, 400],
      [{ user: 'other@pbs' }, 400],
      [at(backupTime + 1), 400],
      [at(backupTime, { 'backup-id': 'none' }), 400],
      [at(backupTime, { ns: 'none' }), 400],
      [at(backupTime, { benchmark: 'false' }), 400],
      [{ headers: { upgrade: 'proxmox-backup-protocol-v1' } }, 400],
    ];
    for (const [options, status] of cases) expect([options, await statusOf(port, { kind: 'reader', ...options })]).toEqual([options, status]);
  });

  test('many readers share a snapshot, with a backup on it; nobody removes it meanwhile', async () => {
    const { port, store } = await startTestServer();
    await finished(port);
    const readers = await Promise.all([1, 2, 3].map(() => openReader(port)));
    const client = await openBackup(port, at(backupTime + 5));
    expect(lockDirectory(join(store, directory), 'exclusive')).toBeUndefined();
    await Promise.all([client, ...readers].map((each) => each.drop()));
    let lock = lockDirectory(join(store, directory), 'exclusive');
    await expect.poll(() => (lock ??= lockDirectory(join(store, directory), 'exclusive'))).toBeDefined();
    expect(await statusOf(port, { kind: 'reader' })).toBe(400);
    lock?.release();
  });

  test('what can be asked, and what not', async () => {
    const { port, store } = await startTestServer();
    await finished(port);
    const reader = await openReader(port);
    const missing = Buffer.alloc(32, 1).toString('hex');
    const slow = reader.get('chunk', { digest: missing });
    expect((await reader.get('download', { 'file-name': 'none.conf.blob' })).status).toBe(404);
    expect((await reader.get('download', { 'file-name': 'none.pxar.didx' })).status).toBe(400);
    for (const name of ['owner', '../owner', 'x', '.protected', 'a.pxar.tmp_didx']) expect((await reader.get('download', { 'file-name': name })).status).toBe(400);
    expect((await reader.get('chunk', { digest: 'ABC' })).status).toBe(400);
    expect((await reader.get('finish')).status).toBe(404);
    expect((await reader.post('blob')).status).toBe(404);
    const speed = await reader.get('speedtest');
    expect([speed.body.equals(Buffer.alloc(1 << 20, 'A')), speed.headers['content-length']]).toEqual([true, '1048576']);
    expect((await reader.get('download', { 'file-name': 'a.pxar.didx' })).status).toBe(200);
    expect((await reader.get('chunk', { digest: chunk.digest })).body.equals(chunk.encoded)).toBe(true);
    rmSync(join(store, '.chunks', chunk.digest.slice(0, 4)), { recursive: true });
    expect((await reader.get('chunk', { digest: chunk.digest })).status).toBe(400);
    expect((await slow).status).toBe(401);
  });

  test('unfinished snapshots are read, too', async () => {
    const { port, store } = await startTestServer();
    await finished(port);
    rmSync(join(store, directory, 'index.json.blob'));
    utimesSync(join(store, directory), 1, 1);
    const reader = await openReader(port);
    expect((await reader.get('download', { 'file-name': 'index.json.blob' })).status).toBe(404);
    expect((await reader.get('download', { 'file-name': 'a.pxar.didx' })).status).toBe(200);
  });
});

test.runIf(process.getuid?.() === 0)('read-only media are read, and not written', async () => {
  const made = await startTestServer();
  await finished(made.port);
  const point = join(scratchDirectory(), 'ro');
  mkdirSync(point);
  execFileSync('mount', ['--bind', made.store, point]);
  onTestFinished(() => {
    execFileSync('umount', ['--lazy', point]);
  });
  execFileSync('mount', ['-o', 'remount,bind,ro', point]);
  const { port } = await startTestServer(point);
  const reader = await openReader(port);
  expect((await reader.get('download', { 'file-name': 'a.pxar.didx' })).status).toBe(200);
  expect((await reader.get('chunk', { digest: chunk.digest })).body.equals(chunk.encoded)).toBe(true);
  expect(await statusOf(port, at(backupTime + 5))).toBe(400);
});

test('a connection that its client half-closes without a word ends the session', async () => {
  const { port, server } = await startTestServer();
  const client = await openBackup(port);
  await client.get('previous_backup_time');
  // All that was to be said is said, and no answer is under way.
  await new Promise((resolve) => setTimeout(resolve, 200));
  client.socket.end();
  await expect.poll(() => server.sessionCount(), { timeout: 5000 }).toBe(0);
});
