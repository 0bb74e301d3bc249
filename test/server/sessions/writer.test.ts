/** What a backup session takes and refuses, one by one. Format: protocol, section 10. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { decodeBlob } from '../../../src/codec/blob-decoder.js';
import { chunkPath } from '../../../src/format/chunk-path.js';
import { encodeBlob, fixtureKeys, wrapPayload, zstd } from '../../support/chunks.js';
import { openStore } from '../../support/new-snapshots.js';
import { answerOf, backupTime, openBackup, type ProtocolSession, type SessionAnswer } from '../../support/protocol-client.js';
import { startTestServer, type TestServer } from '../../support/protocol-server.js';
import { append, archive, blob, chunkOf, close, dynamicCsum, finish, fixedBytes, fixedCsum, imageChunk, manifestBlob, noiseChunk, upload } from '../../support/protocol-steps.js';

let server: TestServer;
let client: ProtocolSession;
beforeEach(async () => {
  server = await startTestServer();
  client = await openBackup(server.port);
});

function later(hours = 1): Promise<ProtocolSession> {
  return openBackup(server.port, { query: { 'backup-time': String(backupTime + hours * 3600) } });
}

async function refused(answer: Promise<SessionAnswer>, ...words: string[]): Promise<void> {
  const { status, body } = await answer;
  expect([status, words.filter((word) => !body.toString().includes(word))]).toEqual([400, []]);
}

async function taken(answer: Promise<SessionAnswer>): Promise<unknown> {
  const { status, body, data } = await answer;
  expect([status, status === 200 ? '' : body.toString()]).toEqual([200, '']);
  return data;
}

const openFixed = (size: number, name = 'a.img.fidx'): Promise<SessionAnswer> => client.post('fixed_index', { 'archive-name': name, size });
const openDynamic = (name = 'a.pxar.didx'): Promise<SessionAnswer> => client.post('dynamic_index', { 'archive-name': name });
const a = imageChunk('a');
const b = imageChunk('b');
const small = imageChunk('s', 1000);

describe('requests', () => {
  test('unknown names, methods and prefixes', async () => {
    for (const [method, path] of [['GET', '/nothing'], ['GET', '/blob'], ['PUT', '/finish'], ['DELETE', '/blob'], ['GET', '/api2/json/previous_backup_time'], ['GET', '/previous_backup_time/x']] as const) {
      expect([path, (await client.ask(method, '', {}, { path })).status]).toEqual([path, 404]);
    }
    expect((await client.ask('GET', '', {}, { path: '/../x' })).status).toBe(400);
    expect((await client.ask('GET', '', {}, { path: '/%zz' })).status).toBe(400);
  });

  test('paths with two slashes, requests without an authority; the list of names', async () => {
    expect((await client.ask('GET', '', {}, { path: '//previous_backup_time' })).data).toBe(null);
    expect((await answerOf(client.http2.request({ ':method': 'GET', ':scheme': 'https', ':path': '/previous_backup_time' }))).data).toBe(null);
    const names = (await client.ask('GET', '', {}, { path: '/' })).data as { subdir: string }[];
    expect(names.map(({ subdir }) => subdir)).toEqual(
      ['blob', 'dynamic_chunk', 'dynamic_close', 'dynamic_index', 'finish', 'fixed_chunk', 'fixed_close', 'fixed_index', 'previous', 'previous_backup_time', 'speedtest'],
    );
  });

  test('faults of parameters are told without a type', async () => {
    for (const query of [{}, { 'archive-name': 'a.img.fidx', more: 1 }, { 'archive-name': 'a.img.fidx', size: 'x' }, { 'archive-name': '../a.fidx' }, { 'archive-name': 'a.img.fidx', size: 2 ** 50 }] as Record<string, string>[]) {
      const { status, headerNames } = await client.post('fixed_index', query);
      expect([status, headerNames]).toEqual([400, [':status', 'date', 'content-length']]);
    }
    await refused(client.ask('POST', '', {}, { path: '/fixed_index?archive-name=a.fidx&archive-name=b.fidx&size=1' }), 'more than once');
    await taken(openFixed(fixedBytes));
  });

  test('as JSON with a charset, as form, and appends as query', async () => {
    const type = 'application/json; charset=utf-8';
    expect(await taken(client.ask('POST', 'fixed_index', {}, { type, body: JSON.stringify({ 'archive-name': 'a.img.fidx', size: fixedBytes }) }))).toBe(1);
    expect(await taken(client.ask('POST', 'fixed_index', {}, { body: `archive-name=b.img.fidx&size=${fixedBytes}` }))).toBe(2);
    await taken(upload(client, 'fixed', 1, a));
    await taken(client.ask('PUT', '', {}, { path: `/fixed_index?wid=2&digest-list=${a.digest}&offset-list=0` }));
    await taken(client.ask('POST', 'fixed_close', {}, { type, body: JSON.stringify({ wid: 2, 'chunk-count': 1, size: fixedBytes, csum: fixedCsum([a.digest]) }) }));
    await refused(client.ask('POST', 'fixed_index', {}, { type: 'text/plain', body: 'x' }), 'type');
    await refused(client.ask('POST', 'fixed_index', {}, { type, body: '[1' }), 'JSON');
  });

  test('a body of parameters above 512 KiB', async () => {
    const entries = Array.from({ length: 9000 }, (_, i): [string, number] => [a.digest, i * fixedBytes]);
    await taken(openFixed(9000 * fixedBytes));
    await taken(upload(client, 'fixed', 1, a));
    await refused(append(client, 'fixed', 1, entries), '524288');
    await taken(append(client, 'fixed', 1, entries.slice(0, 6000)));
  });

  test('speedtest takes anything', async () => {
    expect(await taken(client.ask('POST', 'speedtest', {}, { body: 'x'.repeat(4 << 20) }))).toBe(null);
    expect(await taken(client.post('speedtest'))).toBe(null);
  });
});

describe('indexes', () => {
  test('wids count up over both kinds, failed ones use up none', async () => {
    expect(await taken(openFixed(10))).toBe(1);
    expect(await taken(openDynamic())).toBe(2);
    await refused(client.post('fixed_index', { 'archive-name': 'a.pxar.didx', size: 1 }), '.fidx');
    await refused(client.post('dynamic_index', { 'archive-name': 'a.img.fidx' }), '.didx');
    await refused(client.post('fixed_index', { 'archive-name': 'a.img.fidx', size: 0 }));
    await refused(client.post('fixed_index', { 'archive-name': 'a.img.fidx', size: 10, 'reuse-csum': '0'.repeat(64) }), 'previous');
    expect(await taken(openDynamic('b.pxar.didx'))).toBe(3);
    for (let wid = 4; wid <= 256; wid++) await taken(openDynamic(`n${wid}.didx`));
    await refused(openDynamic('last.didx'), '256');
  });

  test('appends in any order, repeats among them', async () => {
    const image = [a, b, a, small];
    const size = 3 * fixedBytes + 1000;
    await taken(openFixed(size));
    for (const chunk of [small, a, b]) await taken(upload(client, 'fixed', 1, chunk));
    await taken(append(client, 'fixed', 1, [[small.digest, 3 * fixedBytes], [a.digest, 2 * fixedBytes]]));
    await taken(append(client, 'fixed', 1, []));
    await taken(append(client, 'fixed', 1, [[b.digest, fixedBytes], [a.digest, 0]]));
    await taken(close(client, 'fixed', 1, 4, size, fixedCsum(image.map(({ digest }) => digest))));
    await finish(client);
    const index = await (await openStore(server.store)).index({ namespace: [], type: 'host', id: 'elsa', time: backupTime }, 'a.img.fidx');
    expect(Array.from({ length: 4 }, (_, i) => index.digestAt(i).toString('hex'))).toEqual(image.map(({ digest }) => digest));
  });

  test('alignment and order of an image', async () => {
    await taken(openFixed(2 * fixedBytes + 1000));
    for (const chunk of [a, small]) await taken(upload(client, 'fixed', 1, chunk));
    await refused(append(client, 'fixed', 1, [[a.digest, 1]]), 'multiple');
    await refused(append(client, 'fixed', 1, [[a.digest, -fixedBytes]]), 'multiple');
    await refused(append(client, 'fixed', 1, [[a.digest, 2 * fixedBytes]]), 'after the image');
    await refused(append(client, 'fixed', 1, [[small.digest, fixedBytes]]), 'not the last');
    await refused(append(client, 'fixed', 1, [[b.digest, fixedBytes]]), 'not known');
    await refused(append(client, 'fixed', 7, [[a.digest, 0]]), 'no open');
    await refused(append(client, 'dynamic', 1, []), 'no open');
    await refused(client.put('fixed_index', { 'digest-list': [a.digest], 'offset-list': [], wid: 1 }), 'as many');
    await refused(client.put('fixed_index', { 'digest-list': [a.digest.toUpperCase()], 'offset-list': [0], wid: 1 }), 'lower case');
    // What comes before a refused entry stays.
    await refused(append(client, 'fixed', 1, [[a.digest, 0], [a.digest, fixedBytes], [b.digest, 0], [small.digest, 2 * fixedBytes]]), 'not known');
    await taken(append(client, 'fixed', 1, [[small.digest, 2 * fixedBytes]]));
    await taken(close(client, 'fixed', 1, 3, 2 * fixedBytes + 1000, fixedCsum([a.digest, a.digest, small.digest])));
  });

  test('a rewritten position makes a close impossible, and so does one that is missing', async () => {
    await taken(openFixed(2 * fixedBytes));
    await taken(upload(client, 'fixed', 1, a));
    await taken(append(client, 'fixed', 1, [[a.digest, 0], [a.digest, 0]]));
    await refused(close(client, 'fixed', 1, 2, 2 * fixedBytes, fixedCsum([a.digest, '0'.repeat(64)])), 'no chunk');
    await taken(append(client, 'fixed', 1, [[a.digest, fixedBytes]]));
    await refused(close(client, 'fixed', 1, 3, 2 * fixedBytes, fixedCsum([a.digest, a.digest])), '2');
  });

  test('a close is tried again after wrong numbers, and never after a wrong checksum', async () => {
    await taken(openFixed(fixedBytes));
    await taken(upload(client, 'fixed', 1, a));
    await refused(close(client, 'fixed', 1, 0, fixedBytes, fixedCsum([])), '0 chunks');
    await taken(append(client, 'fixed', 1, [[a.digest, 0]]));
    await refused(close(client, 'fixed', 1, 2, fixedBytes, fixedCsum([a.digest])), 'not 2');
    await refused(close(client, 'fixed', 1, 1, 5, fixedCsum([a.digest])), 'not 5');
    await refused(close(client, 'fixed', 1, 1, fixedBytes, fixedCsum([b.digest])), 'checksum');
    await refused(close(client, 'fixed', 1, 1, fixedBytes, fixedCsum([a.digest])), 'closed already');
    await refused(append(client, 'fixed', 1, [[a.digest, 0]]), 'closed already');
    await blob(client, 'index.json.blob', manifestBlob());
    await refused(client.post('finish'), 'not closed');
  });

  test('streams are appended one after the other', async () => {
    const chunks = [noiseChunk('1', 5000), noiseChunk('2', 70_000), noiseChunk('1', 5000)];
    await taken(openDynamic());
    await refused(close(client, 'dynamic', 1, 1, 1, '0'.repeat(64)), '0 chunks');
    await refused(close(client, 'dynamic', 1, 0, 0, '0'.repeat(64)));
    for (const chunk of chunks) await taken(upload(client, 'dynamic', 1, chunk));
    const [first, second] = chunks as [typeof small, typeof small];
    await refused(append(client, 'dynamic', 1, [[first.digest, 1]]), 'begins at 0');
    await refused(append(client, 'dynamic', 1, [[first.digest, 0], [second.digest, 0]]), 'begins at 5000');
    await taken(append(client, 'dynamic', 1, [[second.digest, 5000]]));
    await taken(append(client, 'dynamic', 1, [[first.digest, 75_000]]));
    await refused(close(client, 'dynamic', 1, 3, 80_001, dynamicCsum(chunks)), '80000');
    await taken(close(client, 'dynamic', 1, 3, 80_000, dynamicCsum(chunks)));
    await refused(close(client, 'dynamic', 1, 3, 80_000, dynamicCsum(chunks)), 'no open');
  });

  test('of two of one name the last close wins', async () => {
    await taken(archive(client, 'dynamic', 'a.pxar.didx', [noiseChunk('1', 5000)]));
    await taken(archive(client, 'dynamic', 'a.pxar.didx', [noiseChunk('2', 6000)]));
    await finish(client);
    const index = await (await openStore(server.store)).index({ namespace: [], type: 'host', id: 'elsa', time: backupTime }, 'a.pxar.didx');
    expect(index.size).toBe(6000);
  });

  test('an image that grows until a short chunk ends it', async () => {
    const open = (name: string): Promise<SessionAnswer> => client.post('fixed_index', { 'archive-name': name });
    await taken(open('a.img.fidx'));
    for (const chunk of [a, small]) await taken(upload(client, 'fixed', 1, chunk));
    await refused(close(client, 'fixed', 1, 0, 0, fixedCsum([])), 'at least one');
    await taken(append(client, 'fixed', 1, [[a.digest, 0], [a.digest, fixedBytes]]));
    await refused(append(client, 'fixed', 1, [[small.digest, 0]]), 'last chunk');
    await taken(append(client, 'fixed', 1, [[small.digest, 2 * fixedBytes]]));
    await refused(append(client, 'fixed', 1, [[a.digest, 3 * fixedBytes]]), 'after the image');
    const size = 2 * fixedBytes + 1000;
    await refused(close(client, 'fixed', 1, 3, size - 1, fixedCsum([a.digest, a.digest, small.digest])), String(size));
    await taken(close(client, 'fixed', 1, 3, size, fixedCsum([a.digest, a.digest, small.digest])));
    await taken(open('b.img.fidx'));
    await taken(append(client, 'fixed', 2, [[a.digest, 0]]));
    await taken(close(client, 'fixed', 2, 1, fixedBytes, fixedCsum([a.digest])));
    await finish(client);
  });

  test('an announced size costs nothing', async () => {
    const before = process.memoryUsage().rss;
    for (let i = 0; i < 200; i++) await taken(openFixed(100 * 2 ** 40, `n${i}.fidx`));
    expect(process.memoryUsage().rss - before).toBeLessThan(50 << 20);
  });
});

describe('chunks', () => {
  test('wrong in every way, and the session stays usable', async () => {
    await taken(openFixed(2 * fixedBytes));
    await taken(openDynamic());
    const send = (kind: 'fixed' | 'dynamic', wid: number, changes: Partial<typeof a>, announced = 0): Promise<SessionAnswer> => {
      const { digest, size, encoded } = { ...a, ...changes };
      return client.post(`${kind}_chunk`, { digest, 'encoded-size': encoded.length + announced, size, wid }, encoded);
    };
    await refused(send('fixed', 1, { digest: b.digest }), 'digest');
    await refused(send('fixed', 1, { size: fixedBytes - 1 }), 'announced');
    await refused(send('fixed', 1, {}, 1), 'announced');
    await refused(send('fixed', 1, {}, -1), 'announced');
    await refused(send('fixed', 2, {}), 'no open');
    await refused(send('dynamic', 1, {}), 'no open');
    await refused(send('fixed', 9, {}), 'no open');
    await refused(send('fixed', 1, { size: 0 }));
    await refused(send('fixed', 1, { size: (16 << 20) + 1 }));
    await refused(send('fixed', 1, { digest: a.digest.slice(1) }), 'digest');
    await refused(send('fixed', 1, { encoded: Buffer.from('42ab3807be8370a1deadbeef', 'hex') }));
    await refused(send('fixed', 1, { encoded: Buffer.alloc(40, 1) }), 'not a blob');
    await refused(send('fixed', 1, { encoded: Buffer.concat([a.encoded.subarray(0, 60), Buffer.alloc(10)]) }), 'zstd');
    await refused(send('fixed', 1, { encoded: Buffer.concat([Buffer.from('7b6785be222d4cf0', 'hex'), Buffer.alloc(30)]) }), 'too short');
    await refused(send('fixed', 1, imageChunk('large', fixedBytes + 1)), 'at most');
    await taken(send('fixed', 1, {}));
    await taken(send('fixed', 1, small));
    await refused(send('fixed', 1, imageChunk('t', 900)), 'only one');
    await refused(send('fixed', 1, small), 'only one');
    await taken(send('dynamic', 2, imageChunk('large', 16 << 20)));
    await taken(append(client, 'fixed', 1, [[a.digest, 0]]));
  });

  test('a body that is too long is refused before its end, and one that never ends by the client going', async () => {
    await taken(openDynamic());
    const query = new URLSearchParams({ digest: a.digest, 'encoded-size': '100', size: '100', wid: '1' }).toString();
    const long = client.begin('POST', `/dynamic_chunk?${query}`, 'application/octet-stream', true);
    long.write(Buffer.alloc(200));
    const answer = answerOf(long);
    setTimeout(() => long.end(), 100);
    expect((await answer).status).toBe(400);
    const never = client.begin('POST', `/dynamic_chunk?${query}`, 'application/octet-stream', true);
    never.on('error', () => undefined);
    never.write(Buffer.alloc(50));
    await taken(client.get('previous_backup_time'));
    never.close();
    await taken(upload(client, 'dynamic', 1, small));
  });

  test('the CRC is made right, other encodings by the rules of the store', async () => {
    await taken(openDynamic());
    const path = (digest: string): string => join(server.store, chunkPath(Buffer.from(digest, 'hex')));
    const wrong = Buffer.from(small.encoded).fill(0, 8, 12);
    await taken(upload(client, 'dynamic', 1, { ...small, encoded: wrong }));
    expect(readFileSync(path(small.digest)).equals(small.encoded)).toBe(true);
    // Longer encodings of the same content do not replace it; shorter ones do.
    const content = Buffer.alloc(1000, 's ');
    const plain = wrapPayload(content, { compressed: false });
    await taken(upload(client, 'dynamic', 1, { ...small, encoded: plain }));
    expect(readFileSync(path(small.digest)).equals(small.encoded)).toBe(true);
    writeFileSync(path(small.digest), plain);
    await taken(upload(client, 'dynamic', 1, small));
    expect(readFileSync(path(small.digest)).equals(small.encoded)).toBe(true);
    writeFileSync(path(small.digest), '');
    await taken(upload(client, 'dynamic', 1, small));
    expect(readFileSync(path(small.digest)).equals(small.encoded)).toBe(true);
  });

  test('encrypted ones are trusted, but never beside others of their digest', async () => {
    const [key] = fixtureKeys();
    await taken(openDynamic());
    const secret = chunkOf(Buffer.alloc(5000, 'secret '), key);
    await taken(upload(client, 'dynamic', 1, secret));
    await taken(upload(client, 'dynamic', 1, { ...secret, encoded: encodeBlob(Buffer.alloc(5000, 'longer and longer'), { key }) }));
    const path = join(server.store, chunkPath(Buffer.from(secret.digest, 'hex')));
    expect(readFileSync(path).subarray(44).equals(secret.encoded.subarray(44))).toBe(true);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, small.encoded);
    await refused(upload(client, 'dynamic', 1, secret), 'unencrypted');
    const [one, two] = [wrapPayload(Buffer.alloc(100, 1), { compressed: false, key }), wrapPayload(Buffer.alloc(101, 1), { compressed: false, key })];
    writeFileSync(path, one);
    await refused(upload(client, 'dynamic', 1, { ...secret, encoded: two }), 'one is wrong');
  });

  test('known is what was uploaded, for all writers', async () => {
    await taken(openDynamic('a.pxar.didx'));
    await taken(openDynamic('b.pxar.didx'));
    await taken(upload(client, 'dynamic', 1, small));
    await taken(append(client, 'dynamic', 2, [[small.digest, 0]]));
    await client.drop();
    const next = await openBackup(server.port);
    await taken(next.post('dynamic_index', { 'archive-name': 'a.pxar.didx' }));
    await refused(append(next, 'dynamic', 1, [[small.digest, 0]]), 'not known');
  });
});

describe('blobs', () => {
  test('name, size, magic and CRC; a second one replaces the first', async () => {
    const good = encodeBlob(Buffer.from('one'));
    await refused(blob(client, 'a.conf', good), '.blob');
    await refused(blob(client, 'a.img.fidx', good), '.blob');
    await refused(client.post('blob', { 'file-name': 'a.conf.blob', 'encoded-size': good.length + 1 }, good), 'announced');
    await refused(client.post('blob', { 'file-name': 'a.conf.blob', 'encoded-size': good.length - 1 }, good), 'announced');
    await refused(client.post('blob', { 'file-name': 'a.conf.blob', 'encoded-size': (16 << 20) + 45 }, good), 'between');
    await refused(blob(client, 'a.conf.blob', Buffer.alloc(20, 7)), 'not a blob');
    await refused(blob(client, 'a.conf.blob', Buffer.concat([good, Buffer.from('x')])), 'CRC');
    await taken(blob(client, 'a.conf.blob', good));
    const second = encodeBlob(Buffer.from('two'));
    await taken(blob(client, 'a.conf.blob', second));
    await taken(blob(client, 'client.log.blob', good));
    await finish(client);
    const snapshot = { namespace: [], type: 'host', id: 'elsa', time: backupTime } as const;
    const store = await openStore(server.store);
    expect((await store.blob(snapshot, 'a.conf.blob')).equals(second)).toBe(true);
    expect((await store.snapshotFacts(snapshot)).files.map(({ name }) => name)).toEqual(['a.conf.blob', 'client.log.blob', 'index.json.blob']);
  });
});

describe('finish', () => {
  test('open indexes and no files change nothing', async () => {
    await refused(client.post('finish'), 'no files');
    await taken(openDynamic());
    await refused(client.post('finish'), 'not closed');
    await taken(upload(client, 'dynamic', 1, small));
    await taken(append(client, 'dynamic', 1, [[small.digest, 0]]));
    await taken(close(client, 'dynamic', 1, 1, 1000, dynamicCsum([small])));
    await finish(client);
  });

  for (const [what, content] of [['no manifest', undefined], ['one that is no JSON', 'x'], ['one that is another JSON', '{}']] as const) {
    test(`${what}: the backup is lost`, async () => {
      await taken(archive(client, 'dynamic', 'a.pxar.didx', [small]));
      if (content !== undefined) await taken(blob(client, 'index.json.blob', encodeBlob(Buffer.from(content))));
      await refused(client.post('finish'), 'manifest');
      await refused(blob(client, 'index.json.blob', manifestBlob()), 'lost');
      await refused(client.post('finish'), 'lost');
      await client.drop();
      const store = await openStore(server.store);
      await expect.poll(() => store.groups([])).toEqual([]);
    });
  }

  test('afterwards nothing is taken, and the group is free', async () => {
    await taken(archive(client, 'dynamic', 'a.pxar.didx', [small]));
    await finish(client);
    await refused(client.post('finish'), 'finished');
    await refused(openDynamic('b.pxar.didx'), 'finished');
    await refused(openFixed(5), 'finished');
    await refused(upload(client, 'dynamic', 1, small), 'finished');
    await refused(append(client, 'dynamic', 1, []), 'finished');
    await refused(blob(client, 'late.conf.blob', encodeBlob(Buffer.from('late'))), 'finished');
    await refused(client.get('previous', { 'archive-name': 'index.json.blob' }), 'finished');
    expect(await taken(client.get('previous_backup_time'))).toBe(null);
    await taken(client.post('speedtest'));
    const next = await later();
    expect(await taken(next.get('previous_backup_time'))).toBe(backupTime);
  });

  test('what others put into the manifest stays', async () => {
    const value = { 'backup-id': 'other', 'backup-time': 5, 'backup-type': 'vm', files: [], signature: null, more: [1], unprotected: { notes: 'n', strange: { x: 1 } } };
    await taken(blob(client, 'index.json.blob', encodeBlob(Buffer.from(JSON.stringify(value)))));
    await taken(client.post('finish'));
    const bytes = await (await openStore(server.store)).blob({ namespace: [], type: 'host', id: 'elsa', time: backupTime }, 'index.json.blob');
    const stored = JSON.parse(decodeBlob(bytes, zstd, undefined).toString()) as typeof value;
    expect(stored).toMatchObject(value);
    expect(Object.keys(stored.unprotected)).toEqual(['chunk_upload_stats', 'notes', 'strange']);
  });
});

describe('the previous snapshot', () => {
  beforeEach(async () => {
    await taken(archive(client, 'fixed', 'a.img.fidx', [a, b, small]));
    await taken(archive(client, 'dynamic', 'a.pxar.didx', [noiseChunk('1', 5000)]));
    await finish(client);
    client = await later();
  });

  const size = 2 * fixedBytes + 1000;
  const previousCsum = fixedCsum([a.digest, b.digest, small.digest]);

  test('its files as they are; chunks of its indexes are known, the last one with its true size', async () => {
    const directory = join(server.store, 'host/elsa/2024-06-05T14:24:36Z');
    await taken(openFixed(fixedBytes + 1000));
    await refused(append(client, 'fixed', 1, [[a.digest, 0]]), 'not known');
    for (const name of ['a.img.fidx', 'a.pxar.didx', 'index.json.blob']) {
      const { body, headers } = await client.get('previous', { 'archive-name': name });
      expect([body.equals(readFileSync(join(directory, name))), headers['content-length'], headers['content-type']]).toEqual([true, undefined, 'application/octet-stream']);
    }
    expect((await client.get('previous', { 'archive-name': 'no.conf.blob' })).status).toBe(404);
    await refused(client.get('previous', { 'archive-name': 'no.img.fidx' }), 'no file');
    await refused(client.get('previous', { 'archive-name': 'a' }), 'name');
    await taken(append(client, 'fixed', 1, [[b.digest, 0], [small.digest, fixedBytes]]));
    await taken(close(client, 'fixed', 1, 2, fixedBytes + 1000, fixedCsum([b.digest, small.digest])));
    await finish(client);
  });

  test('reuse-csum: only what changed is appended, and size is not looked at', async () => {
    const open = (query: Record<string, string | number>): Promise<SessionAnswer> => client.post('fixed_index', { 'archive-name': 'a.img.fidx', 'reuse-csum': previousCsum, ...query });
    await refused(open({}), 'size');
    await refused(open({ size, 'reuse-csum': fixedCsum([]) }), 'checksum');
    await refused(open({ size: size + fixedBytes }), 'chunks');
    await refused(open({ size, 'archive-name': 'no.img.fidx' }), 'no.img.fidx');
    expect(await taken(open({ size: size - 1 }))).toBe(1);
    expect(await taken(open({ size }))).toBe(2);
    // Copies are not known.
    await refused(append(client, 'fixed', 2, [[a.digest, 0]]), 'not known');
    const c = imageChunk('c');
    await taken(upload(client, 'fixed', 2, c));
    await taken(append(client, 'fixed', 2, [[c.digest, fixedBytes]]));
    const csum = fixedCsum([a.digest, c.digest, small.digest]);
    await refused(close(client, 'fixed', 2, 2, 5, csum), 'not 2');
    await taken(close(client, 'fixed', 2, 1, 5, csum));
    await taken(close(client, 'fixed', 1, 0, 0, previousCsum));
    await finish(client);
  });

  test('reuse-csum does not believe the header', async () => {
    const path = join(server.store, 'host/elsa/2024-06-05T14:24:36Z/a.img.fidx');
    const bytes = readFileSync(path);
    bytes.fill(7, 4096, 4100);
    writeFileSync(path, bytes);
    await refused(client.post('fixed_index', { 'archive-name': 'a.img.fidx', 'reuse-csum': previousCsum, size }), 'checksum');
  });

  test('a damaged index is refused, and nothing of it is known', async () => {
    const path = join(server.store, 'host/elsa/2024-06-05T14:24:36Z/a.pxar.didx');
    writeFileSync(path, readFileSync(path).subarray(0, 4100));
    await refused(client.get('previous', { 'archive-name': 'a.pxar.didx' }));
  });
});
