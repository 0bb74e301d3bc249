/** Trees over stores that a test may change, and manifests that are changed. */
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import { decodeBlob } from '../../src/codec/blob-decoder.js';
import type { EncryptionKey } from '../../src/crypto/encryption-key.js';
import { encodeManifest, parseManifest, type Manifest } from '../../src/format/manifest.js';
import { openDatastore } from '../../src/store/open.js';
import { openDatastoreTree, type DatastoreTree } from '../../src/tree/datastore-tree.js';
import { encodeBlob, zstd } from './chunks.js';
import { entryAt, listAll, namesOf, readAll } from './file-system-reader.js';

export interface OpenedTree {
  readonly fs: DatastoreTree;
  readonly log: string[];
}

/** Closed when the test file ends. */
export async function openTree(store: string, options: { keys?: readonly EncryptionKey[]; salvage?: boolean; cacheBytesMax?: number; namespace?: string[] } = {}): Promise<OpenedTree> {
  const { keys = [], salvage = false, cacheBytesMax = 64 << 20, namespace = [] } = options;
  const log: string[] = [];
  const fs = openDatastoreTree({ store: await openDatastore(store), keys, namespace, cacheBytesMax, salvage, log: (line) => log.push(line) });
  afterAll(() => fs.close());
  return { fs, log };
}

export async function inoAt(fs: DatastoreTree, path: string): Promise<number> {
  return (await entryAt(fs, namesOf(path))).attributes.ino;
}

export async function namesIn(fs: DatastoreTree, path: string): Promise<string[]> {
  return (await listAll(fs, await inoAt(fs, path))).map(({ name }) => name.toString('latin1'));
}

export async function contentAt(fs: DatastoreTree, path: string): Promise<Buffer> {
  return readAll(fs, await inoAt(fs, path));
}

/** Attributes `user.pbsfs.*`, without that prefix. */
export async function factsAt(fs: DatastoreTree, path: string): Promise<Record<string, string>> {
  const ino = await inoAt(fs, path);
  const facts: Record<string, string> = {};
  for (const name of await fs.listxattr(ino)) {
    const text = name.toString('latin1');
    if (text.startsWith('user.pbsfs.')) facts[text.slice('user.pbsfs.'.length)] = (await fs.getxattr(ino, name))?.toString() ?? 'none';
  }
  return facts;
}

/** Replaces the manifest in the directory of a snapshot, as a server does it: by renaming a new file over it. */
export function changeManifest(snapshot: string, change: (manifest: Manifest) => Manifest): void {
  const path = join(snapshot, 'index.json.blob');
  const manifest = parseManifest(decodeBlob(readFileSync(path), zstd, undefined));
  replaceFile(path, encodeBlob(encodeManifest(change(manifest))));
}

export function replaceFile(path: string, bytes: Buffer): void {
  writeFileSync(`${path}.tmp_new`, bytes);
  renameSync(`${path}.tmp_new`, path);
}
