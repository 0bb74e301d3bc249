/** The fixture stores as files, and their blobs decoded by format/, crypto/ and a zstd that src/ does not choose. */
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import zstd from '@foxglove/wasm-zstd';
import { decryptInto } from '../../src/crypto/blob-cipher.js';
import type { EncryptionKey } from '../../src/crypto/encryption-key.js';
import { unwrapKeyFile } from '../../src/crypto/key-wrap.js';
import { decodeBlobHeader } from '../../src/format/blob.js';
import { parseKeyFile } from '../../src/format/key-file.js';
import { expectedJson, keyPath, storePath, type FixtureStore } from './fixtures.js';

export interface ExpectedFile {
  readonly filename: string;
  readonly 'crypt-mode': 'none' | 'encrypt' | 'sign-only';
  readonly csum: string;
  readonly size: number;
  readonly kind: 'fixed' | 'dynamic' | 'blob';
  readonly encoding: string;
  readonly decoded_size: number;
  readonly sha256: string;
  readonly chunks: number;
  readonly distinct_chunks: number;
  readonly uuid: string;
  readonly ctime: number;
  readonly chunk_size: number;
  readonly chunk_size_min: number;
  readonly chunk_size_max: number;
}

export interface ExpectedSnapshot {
  readonly path: string;
  readonly ns: string;
  readonly type: string;
  readonly id: string;
  readonly time: string;
  readonly epoch: number;
  readonly finished: boolean;
  readonly notes: string | null;
  readonly verify_state: string | null;
  readonly fingerprint: string | null;
  readonly signature: string | null;
  readonly signature_valid: boolean | null;
  readonly chunk_upload_stats: { compressed_size: number; count: number; duplicates: number; size: number };
  readonly files: readonly ExpectedFile[];
  readonly unlisted: readonly ExpectedFile[];
  readonly manifest: { size: number; encoding: string; decoded_size: number; sha256: string };
}

export interface ExpectedStore {
  readonly groups: readonly { ns: string; type: string; id: string; owner: string; notes?: string }[];
  readonly snapshots: readonly ExpectedSnapshot[];
  readonly chunks: { count: number; encodings: Record<string, number>; referenced: number; unreferenced: string[] };
  readonly gc_status: unknown;
}

export const fixtureStores: readonly FixtureStore[] = ['sample', 'vault'];

export function expectedStore(store: FixtureStore): ExpectedStore {
  return expectedJson(store, 'datastore.json') as ExpectedStore;
}

export function finishedSnapshots(store: FixtureStore): readonly ExpectedSnapshot[] {
  return expectedStore(store).snapshots.filter(({ finished }) => finished);
}

export function readStored(store: FixtureStore, ...path: string[]): Buffer {
  return readFileSync(join(storePath(store), ...path));
}

/** Paths of all files below a directory of a store whose name fits. */
export function storedPaths(store: FixtureStore, pattern: RegExp): string[] {
  const names = readdirSync(storePath(store), { recursive: true, encoding: 'utf8' });
  return names.filter((name) => pattern.test(name)).sort();
}

let keys: readonly EncryptionKey[] | undefined;

/** The key with this fingerprint, out of the key files of the vault. */
export function fixtureKey(fingerprint: string): EncryptionKey {
  keys ??= [
    unwrapKeyFile(parseKeyFile(readFileSync(keyPath('plain.json')))),
    unwrapKeyFile(parseKeyFile(readFileSync(keyPath('password.json'))), Buffer.from('correct horse battery staple')),
  ];
  const key = keys.find(({ fingerprintText }) => fingerprintText === fingerprint);
  if (key === undefined) throw new Error(`no key ${fingerprint} among the fixtures`);
  return key;
}

/** Content of an encoded blob or chunk. */
export async function decodeStored(encoded: Buffer, decodedBytes: number, key?: EncryptionKey): Promise<Buffer> {
  await zstd.isLoaded;
  const { iv, tag, compressed, payloadOffset } = decodeBlobHeader(encoded);
  let payload = encoded.subarray(payloadOffset);
  if (iv !== undefined && tag !== undefined) {
    if (key === undefined) throw new Error('the blob is encrypted');
    const plain = Buffer.alloc(payload.length);
    decryptInto(key.encKey, iv, tag, payload, plain);
    payload = plain;
  }
  return compressed ? Buffer.from(zstd.decompress(payload, decodedBytes)) : Buffer.from(payload);
}

/** The manifest's JSON. */
export function storedManifest(store: FixtureStore, snapshot: ExpectedSnapshot): Promise<Buffer> {
  return decodeStored(readStored(store, snapshot.path, 'index.json.blob'), snapshot.manifest.decoded_size);
}
