/** Chunks as a server would write them, and the chunk files of a store. */
import { randomBytes } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { crc32 } from 'node:zlib';
import { encrypt } from '../../src/crypto/blob-cipher.js';
import { chunkDigest } from '../../src/crypto/chunk-digest.js';
import type { EncryptionKey } from '../../src/crypto/encryption-key.js';
import { unwrapKeyFile } from '../../src/crypto/key-wrap.js';
import { encodeBlobHeader } from '../../src/format/blob.js';
import { chunkPath, parseChunkName } from '../../src/format/chunk-path.js';
import { parseKeyFile } from '../../src/format/key-file.js';
import { loadZstd } from '../../src/os/zstd/zstd.js';
import { keyPath } from './fixtures.js';

export const zstd = await loadZstd();

export interface EncodeOptions {
  readonly key?: EncryptionKey | undefined;
  /** True by default: where it makes the chunk shorter. */
  readonly compress?: boolean;
}

/** An encoded blob or chunk. */
export function encodeBlob(data: Buffer, { key, compress = true }: EncodeOptions = {}): Buffer {
  const frame = compress ? zstd.compress(data) : undefined;
  return wrapPayload(frame ?? data, { compressed: frame !== undefined, key });
}

/** A blob around a payload that is taken as it is. */
export function wrapPayload(payload: Buffer, { compressed, key }: { compressed: boolean; key?: EncryptionKey | undefined }): Buffer {
  if (key === undefined) return Buffer.concat([encodeBlobHeader(compressed ? 'zstd' : 'plain', crc32(payload)), payload]);
  const iv = randomBytes(16);
  const { ciphertext, tag } = encrypt(key.encKey, iv, payload);
  return Buffer.concat([encodeBlobHeader(compressed ? 'encrypted-zstd' : 'encrypted', crc32(ciphertext), iv, tag), ciphertext]);
}

/** Writes a chunk into the store in `directory` and gives its digest. */
export function writeChunk(directory: string, data: Buffer, options: EncodeOptions = {}): Buffer {
  const digest = chunkDigest(data, options.key?.idKey);
  const path = join(directory, chunkPath(digest));
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, encodeBlob(data, options));
  return digest;
}

/** Digests of all chunk files of a store. */
export function chunksOf(store: string): Buffer[] {
  const names = readdirSync(join(store, '.chunks'), { recursive: true, encoding: 'utf8' });
  return names.flatMap((name) => parseChunkName(name.slice(5)) ?? []);
}

/** Both keys of the encrypted fixture store. */
export function fixtureKeys(): EncryptionKey[] {
  return [
    unwrapKeyFile(parseKeyFile(readFileSync(keyPath('plain.json')))),
    unwrapKeyFile(parseKeyFile(readFileSync(keyPath('password.json'))), Buffer.from('correct horse battery staple')),
  ];
}
