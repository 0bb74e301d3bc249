/** Makes datastores for the benchmark: chunks, indexes, blobs and manifests as a server would have them, at the speed of one core. */
import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { encrypt } from '../../dist/crypto/blob-cipher.js';
import { chunkDigest } from '../../dist/crypto/chunk-digest.js';
import { signManifest } from '../../dist/crypto/manifest-signature.js';
import { encodeBlobHeader } from '../../dist/format/blob.js';
import { chunkPath } from '../../dist/format/chunk-path.js';
import { encodeDynamicIndex } from '../../dist/format/dynamic-index.js';
import { encodeFixedIndex } from '../../dist/format/fixed-index.js';
import { encodeManifest } from '../../dist/format/manifest.js';
import { snapshotPath } from '../../dist/format/snapshot-name.js';
import { loadZstd } from '../../dist/os/zstd/zstd.js';
import { writeArchive, writeCatalog } from './archive-maker.js';
import { fillContent, mixedContent, randomNumbers } from './content.js';
import { StreamMaker } from './stream-maker.js';

/**
 * @typedef {import('./tree-plan.js').TreePlan} TreePlan
 * @typedef {import('../../dist/crypto/encryption-key.js').EncryptionKey} EncryptionKey
 * @typedef {import('../../dist/format/manifest.js').ManifestFile} ManifestFile
 */

export const imageChunkBytes = 4 * 1024 * 1024;
const archiveAverageBytes = 4 * 1024 * 1024;
const catalogAverageBytes = 512 * 1024;
const uuid = Buffer.alloc(16, 7);
const firstTime = 1_600_000_000;

export class StoreMaker {
  #zstd;
  /** @type {Set<string>} */
  #known = new Set();

  /**
   * @param {string} directory an empty one
   * @param {EncryptionKey | undefined} key for everything in the store
   * @param {import('../../dist/os/zstd/zstd.js').Zstd} zstd
   */
  constructor(directory, key, zstd) {
    this.directory = directory;
    this.key = key;
    this.#zstd = zstd;
    mkdirSync(join(directory, '.chunks'));
    writeFileSync(join(directory, '.lock'), '');
  }

  /** @param {string} directory @param {EncryptionKey} [key] */
  static async create(directory, key) {
    return new StoreMaker(directory, key, await loadZstd());
  }

  /**
   * Stores a chunk unless it is there already. Gives its digest.
   * @param {Buffer} content
   */
  putChunk(content) {
    const digest = chunkDigest(content, this.key?.idKey);
    const path = join(this.directory, chunkPath(digest));
    if (this.#isNew(path)) {
      const folder = path.slice(0, -65);
      if (this.#isNew(folder)) mkdirSync(folder);
      writeFileSync(path, this.encodeBlob(content));
    }
    return digest;
  }

  /**
   * Compressed where that is shorter, encrypted where the store is.
   * @param {Buffer} content
   */
  encodeBlob(content) {
    const frame = this.#zstd.compress(content);
    const payload = frame ?? content;
    if (this.key === undefined) return Buffer.concat([encodeBlobHeader(frame ? 'zstd' : 'plain', crc32(payload)), payload]);
    const iv = randomBytes(16);
    const { ciphertext, tag } = encrypt(this.key.encKey, iv, payload);
    return Buffer.concat([encodeBlobHeader(frame ? 'encrypted-zstd' : 'encrypted', crc32(ciphertext), iv, tag), ciphertext]);
  }

  /**
   * A snapshot to be filled and finished.
   * @param {'vm' | 'ct' | 'host'} type
   * @param {string} id
   * @param {number} [number] of the snapshot in its group: one a day
   */
  snapshot(type, id, number = 0) {
    return new SnapshotMaker(this, { namespace: [], type, id, time: firstTime + number * 86_400 });
  }

  /** @param {string} name */
  #isNew(name) {
    const known = this.#known.has(name);
    this.#known.add(name);
    return !known;
  }
}

class SnapshotMaker {
  /** @type {ManifestFile[]} */
  #files = [];
  #store;
  name;

  /** @param {StoreMaker} store @param {import('../../dist/format/snapshot-name.js').SnapshotName} name */
  constructor(store, name) {
    this.#store = store;
    this.name = name;
    this.path = snapshotPath(name);
    mkdirSync(join(store.directory, this.path), { recursive: true });
    writeFileSync(join(store.directory, this.path, '../owner'), 'root@pam\n');
  }

  /**
   * An image of given chunks.
   * @param {string} name with .img
   * @param {number} size
   * @param {Buffer} digests
   */
  imageOf(name, size, digests) {
    const bytes = encodeFixedIndex({ uuid, ctime: this.name.time, size, chunkSize: imageChunkBytes, digests });
    this.#add(`${name}.fidx`, size, bytes);
    return this;
  }

  /**
   * An image of `size` bytes, of which the share `zeros` are zero chunks; a quarter of the others does not compress.
   * @param {string} name with .img
   * @param {number} size
   * @param {{ zeros?: number, seed?: number }} [options]
   */
  image(name, size, { zeros = 0.4, seed = 1 } = {}) {
    const next = randomNumbers(seed);
    const chunk = Buffer.alloc(imageChunkBytes);
    const zero = this.#store.putChunk(chunk);
    const digests = Array.from({ length: Math.ceil(size / imageChunkBytes) }, (_, i) => {
      if (next() < zeros) return zero;
      fillContent(chunk, mixedContent(seed * 1_000_003 + i));
      return this.#store.putChunk(chunk.subarray(0, Math.min(imageChunkBytes, size - i * imageChunkBytes)));
    });
    return this.imageOf(name, size, Buffer.concat(digests));
  }

  /**
   * A v1 archive, and the catalog with it, or a v2 pair.
   * @param {string} name without .pxar
   * @param {TreePlan} plan
   * @param {{ version?: 1 | 2, averageBytes?: number }} [options]
   */
  archive(name, plan, { version = 1, averageBytes = archiveAverageBytes } = {}) {
    const meta = this.#stream(averageBytes);
    const payload = version === 2 ? this.#stream(averageBytes) : undefined;
    writeArchive(plan, meta, payload);
    if (payload !== undefined) {
      this.#addStream(`${name}.mpxar.didx`, meta);
      this.#addStream(`${name}.ppxar.didx`, payload);
      return this;
    }
    this.#addStream(`${name}.pxar.didx`, meta);
    const catalog = this.#stream(catalogAverageBytes);
    writeCatalog(new Map([[`${name}.pxar.didx`, plan]]), catalog);
    this.#addStream('catalog.pcat1.didx', catalog);
    return this;
  }

  /**
   * @param {string} name without .blob
   * @param {Buffer} content
   */
  blob(name, content) {
    this.#write(`${name}.blob`, this.#store.encodeBlob(content));
    return this;
  }

  /** Writes the manifest; nothing can be added after that. Gives the path in the store. */
  finish() {
    const { key } = this.#store;
    const { type, id, time } = this.name;
    const unsigned = {
      backupType: type,
      backupId: id,
      backupTime: time,
      files: this.#files,
      signature: undefined,
      unprotected: key === undefined ? {} : { keyFingerprint: key.fingerprint },
    };
    const manifest = encodeManifest(key === undefined ? unsigned : { ...unsigned, signature: signManifest(unsigned, key) });
    const file = Buffer.concat([encodeBlobHeader('plain', crc32(manifest)), manifest]);
    writeFileSync(join(this.#store.directory, this.path, 'index.json.blob'), file);
    return this.path;
  }

  /** @param {number} averageBytes */
  #stream(averageBytes) {
    return new StreamMaker((chunk) => this.#store.putChunk(chunk), averageBytes);
  }

  /** @param {string} filename @param {StreamMaker} stream */
  #addStream(filename, stream) {
    const { size, ends, digests } = stream.finish();
    this.#add(filename, size, encodeDynamicIndex({ uuid, ctime: this.name.time, ends, digests }));
  }

  /** An index; its checksum is in its header. @param {string} filename @param {number} size @param {Buffer} bytes */
  #add(filename, size, bytes) {
    this.#files.push(this.#listed(filename, size, bytes.subarray(32, 64)));
    writeFileSync(join(this.#store.directory, this.path, filename), bytes);
  }

  /** A blob. @param {string} filename @param {Buffer} bytes */
  #write(filename, bytes) {
    this.#files.push(this.#listed(filename, bytes.length, createHash('sha256').update(bytes).digest()));
    writeFileSync(join(this.#store.directory, this.path, filename), bytes);
  }

  /** @param {string} filename @param {number} size @param {Buffer} csum @returns {ManifestFile} */
  #listed(filename, size, csum) {
    return { filename, size, csum: csum.toString('hex'), cryptMode: this.#store.key === undefined ? 'none' : 'encrypt' };
  }
}

/**
 * Groups with many small snapshots each; their ids count from 100.
 * @param {StoreMaker} store
 * @param {'vm' | 'host'} type
 * @param {number} groups
 * @param {number} snapshotsPerGroup
 */
export function manySnapshots(store, type, groups, snapshotsPerGroup) {
  const zero = store.putChunk(Buffer.alloc(imageChunkBytes));
  const config = Buffer.from('cores: 2\nmemory: 2048\n');
  for (let group = 0; group < groups; group++) {
    for (let n = 0; n < snapshotsPerGroup; n++) {
      const snapshot = store.snapshot(type, String(100 + group), n);
      snapshot.blob('qemu-server.conf', config).imageOf('drive-scsi0.img', imageChunkBytes, zero).finish();
    }
  }
}

/**
 * An image of `chunks` chunks of which all but one in a thousand are the zero chunk and the others a few that are shared.
 * @param {StoreMaker} store
 * @param {number} chunks
 */
export function hugeImage(store, chunks) {
  const chunk = Buffer.alloc(imageChunkBytes);
  const zero = store.putChunk(chunk);
  const shared = Array.from({ length: 8 }, (_, seed) => {
    fillContent(chunk, mixedContent(seed));
    return store.putChunk(chunk);
  });
  const digests = Buffer.alloc(chunks * 32);
  for (let i = 0; i < chunks; i++) (i % 1000 === 0 ? (shared[(i / 1000) % shared.length] ?? zero) : zero).copy(digests, i * 32);
  const snapshot = store.snapshot('vm', '999').imageOf('drive-scsi0.img', chunks * imageChunkBytes, digests);
  snapshot.finish();
  return snapshot;
}
