/** Reads over a link that is slow, but does not stop. Times and sizes are those of 60 seconds and 300 kB/s, smaller. */
import { expect, onTestFinished, test } from 'vitest';
import { codeOf } from '../../../src/errors.js';
import type { OpenOptions } from '../../../src/store/open-options.js';
import { openRemoteDatastore, type RemoteDatastore } from '../../../src/store/remote/remote-datastore.js';
import { parseSnapshotPath, type SnapshotName } from '../../../src/format/snapshot-name.js';
import { openDatastoreTree } from '../../../src/tree/datastore-tree.js';
import { madeSnapshot, madeStore } from '../../support/made-stores.js';
import { RecordingServer } from '../../support/recording-server.js';
import { noise } from '../../support/random.js';
import { TcpProxy } from '../../support/tcp-proxy.js';
import { contentAt } from '../../support/trees.js';

const image = noise('slow', 24 << 20);
const snapshot = parseSnapshotPath(madeSnapshot) as SnapshotName;
const bytesPerMs = 4000;
const timeoutMs = 4000;

async function slow(options: Partial<OpenOptions>): Promise<RemoteDatastore> {
  const server = await RecordingServer.start(madeStore({ images: { 'disk.img': image } }));
  onTestFinished(() => server.close());
  const proxy = await TcpProxy.start(server.repository.port);
  onTestFinished(() => proxy.close());
  proxy.rate.down = bytesPerMs;
  return await openRemoteDatastore({ ...server.repository, port: proxy.port }, server.options({ timeoutMs, ...options }));
}

test.each([
  ['a command waits for what comes', false],
  ['a mount gives up in time', true],
])('all of it at once: %s', async (_name, isBounded) => {
  const store = await slow({ isBounded });
  onTestFinished(() => store.close());
  const index = await store.index(snapshot, 'disk.img.fidx');
  const chunks = Array.from({ length: index.count }, (_, n) => ({ digest: index.digestAt(n), length: 4 << 20, origin: index, keyNumber: -1 }));
  const codes = await Promise.all(chunks.map((chunk) => store.chunks.fetch(chunk).then(() => undefined, codeOf)));
  expect(codes.filter((code) => code !== undefined && code !== 'UNREACHABLE')).toEqual([]);
  expect(codes.includes('UNREACHABLE')).toBe(isBounded);
});

test('a mount reads on, as it asks for no more than comes in time', async () => {
  const log: string[] = [];
  const fs = openDatastoreTree({ store: await slow({ isBounded: true }), keys: [], namespace: [], cacheBytesMax: 256 << 20, salvage: false, log: (line) => log.push(line) });
  onTestFinished(() => fs.close());
  expect((await contentAt(fs, `${madeSnapshot}/disk.img`)).equals(image)).toBe(true);
  expect(log).toEqual([]);
});
