/** Stores that tests write into, and small snapshots. */
import { chmodSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { decodeBlob } from '../../src/codec/blob-decoder.js';
import { chunkDigest } from '../../src/crypto/chunk-digest.js';
import { chunkPath } from '../../src/format/chunk-path.js';
import { encodeDynamicIndex } from '../../src/format/dynamic-index.js';
import type { SnapshotName } from '../../src/format/snapshot-name.js';
import type { BackupOptions, BackupSession, IndexTarget, StoredChunk } from '../../src/store/backup-session.js';
import type { Datastore } from '../../src/store/datastore.js';
import { openLocalDatastore } from '../../src/store/local/local-datastore.js';
import type { ServerPaths } from '../../src/store/local/server.js';
import { encodeBlob, zstd } from './chunks.js';
import { noise } from './random.js';
import { scratchDirectory } from './scratch.js';

/** What init makes, but for the 65,536 directories. */
export function emptyStore(directory = join(scratchDirectory(), 'store')): string {
  mkdirSync(join(directory, '.chunks'), { recursive: true });
  chmodSync(directory, 0o755);
  chmodSync(join(directory, '.chunks'), 0o750);
  writeFileSync(join(directory, '.lock'), '');
  return directory;
}

export interface FakeServer {
  readonly paths: ServerPaths;
  /** Lock files of the store. */
  readonly locks: string;
}

/** Files of a server that has a datastore `main` in `store`; `lines` are more about it. */
export function fakeServer(store: string, lines: readonly string[] = []): FakeServer {
  const directory = scratchDirectory();
  const configuration = join(directory, 'datastore.cfg');
  const others = ['datastore: other', '\tpath /nowhere', '', `datastore: main`];
  writeFileSync(configuration, [...others, `\tpath ${store}/../store/`, ...lines.map((line) => `\t${line}`), ''].join('\n'));
  const locks = join(directory, 'locks');
  return { paths: { configuration, locks }, locks: join(locks, 'main') };
}

export const noServer: ServerPaths = { configuration: '/nonexistent/datastore.cfg', locks: '/nonexistent/locks' };

export function hostSnapshot(time: number, id = 'web', namespace: readonly string[] = []): SnapshotName {
  return { namespace, type: 'host', id, time };
}

export async function openStore(directory: string, server = noServer): Promise<Datastore> {
  const store = await openLocalDatastore(directory, { server });
  onTestFinished(() => store.close());
  return store;
}

/** Ended when the test ends, however it does. `lines` gets the warnings. */
export async function begin(
  store: Datastore,
  snapshot: SnapshotName,
  options: Partial<BackupOptions> & { lines?: string[] } = {},
): Promise<BackupSession> {
  const { lines = [], ...rest } = options;
  const session = await store.beginBackup({ snapshot, key: undefined, owner: undefined, warn: (line) => lines.push(line), ...rest });
  onTestFinished(() => session.abort());
  return session;
}

const targets = new WeakMap<BackupSession, IndexTarget>();

/** For the archive of writeSnapshot(). */
export function targetOf(session: BackupSession): IndexTarget {
  const target = targets.get(session) ?? session.openIndex('root.pxar.didx');
  targets.set(session, target);
  return target;
}

export async function put(session: BackupSession, content: Buffer): Promise<StoredChunk> {
  const room = await session.memory.take(content.length);
  try {
    const view = session.memory.view(room, content.length);
    content.copy(view);
    return await targetOf(session).putChunk(view);
  } finally {
    session.memory.give(room);
  }
}

export function indexOf(chunks: readonly { digest: Buffer; length: number }[]): Buffer {
  let end = 0;
  const ends = chunks.map(({ length }) => (end += length));
  return encodeDynamicIndex({ uuid: Buffer.alloc(16, 1), ctime: 0, ends, digests: Buffer.concat(chunks.map(({ digest }) => digest)) });
}

export const manifest = encodeBlob(Buffer.from('{}'));

/** A whole snapshot of some chunks of noise, and a blob. */
export async function writeSnapshot(session: BackupSession, label = 'a', chunks = 3): Promise<void> {
  const contents = Array.from({ length: chunks }, (_, i) => noise(`${label}${i}`, 40_000));
  const stored = await Promise.all(contents.map((content) => put(session, content)));
  await targetOf(session).writeIndex(indexOf(stored.map(({ digest }, i) => ({ digest, length: contents[i]?.length ?? 0 }))));
  await session.writeBlob('fw.conf.blob', encodeBlob(Buffer.from(label)));
  await session.finish(manifest);
}

/** Names in the whole store but for chunks, sorted. */
export function storeNames(directory: string): string[] {
  return readdirSync(directory, { recursive: true, encoding: 'utf8' })
    .filter((name) => !/^\.chunks\/[0-9a-f]{4}(\/[0-9a-f]{64})?$/.test(name))
    .sort();
}

/** Throws unless every snapshot that is listed has a manifest, an index, and each of its chunks. Gives how many there are. */
export async function checkSnapshots(store: Datastore): Promise<number> {
  let count = 0;
  for (const group of await store.groups([])) {
    for (const snapshot of await store.snapshots(group)) {
      const { files, finished } = await store.snapshotFacts(snapshot);
      const names = files.map(({ name }) => name);
      if (!finished || names.join() !== 'fw.conf.blob,index.json.blob,root.pxar.didx') throw new Error(`half a snapshot is listed: ${names.join()}`);
      const index = await store.index(snapshot, 'root.pxar.didx');
      if (!index.computeCsum().equals(index.csum)) throw new Error('the index is damaged');
      for (let i = 0; i < index.count; i++) checkChunk(store, index.digestAt(i));
      count++;
    }
  }
  return count;
}

function checkChunk(store: Datastore, digest: Buffer): void {
  const content = decodeBlob(readFileSync(join(store.location, chunkPath(digest))), zstd, undefined);
  if (!chunkDigest(content).equals(digest)) throw new Error(`chunk ${digest.toString('hex')} is damaged`);
}
