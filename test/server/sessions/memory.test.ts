/** What many clients at once cost a server, good ones and others. */
import { constants, type ClientHttp2Stream } from 'node:http2';
import { expect, onTestFinished, test } from 'vitest';
import { emptyStore } from '../../support/new-snapshots.js';
import { backupTime, openBackup, openReader, type ProtocolSession } from '../../support/protocol-client.js';
import { startServerProcess, startTestServer, type ServerProcess } from '../../support/protocol-server.js';
import { TcpProxy } from '../../support/tcp-proxy.js';
import { append, archive, dynamicCsum, finish, close, noiseChunk, offsetsOf, upload, type TestChunk } from '../../support/protocol-steps.js';

const clientCount = 16;
const bytesMax = (300 << 20) + clientCount * (16 << 20);
/** A body of 16 MiB and what fits into the windows of the other requests; or what waits for a client that does not read. */
const worstBytesMax = (300 << 20) + clientCount * (24 << 20);
const chunkCount = 12;
const chunks = Array.from({ length: chunkCount }, (_, i) => noiseChunk(`m${i}`, 4 << 20));

const idOf = (i: number): { query: Record<string, string> } => ({ query: { 'backup-id': `c${i}` } });

async function uploadAll(client: ProtocolSession): Promise<void> {
  const { data } = await client.post('dynamic_index', { 'archive-name': 'a.pxar.didx' });
  const wid = data as number;
  const answers = await Promise.all(chunks.map((chunk) => upload(client, 'dynamic', wid, chunk)));
  expect(answers.every(({ status }) => status === 200)).toBe(true);
  await append(client, 'dynamic', wid, offsetsOf(chunks));
  expect((await close(client, 'dynamic', wid, chunkCount, chunkCount * (4 << 20), dynamicCsum(chunks))).status).toBe(200);
  await finish(client);
}

test('16 backups at once, and 16 restores', { timeout: 180_000 }, async () => {
  const store = emptyStore();
  const server = await startServerProcess(store);
  const clients = await Promise.all(Array.from({ length: clientCount }, (_, i) => openBackup(server.port, idOf(i))));
  await Promise.all(clients.map(uploadAll));
  const { bytes } = await server.memory();
  expect(bytes).toBeLessThan(bytesMax);
  await Promise.all(clients.map((client) => client.drop()));
  const other = await startServerProcess(store);
  const readers = await Promise.all(Array.from({ length: clientCount }, (_, i) => openReader(other.port, { user: 'reader@pbs', ...idOf(i) })));
  const restored = readers.map(async (reader) => {
    await reader.get('download', { 'file-name': 'a.pxar.didx' });
    const bodies = await Promise.all(chunks.map(({ digest }) => reader.get('chunk', { digest })));
    expect(bodies.every(({ body }, i) => chunks[i]?.encoded.equals(body))).toBe(true);
  });
  await Promise.all(restored);
  const after = await other.memory();
  expect(after.bytes).toBeLessThan(bytesMax);
});

const half = Buffer.alloc(15 << 20);

/** Requests with bodies that are announced, begun and not ended. */
function halfSend(client: ProtocolSession, chunk: TestChunk, count: number): ClientHttp2Stream[] {
  const query = new URLSearchParams({ digest: chunk.digest, 'encoded-size': String(16 << 20), size: String(16 << 20), wid: '1' }).toString();
  return Array.from({ length: count }, () => {
    const stream = client.begin('POST', `/dynamic_chunk?${query}`, 'application/octet-stream', true);
    stream.on('error', () => undefined);
    stream.write(half);
    return stream;
  });
}

/** What eight bad clients pin, and that others go on beside them. */
async function expectSmall(server: ServerProcess): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, 3000));
  const good = await openBackup(server.port, idOf(200));
  await archive(good, 'dynamic', 'a.pxar.didx', chunks.slice(0, 2));
  await finish(good);
  const { bytes } = await server.memory();
  expect(bytes).toBeLessThan(worstBytesMax);
}

test('clients that send half of everything do not pin memory', { timeout: 120_000 }, async () => {
  const server = await startServerProcess(emptyStore());
  const senders = await Promise.all(Array.from({ length: 8 }, (_, i) => openBackup(server.port, idOf(i))));
  for (const [i, sender] of senders.entries()) {
    await sender.post('dynamic_index', { 'archive-name': 'a.pxar.didx' });
    halfSend(sender, chunks[i % chunkCount] ?? noiseChunk('x', 1), 64);
  }
  await expectSmall(server);
  await Promise.all(senders.map((client) => client.drop()));
  await expect.poll(async () => (await server.memory()).sessions, { timeout: 20_000 }).toBe(1);
});

test('clients that read nothing do not pin memory', { timeout: 120_000 }, async () => {
  const server = await startServerProcess(emptyStore());
  await uploadAll(await openBackup(server.port, idOf(100)));
  const proxy = await TcpProxy.start(server.port);
  onTestFinished(() => proxy.close());
  const readers = await Promise.all(Array.from({ length: 8 }, () => openReader(proxy.port, { user: 'reader@pbs', ...idOf(100) })));
  for (const reader of readers) await reader.get('download', { 'file-name': 'a.pxar.didx' });
  proxy.stall();
  for (const reader of readers) {
    for (let n = 0; n < 64; n++) {
      const stream = reader.begin('GET', `/chunk?digest=${chunks[n % chunkCount]?.digest}`, 'application/x-www-form-urlencoded', false);
      stream.on('error', () => undefined);
    }
  }
  await expectSmall(server);
  await Promise.all(readers.map((client) => client.drop()));
  // A host that is gone answers what is sent to it with a reset.
  proxy.cut();
  await expect.poll(async () => (await server.memory()).sessions, { timeout: 20_000 }).toBeLessThanOrEqual(2);
});

test('a small backup is not kept waiting by large ones', { timeout: 120_000 }, async () => {
  const { port } = await startTestServer();
  const large = await Promise.all(Array.from({ length: 4 }, (_, i) => openBackup(port, idOf(i))));
  const running = Promise.all(large.map(uploadAll));
  const small = await openBackup(port, { query: { 'backup-time': String(backupTime), 'backup-id': 'small' } });
  await archive(small, 'dynamic', 'a.pxar.didx', [noiseChunk('s', 5000)]);
  await finish(small);
  const order = await Promise.race([running.then(() => 'large first'), Promise.resolve('small first')]);
  expect(order).toBe('small first');
  await running;
});

test('requests above the limit of a session wait, and streams that are reset leave nothing', { timeout: 60_000 }, async () => {
  const { port, server } = await startTestServer();
  const client = await openBackup(port);
  await client.post('dynamic_index', { 'archive-name': 'a.pxar.didx' });
  const streams = halfSend(client, noiseChunk('h', 100), 40);
  await new Promise((resolve) => setTimeout(resolve, 300));
  for (const stream of streams) stream.close(constants.NGHTTP2_CANCEL);
  const many = Array.from({ length: 300 }, (_, i) => noiseChunk(`n${i}`, 3000));
  const answers = await Promise.all(many.map((chunk) => upload(client, 'dynamic', 1, chunk)));
  expect(answers.every(({ status }) => status === 200)).toBe(true);
  await append(client, 'dynamic', 1, offsetsOf(many));
  expect((await close(client, 'dynamic', 1, 300, 900_000, dynamicCsum(many))).status).toBe(200);
  await finish(client);
  await client.drop();
  await expect.poll(() => server.sessionCount()).toBe(0);
});
