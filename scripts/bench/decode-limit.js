/** D: how long the worker threads alone need for the chunks of an archive. */
import { ChunkCache } from '../../dist/codec/chunk-cache.js';
import { openDatastore } from '../../dist/store/open.js';
import { zeroDigest } from '../../dist/archive/zero-chunk.js';

/**
 * @typedef {import('../../dist/codec/chunk-cache.js').ChunkRef} ChunkRef
 * @typedef {import('../../dist/crypto/encryption-key.js').EncryptionKey} EncryptionKey
 */

const cacheBytes = 256 * 1024 * 1024;
const loadsPerWorker = 4;

export class DecodeLimit {
  #cache;
  #refs;

  /** @param {ChunkCache} cache @param {readonly ChunkRef[]} refs */
  constructor(cache, refs) {
    this.#cache = cache;
    this.#refs = refs;
  }

  /**
   * @param {string} directory of the store
   * @param {import('../../dist/format/snapshot-name.js').SnapshotName} snapshot
   * @param {readonly string[]} fileNames of indexes
   * @param {EncryptionKey} [key]
   */
  static async of(directory, snapshot, fileNames, key) {
    const store = await openDatastore(directory);
    const keyNumber = key === undefined ? -1 : 0;
    /** @type {Map<string, ChunkRef>} */
    const refs = new Map();
    for (const fileName of fileNames) {
      const index = await store.index(snapshot, fileName);
      for (let n = 0; n < index.count; n++) {
        const digest = index.digestAt(n);
        const length = index.endOf(n) - index.startOf(n);
        if (index.kind === 'dynamic' || !digest.equals(zeroDigest(length, key))) refs.set(digest.toString('hex'), { digest, length, keyNumber });
      }
    }
    await store.close();
    const cache = new ChunkCache({
      bytesMax: cacheBytes,
      keys: key === undefined ? [] : [key.encKey],
      source: store.chunks,
    });
    return new DecodeLimit(cache, [...refs.values()]);
  }

  get chunks() {
    return this.#refs.length;
  }

  get bytes() {
    return this.#refs.reduce((sum, { length }) => sum + length, 0);
  }

  /** Seconds for all distinct chunks but the zero ones, in order, each decoded again. */
  async seconds() {
    const { workers } = this.#cache.statistics();
    // Lets the threads start.
    await this.#load(this.#refs.slice(-2 * workers), workers * loadsPerWorker);
    const start = performance.now();
    await this.#load(this.#refs, workers * loadsPerWorker);
    return (performance.now() - start) / 1000;
  }

  close() {
    return this.#cache.close();
  }

  /** @param {readonly ChunkRef[]} refs @param {number} atOnce */
  async #load(refs, atOnce) {
    let next = 0;
    const reader = async () => {
      for (let ref = refs[next++]; ref !== undefined; ref = refs[next++]) await this.#cache.load(ref);
    };
    await Promise.all(Array.from({ length: atOnce }, reader));
  }
}

