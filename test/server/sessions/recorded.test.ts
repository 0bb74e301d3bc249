/** The recorded exchanges of the protocol (sections 15.3 and 15.4), byte for byte. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { decodeBlob } from '../../../src/codec/blob-decoder.js';
import { parseManifest } from '../../../src/format/manifest.js';
import { encodeBlob, zstd } from '../../support/chunks.js';
import { openStore } from '../../support/new-snapshots.js';
import { backupTime, openBackup, openReader } from '../../support/protocol-client.js';
import { startTestServer } from '../../support/protocol-server.js';

const hello = Buffer.from('42ab3807be8370a186a6103668656c6c6f', 'hex');
const large = 'bb9f8df61474d25e71fa00722318cd387396ca1736605e1248821cc0de3d3af8';
const small = '07854d2fef297a06ba81685e660c332de36d5d18d546927d30daad6d7fda1541';
const csum = 'a9d5962e5933418d8b9caee089c12fab0137d7ef4669afe5ab8b964494f5b7b3';
const imageBytes = 4_718_592;
const manifest = {
  'backup-id': 'elsa',
  'backup-time': backupTime,
  'backup-type': 'host',
  files: [
    { 'crypt-mode': 'none', csum: '9c5944aba3379b450612203cafb5bf60c2358103550b7f799d197f4668f169d5', filename: 'host.conf.blob', size: 17 },
    { 'crypt-mode': 'none', csum, filename: 'disk.img.fidx', size: imageBytes },
  ],
  signature: null,
  unprotected: {},
};

test('a first backup, and its restore', async () => {
  const { port, store, audit } = await startTestServer();
  const client = await openBackup(port);
  const time = await client.get('previous_backup_time');
  expect([time.status, time.body.toString(), time.headerNames]).toEqual([200, '{"data":null}', [':status', 'content-type', 'date', 'content-length']]);
  expect(time.headers['content-type']).toBe('application/json;charset=UTF-8');
  expect((await client.post('blob', { 'encoded-size': 17, 'file-name': 'host.conf.blob' }, hello)).body.toString()).toBe('{"data":null}');
  expect((await client.post('fixed_index', { 'archive-name': 'disk.img.fidx', size: imageBytes })).body.toString()).toBe('{"data":1}');
  const chunks = [
    [large, encodeBlob(Buffer.alloc(4 << 20)), 4 << 20],
    [small, encodeBlob(Buffer.alloc(512 << 10)), 512 << 10],
  ] as const;
  const sent = chunks.map(([digest, body, size]) => client.post('fixed_chunk', { digest, 'encoded-size': body.length, size, wid: 1 }, body));
  expect((await Promise.all(sent)).map(({ data }) => data)).toEqual([large, small]);
  const appended = await client.put('fixed_index', { 'digest-list': [large, small], 'offset-list': [0, 4_194_304], wid: 1 });
  expect(appended.body.toString()).toBe('{"data":null}');
  expect((await client.post('fixed_close', { 'chunk-count': 2, csum, size: imageBytes, wid: 1 })).status).toBe(200);
  const body = encodeBlob(Buffer.from(JSON.stringify(manifest)));
  expect((await client.post('blob', { 'encoded-size': body.length, 'file-name': 'index.json.blob' }, body)).status).toBe(200);
  const reader = await openStore(store);
  const snapshot = { namespace: [], type: 'host', id: 'elsa', time: backupTime } as const;
  expect(await reader.snapshots(snapshot)).toEqual([]);
  expect((await client.post('finish')).body.toString()).toBe('{"data":null}');

  expect(await reader.snapshots(snapshot)).toEqual([snapshot]);
  expect((await reader.groupFacts(snapshot)).owner).toBe('backup@pbs');
  const index = await reader.index(snapshot, 'disk.img.fidx');
  expect([index.size, index.count, index.computeCsum().toString('hex'), index.csum.toString('hex')]).toEqual([imageBytes, 2, csum, csum]);
  const stored = await reader.blob(snapshot, 'index.json.blob');
  const { unprotected, files } = parseManifest(decodeBlob(stored, zstd, undefined));
  expect(files.map(({ filename }) => filename)).toEqual(['host.conf.blob', 'disk.img.fidx']);
  const compressedSize = chunks.reduce((sum, [, { length }]) => sum + length, 0);
  expect(unprotected.chunkUploadStats).toEqual({ count: 2, size: imageBytes + 17 + body.length, compressedSize, duplicates: 0 });

  const restore = await openReader(port);
  const got = await restore.get('download', { 'file-name': 'index.json.blob' });
  expect([got.headers['content-type'], got.headers['content-length'], got.body.equals(stored)]).toEqual(['application/octet-stream', undefined, true]);
  const early = performance.now();
  expect((await restore.get('chunk', { digest: large })).status).toBe(401);
  expect(performance.now() - early).toBeGreaterThan(2950);
  const fidx = await restore.get('download', { 'file-name': 'disk.img.fidx' });
  expect(fidx.body.equals(readFileSync(join(store, 'host/elsa/2024-06-05T14:24:36Z/disk.img.fidx')))).toBe(true);
  for (const [digest, encoded] of chunks) {
    const chunk = await restore.get('chunk', { digest });
    expect([chunk.status, chunk.headers['content-length'], chunk.headerNames]).toEqual([200, String(encoded.length), [':status', 'content-type', 'date', 'content-length']]);
    expect(createHash('sha256').update(decodeBlob(chunk.body, zstd, undefined)).digest('hex')).toBe(digest);
  }
  await client.drop();
  await restore.drop();
  await expect.poll(() => audit.map(({ what, result }) => `${what} ${result}`).filter((line) => line.includes('-')).sort()).toEqual([
    'backup-begin ok',
    'backup-end ok',
    'reader-begin ok',
    'reader-end ok',
  ]);
});
