/** Requests at random: whatever comes, it is answered, others are served, and what is finished is whole. */
import { constants } from 'node:http2';
import { expect, test } from 'vitest';
import { openStore } from '../../support/new-snapshots.js';
import { backupTime, openBackup, openReader, type ProtocolSession } from '../../support/protocol-client.js';
import { startTestServer } from '../../support/protocol-server.js';
import { archive, chunkOf, finish, imageChunk, noiseChunk } from '../../support/protocol-steps.js';
import { Random, seed as firstSeed } from '../../support/random.js';

const requestsMax = 600;
const chunks = [noiseChunk('1', 5000), noiseChunk('2', 70_000), imageChunk('a'), chunkOf(Buffer.alloc(10))];

type Pick = <T>(from: readonly T[]) => T;

const methods = ['GET', 'POST', 'PUT', 'DELETE', 'HEAD', 'PATCH'];
const names = ['previous_backup_time', 'previous', 'fixed_index', 'dynamic_index', 'fixed_chunk', 'dynamic_chunk', 'fixed_close', 'dynamic_close', 'blob', 'finish', 'speedtest', 'download', 'chunk', '', '..', 'a/b', '%00', '%ff'];
const values: readonly (readonly [string, readonly string[]])[] = [
  ['archive-name', ['a.pxar.didx', 'a.img.fidx', 'index.json.blob', '../../x.blob', 'a\0.didx', `${'n'.repeat(300)}.didx`]],
  ['file-name', ['a.conf.blob', 'index.json.blob', 'client.log.blob', 'owner', '../owner']],
  ['wid', ['1', '2', '256', '0', '-1', '1e3', 'x', '99999999999999999999']],
  ['size', ['0', '1', '10', '5000', '4194304', '281474976710656', '-5', '']],
  ['chunk-count', ['0', '1', '3', '9007199254740993']],
  ['encoded-size', ['0', '12', '13', '100', '5012', '16777260', '16777261']],
  ['digest', [...chunks.map(({ digest }) => digest), '', 'x'.repeat(64), 'a'.repeat(64)]],
  ['csum', ['0'.repeat(64), 'a']],
  ['reuse-csum', ['0'.repeat(64)]],
  ['digest-list', chunks.map(({ digest }) => digest)],
  ['offset-list', ['0', '5000', '4194304', '-1', '1.5']],
  ['strange', ['1']],
];

function bodyOf(pick: Pick): Buffer | undefined {
  const json = { wid: pick([1, 2, -1, '1']), 'digest-list': pick([[], [chunks[0]?.digest], 'x', [1]]), 'offset-list': pick([[], [0], [0, 1], [null]]) };
  return pick<() => Buffer | undefined>([
    () => undefined,
    () => Buffer.alloc(0),
    () => pick(chunks).encoded,
    () => pick(chunks).encoded.subarray(0, 40),
    () => Buffer.alloc(5012, 1),
    () => Buffer.from(JSON.stringify(json)),
    () => Buffer.from('{"a":'.repeat(2000)),
  ])();
}

/** Resolves with the status, or 0 if the request was given up. */
async function ask(client: ProtocolSession, pick: Pick): Promise<number> {
  const query = new URLSearchParams();
  for (const [name, from] of values) if (pick([true, false])) query.append(name, pick(from));
  const body = bodyOf(pick);
  const type = pick(['application/json', 'application/octet-stream', 'application/x-www-form-urlencoded', 'x']);
  const stream = client.begin(pick(methods), `/${pick(names)}?${query.toString()}`, type, body !== undefined);
  return await new Promise((resolve) => {
    let status = 0;
    stream.on('error', () => undefined);
    stream.on('response', (headers) => (status = headers[':status'] ?? 0));
    stream.on('close', () => resolve(status));
    stream.resume();
    const end = pick(['end', 'end', 'end', 'end', 'reset', 'half']);
    if (body !== undefined) stream.write(body);
    if (end === 'reset') stream.close(constants.NGHTTP2_CANCEL);
    else if (end === 'half') setTimeout(() => stream.close(constants.NGHTTP2_CANCEL), 20);
    else stream.end();
  });
}

for (const seed of [firstSeed, firstSeed + 1]) {
  test(`${requestsMax} requests of anything (seed ${seed})`, { timeout: 120_000 }, async () => {
    const random = new Random(seed);
    const pick: Pick = (from) => random.pick(from);
    const { port, server, store, lines } = await startTestServer();
    const base = await openBackup(port);
    await archive(base, 'dynamic', 'a.pxar.didx', chunks.slice(0, 2));
    await finish(base);
    const open = [
      () => openReader(port),
      () => openBackup(port, { query: { 'backup-time': String(backupTime + 60), 'backup-id': `f${random.below(8)}` } }),
      () => openBackup(port, { query: { 'backup-time': String(backupTime + 60) } }),
    ];
    for (const begin of open) {
      const client = await begin();
      const statuses: number[] = [];
      for (let sent = 0; sent < requestsMax / open.length; sent += 10) {
        statuses.push(...(await Promise.all(Array.from({ length: 10 }, () => ask(client, pick)))));
      }
      expect(statuses.filter((status) => ![0, 200, 400, 401, 404].includes(status))).toEqual([]);
      expect(client.http2.destroyed).toBe(false);
      await client.drop();
    }
    await base.drop();
    await expect.poll(() => server.sessionCount()).toBe(0);
    expect(lines.filter((line) => line.includes('at '))).toEqual([]);
    const target = await openStore(store);
    const snapshots = await Promise.all((await target.groups([])).map((group) => target.snapshots(group)));
    expect(snapshots.flat().every(({ time }) => time === backupTime)).toBe(true);
    const last = await openBackup(port, { query: { 'backup-time': String(backupTime + 120) } });
    await archive(last, 'dynamic', 'a.pxar.didx', chunks.slice(0, 2));
    await finish(last);
  });
}
