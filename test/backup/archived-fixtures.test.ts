/** The archives of the fixtures, made by the official client: their trees are made again and archived with the same options, to the same bytes. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { ChunkStream } from '../../src/archive/chunk-stream.js';
import { PxarTree } from '../../src/archive/pxar-tree.js';
import type { ReferenceTree } from '../../src/backup/archive-options.js';
import { StreamSink } from '../../src/backup/stream-sink.js';
import { StreamWriter } from '../../src/backup/stream-writer.js';
import { archiveTree } from '../../src/backup/tree-archiver.js';
import type { EncryptionKey } from '../../src/crypto/encryption-key.js';
import { CatalogWriter } from '../../src/format/catalog-writer.js';
import { parseDynamicIndex } from '../../src/format/dynamic-index.js';
import { newStreamSession, type StreamSession } from '../support/stream-session.js';
import { describeArchive } from '../support/archived-trees.js';
import { canMake, mountedFileSystem } from '../support/file-systems.js';
import { storePath, type FixtureStore } from '../support/fixtures.js';
import { rebuildTree } from '../support/rebuilt-trees.js';
import { copyOfStore } from '../support/scratch.js';
import { finishedSnapshots, fixtureKey, readStored, type ExpectedSnapshot } from '../support/stored-files.js';
import { bytesOf, newShelf, storedStream, streamOver, type Shelf } from '../support/streams.js';

interface Options {
  readonly excludes?: readonly string[];
  /** Of the file system that the tree was on. */
  readonly on?: 'ext4' | 'btrfs' | 'xfs';
}

const averageBytes = 4 << 20;

function keyOf(snapshot: ExpectedSnapshot, filename: string): EncryptionKey | undefined {
  const file = snapshot.files.find((each) => each.filename === filename);
  return file?.['crypt-mode'] === 'encrypt' ? fixtureKey(snapshot.fingerprint ?? '') : undefined;
}

function openShelf(store: FixtureStore, key: EncryptionKey | undefined): Shelf {
  return newShelf({ directory: storePath(store), keys: key ? [key] : [] });
}

async function storedBytes(store: FixtureStore, snapshot: ExpectedSnapshot, filename: string): Promise<Buffer> {
  const key = keyOf(snapshot, filename);
  const stream = storedStream(openShelf(store, key), `${snapshot.path}/${filename}`, { key: key && { key, number: 0 } });
  return bytesOf(stream);
}

/** A directory on a new file system. */
function directoryOn(on: NonNullable<Options['on']>): string {
  const options = on === 'ext4' ? ['-b', '4096', '-I', '256', '-O', 'ea_inode'] : [];
  const directory = join(mountedFileSystem(on, { megabytes: on === 'ext4' ? 100 : 320, options }), 'tree');
  mkdirSync(directory);
  return directory;
}

function sessionOn(store: FixtureStore, key: EncryptionKey | undefined): StreamSession {
  return newStreamSession({ key, directory: copyOfStore(store) });
}

function treeOptions({ excludes = [] }: Options, warnings: string[]) {
  return {
    excludes: excludes.map((text) => Buffer.from(text)),
    skipLostAndFound: false, allFileSystems: false, includeDevices: [], skipUnreadable: false, skipE2bigXattr: false, entriesMax: 1 << 20,
    warn: (line: string) => warnings.push(line),
    progress: () => undefined,
    signal: new AbortController().signal,
  };
}

function csumOf(snapshot: ExpectedSnapshot, filename: string): string {
  return snapshot.files.find((file) => file.filename === filename)?.csum ?? 'none';
}

function snapshotAt(store: FixtureStore, path: string): ExpectedSnapshot {
  const found = finishedSnapshots(store).find((snapshot) => snapshot.path === path);
  if (found === undefined) throw new Error(`no snapshot ${path}`);
  return found;
}

const legacy: readonly (readonly [FixtureStore, string, readonly (readonly [string, Options])[]])[] = [
  ['sample', 'ct/113/2021-05-24T16:41:32Z', [['root', {}]]],
  ['sample', 'ct/113/2021-05-28T03:10:07Z', [['root', {}]]],
  ['sample', 'host/odd/2021-05-25T08:00:00Z', [['odd', {}], ['odd-btrfs', { on: 'btrfs' }], ['odd-xfs', { on: 'xfs' }]]],
  ['sample', 'ns/prod/host/web/2021-05-26T01:40:00Z', [['etc', { excludes: ['*.bak'] }]]],
  ['vault', 'host/secret/2021-06-01T10:00:00Z', [['root', {}]]],
  ['vault', 'host/secret/2021-06-04T10:00:00Z', [['root', {}]]],
  ['vault', 'host/secret/2021-06-05T10:00:00Z', [['root', {}]]],
  ['vault', 'host/password/2021-06-01T12:00:00Z', [['root', {}]]],
];

describe('legacy archives', () => {
  test.each(legacy)('%s %s', async (store, path, archives) => {
    const snapshot = snapshotAt(store, path);
    const session = sessionOn(store, keyOf(snapshot, 'catalog.pcat1.didx'));
    const catalogStream = new StreamWriter({ target: session.openIndex('catalog.pcat1.didx'), filename: 'catalog.pcat1.didx', averageBytes: 512 << 10, cuts: 'hash' });
    const sink = new StreamSink(catalogStream);
    const writer = new CatalogWriter((bytes) => sink.write(bytes));
    for (const [name, options] of archives) {
      const { on = 'ext4' } = options;
      if (!canMake(on)) return;
      const filename = `${name}.pxar.didx`;
      const root = directoryOn(on);
      const old = await storedBytes(store, snapshot, filename);
      rebuildTree(root, old, undefined, ['.pxarexclude-cli']);
      const warnings: string[] = [];
      const meta = new StreamWriter({ target: session.openIndex(filename), filename, averageBytes, cuts: 'hash' });
      const catalog = { writer, flush: () => sink.flush() };
      await archiveTree({ ...treeOptions(options, warnings), source: root, format: 'legacy', meta, catalog, archiveName: filename });
      const written = await meta.finish();
      expect(warnings).toEqual([]);
      expect({ filename, csum: written.csum, size: written.size }).toEqual({ filename, csum: csumOf(snapshot, filename), size: old.length });
    }
    writer.finish();
    await sink.flush();
    expect((await catalogStream.finish()).csum).toBe(csumOf(snapshot, 'catalog.pcat1.didx'));
  });
});

interface SplitArchive extends Options {
  readonly previous?: string;
  /**
   * The official client reads files again whose last chunk ends where they do, as it wants the next chunk too; its tables then count their content.
   * So what is read and what is reused may differ, what is archived may not.
   */
  readonly same: 'all' | 'payload' | 'metadata' | 'content';
}

const split: readonly (readonly [FixtureStore, string, string, SplitArchive])[] = [
  ['sample', 'host/split/2021-05-25T20:00:00Z', 'data', { same: 'all' }],
  ['sample', 'host/split/2021-05-26T20:00:00Z', 'data', { excludes: ['*.tmp', '/src/build?.o'], previous: 'host/split/2021-05-25T20:00:00Z', same: 'payload' }],
  ['sample', 'host/split/2021-05-27T20:00:00Z', 'data', { previous: 'host/split/2021-05-26T20:00:00Z', same: 'content' }],
  ['sample', 'ns/prod/ns/eu/host/db/2021-05-26T02:40:00Z', 'etc', { same: 'all' }],
  // Of this payload the official client lost a suggestion to cut, as its suggestions and its data go different ways.
  ['vault', 'host/secret/2021-06-02T10:00:00Z', 'root', { same: 'metadata' }],
  ['vault', 'host/secret/2021-06-03T10:00:00Z', 'root', { previous: 'host/secret/2021-06-02T10:00:00Z', same: 'content' }],
];

describe('split archives', () => {
  test.each(split)('%s %s', async (store, path, name, options) => {
    const { previous, same } = options;
    const snapshot = snapshotAt(store, path);
    const [metaName, payloadName] = [`${name}.mpxar.didx`, `${name}.ppxar.didx`];
    const key = keyOf(snapshot, metaName);
    const session = sessionOn(store, key);
    const root = directoryOn('ext4');
    const old = { meta: await storedBytes(store, snapshot, metaName), payload: await storedBytes(store, snapshot, payloadName) };
    rebuildTree(root, old.meta, old.payload);
    const meta = new StreamWriter({ target: session.openIndex(metaName), filename: metaName, averageBytes, cuts: 'hash' });
    const payload = new StreamWriter({ target: session.openIndex(payloadName), filename: payloadName, averageBytes, cuts: 'payload' });
    const reference = previous === undefined ? undefined : await referenceOf(store, snapshotAt(store, previous), name, session);
    const warnings: string[] = [];
    const streams = { meta, payload, reference, archiveName: metaName };
    const summary = await archiveTree({ ...treeOptions(options, warnings), ...streams, source: root, format: 'split' });
    const written = { payload: await payload.finish(), meta: await meta.finish() };
    expect(warnings).toEqual([]);
    expect(summary.bytesReused > 0).toBe(previous !== undefined);
    if (same === 'all' || same === 'payload') expect(written.payload.csum).toBe(csumOf(snapshot, payloadName));
    if (same === 'all' || same === 'metadata') expect(written.meta.csum).toBe(csumOf(snapshot, metaName));
    const shelf = newShelf({ directory: session.directory, keys: key ? [key] : [] });
    const contentOf = (filename: string): Promise<Buffer> => bytesOf(streamOver(shelf, session.index(filename), { key: key && { key, number: 0 } }));
    const made = { meta: await contentOf(metaName), payload: await contentOf(payloadName) };
    expect(describeArchive(made)).toEqual(describeArchive(old));
  });
});

async function referenceOf(store: FixtureStore, snapshot: ExpectedSnapshot, name: string, session: StreamSession): Promise<ReferenceTree> {
  const [metaName, payloadName] = [`${name}.mpxar.didx`, `${name}.ppxar.didx`];
  const key = keyOf(snapshot, metaName);
  const shelf = openShelf(store, key);
  const stored = (filename: string): ChunkStream => storedStream(shelf, `${snapshot.path}/${filename}`, { key: key && { key, number: 0 } });
  const tree = await PxarTree.open({ meta: stored(metaName), payload: stored(payloadName) });
  return { tree, payloadIndex: parseDynamicIndex(readStored(store, join(snapshot.path, payloadName))), reuse: (chunks) => session.reuseChunks(chunks) };
}
