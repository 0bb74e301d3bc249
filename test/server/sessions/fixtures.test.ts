/** Snapshots of the fixture stores, uploaded as they are: the same indexes, blobs and manifests come out. */
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { decodeBlob } from '../../../src/codec/blob-decoder.js';
import { manifestFileName } from '../../../src/format/archive-name.js';
import { chunkPath } from '../../../src/format/chunk-path.js';
import { parseManifest, type Manifest } from '../../../src/format/manifest.js';
import { parseSnapshotPath, type SnapshotName } from '../../../src/format/snapshot-name.js';
import { openLocalDatastore } from '../../../src/store/local/local-datastore.js';
import { zstd } from '../../support/chunks.js';
import { storePath, type FixtureStore } from '../../support/fixtures.js';
import { openStore } from '../../support/new-snapshots.js';
import { openBackup, openReader, type OpenOptions, type ProtocolSession } from '../../support/protocol-client.js';
import { startTestServer } from '../../support/protocol-server.js';
import { append, blob, close, upload, type TestChunk } from '../../support/protocol-steps.js';
import { finishedSnapshots } from '../../support/stored-files.js';

/** Entries of one append, as the official client has them at most. */
const batch = 128;

function optionsOf({ namespace, type, id, time }: SnapshotName): OpenOptions {
  const ns = namespace.length === 0 ? {} : { ns: namespace.join('/') };
  return { query: { 'backup-type': type, 'backup-id': id, 'backup-time': String(time), ...ns } };
}

async function uploadIndex(client: ProtocolSession, source: FixtureStore, snapshot: SnapshotName, name: string): Promise<void> {
  const store = await openLocalDatastore(storePath(source));
  const index = await store.index(snapshot, name);
  await store.close();
  const { data } = await client.post(`${index.kind}_index`, { 'archive-name': name, ...(index.kind === 'fixed' && { size: index.size }) });
  const wid = data as number;
  const chunks = Array.from({ length: index.count }, (_, i): TestChunk => {
    const digest = index.digestAt(i);
    return { digest: digest.toString('hex'), size: index.endOf(i) - index.startOf(i), encoded: readFileSync(join(storePath(source), chunkPath(digest))) };
  });
  const different = [...new Map(chunks.map((chunk) => [chunk.digest, chunk])).values()];
  const answers = await Promise.all(different.map((chunk) => upload(client, index.kind, wid, chunk)));
  expect(answers.filter(({ status }) => status !== 200)).toEqual([]);
  for (let from = 0; from < chunks.length; from += batch) {
    const entries = chunks.slice(from, from + batch).map(({ digest }, i): [string, number] => [digest, index.startOf(from + i)]);
    expect((await append(client, index.kind, wid, entries)).status).toBe(200);
  }
  const closed = await close(client, index.kind, wid, index.count, index.size, index.computeCsum().toString('hex'));
  expect([closed.status, closed.body.toString()]).toEqual([200, '{"data":null}']);
}

function withoutStats(manifest: Manifest): Manifest {
  const unprotected = { ...manifest.unprotected };
  delete unprotected.chunkUploadStats;
  return { ...manifest, unprotected };
}

const comparable = (bytes: Buffer): Buffer => Buffer.concat([bytes.subarray(0, 8), bytes.subarray(32)]);

for (const source of ['sample', 'vault'] as const) {
  test(`all of ${source}`, async () => {
    const { port, store } = await startTestServer();
    const target = await openStore(store);
    for (const { path, files } of finishedSnapshots(source)) {
      const snapshot = parseSnapshotPath(path);
      if (snapshot === undefined) throw new Error(path);
      mkdirSync(join(store, ...snapshot.namespace.flatMap((component) => ['ns', component])), { recursive: true });
      const client = await openBackup(port, optionsOf(snapshot));
      const blobs = [...files.filter(({ kind }) => kind === 'blob').map(({ filename }) => filename), manifestFileName];
      await Promise.all(files.filter(({ kind }) => kind !== 'blob').map(({ filename }) => uploadIndex(client, source, snapshot, filename)));
      for (const name of blobs) expect((await blob(client, name, readFileSync(join(storePath(source), path, name)))).status).toBe(200);
      expect((await client.post('finish')).body.toString()).toBe('{"data":null}');
      await client.drop();

      const reader = await openReader(port, { user: 'reader@pbs', ...optionsOf(snapshot) });
      for (const { filename, kind } of files) {
        const [original, stored] = [readFileSync(join(storePath(source), path, filename)), readFileSync(join(store, path, filename))];
        const view = kind === 'blob' ? (bytes: Buffer): Buffer => bytes : comparable;
        expect([filename, view(stored).equals(view(original))]).toEqual([filename, true]);
        const { body } = await reader.get('download', { 'file-name': filename });
        expect([filename, body.equals(stored)]).toEqual([filename, true]);
        if (kind === 'blob') continue;
        const index = await target.index(snapshot, filename);
        const digests = [...new Set(Array.from({ length: index.count }, (_, i) => index.digestAt(i).toString('hex')))];
        const fetched = await Promise.all(digests.map((digest) => reader.get('chunk', { digest })));
        for (const [i, digest] of digests.entries()) {
          const file = readFileSync(join(storePath(source), chunkPath(Buffer.from(digest, 'hex'))));
          expect([digest, fetched[i]?.body.equals(file)]).toEqual([digest, true]);
        }
      }
      await reader.drop();
      const [original, stored] = [storePath(source), store].map((from) => parseManifest(decodeBlob(readFileSync(join(from, path, manifestFileName)), zstd, undefined)));
      if (original === undefined || stored === undefined) throw new Error('no manifest');
      expect(withoutStats(stored)).toEqual(withoutStats(original));
      expect(stored.unprotected.chunkUploadStats).toBeDefined();
    }
  });
}
