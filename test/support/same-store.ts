/** Whether two datastores are the same in all that can be asked of them. */
import { readFileSync } from 'node:fs';
import { expect } from 'vitest';
import type { ChunkSource, FetchedChunks } from '../../src/codec/chunk-source.js';
import { codeOf } from '../../src/errors.js';
import { archiveKind } from '../../src/format/archive-name.js';
import type { ChunkIndex } from '../../src/format/chunk-index.js';
import type { Namespace } from '../../src/format/namespace.js';
import { groupPath, snapshotPath, type SnapshotName } from '../../src/format/snapshot-name.js';
import type { Datastore } from '../../src/store/datastore.js';
import { sha256 } from './file-system-reader.js';

export async function allNamespaces(store: Datastore, parent: Namespace = []): Promise<Namespace[]> {
  const children = await Promise.all((await store.namespaces(parent)).map((name) => allNamespaces(store, [...parent, name])));
  return [parent, ...children.flat()];
}

export async function allSnapshots(store: Datastore): Promise<SnapshotName[]> {
  const groups = await Promise.all((await allNamespaces(store)).map((namespace) => store.groups(namespace)));
  return (await Promise.all(groups.flat().map((group) => store.snapshots(group)))).flat();
}

/** Of the file of a chunk, the digest. */
export async function fetched(chunks: FetchedChunks, index: ChunkIndex, n: number): Promise<string> {
  const length = index.endOf(n) - index.startOf(n);
  return sha256(Buffer.from(await chunks.fetch({ digest: index.digestAt(n), length, keyNumber: -1, origin: index })));
}

async function codeOrDigest({ chunks }: { readonly chunks: ChunkSource }, index: ChunkIndex, n: number): Promise<string> {
  try {
    return chunks.kind === 'fetched' ? await fetched(chunks, index, n) : sha256(readFileSync(chunks.pathOf(index.digestAt(n))));
  } catch (error) {
    return codeOf(error)?.replace('ENOENT', 'CHUNK_MISSING') ?? 'none';
  }
}

/** Gives the namespaces. Sizes are compared where `remote` knows them, which is so of blobs. */
export async function expectSameListings(local: Datastore, remote: Datastore): Promise<readonly Namespace[]> {
  const namespaces = await allNamespaces(local);
  expect(await allNamespaces(remote)).toEqual(namespaces);
  for (const namespace of namespaces) {
    const groups = await local.groups(namespace);
    expect(await remote.groups(namespace)).toEqual(groups);
    for (const group of groups) {
      expect(await remote.groupFacts(group), groupPath(group)).toEqual(await local.groupFacts(group));
      const snapshots = await local.snapshots(group);
      expect(await remote.snapshots(group)).toEqual(snapshots);
      for (const snapshot of snapshots) await expectSameFacts(local, remote, snapshot);
    }
  }
  return namespaces;
}

async function expectSameFacts(local: Datastore, remote: Datastore, snapshot: SnapshotName): Promise<void> {
  const [mine, theirs] = [await local.snapshotFacts(snapshot), await remote.snapshotFacts(snapshot)];
  const bare = (facts: typeof mine): object => ({ ...facts, version: '', files: facts.files.map(({ name }) => name) });
  expect(bare(theirs), snapshotPath(snapshot)).toEqual(bare(mine));
  for (const { name, size } of theirs.files) {
    if (size !== undefined) expect([name, size]).toEqual([name, mine.files.find((each) => each.name === name)?.size]);
    if (archiveKind(name) !== 'blob') expect(size).toBeUndefined();
  }
}

export async function expectSameContents(local: Datastore, remote: Datastore): Promise<void> {
  let chunks = 0;
  for (const snapshot of await allSnapshots(local)) {
    for (const { name: file } of (await local.snapshotFacts(snapshot)).files) {
      const place = `${snapshotPath(snapshot)}/${file}`;
      if (archiveKind(file) === 'blob') {
        expect(sha256(await remote.blob(snapshot, file)), place).toBe(sha256(await local.blob(snapshot, file)));
        continue;
      }
      const [mine, theirs] = [await local.index(snapshot, file), await remote.index(snapshot, file)];
      expect([theirs.kind, theirs.size, theirs.count, theirs.computeCsum()], place).toEqual([mine.kind, mine.size, mine.count, mine.computeCsum()]);
      const numbers = [...new Set([0, mine.count >> 1, mine.count - 1])];
      for (const n of numbers) expect(await codeOrDigest(remote, theirs, n), place).toBe(await codeOrDigest(local, mine, n));
      chunks += numbers.length;
    }
  }
  expect(chunks).toBeGreaterThan(5);
}
