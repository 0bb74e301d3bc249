/** E: how long the worker threads alone need to store the chunks of an archive, which lie in memory already. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { ChunkDecoder } from '../../dist/codec/chunk-decoder.js';
import { ChunkStorer } from '../../dist/codec/chunk-storer.js';
import { ContentMemory } from '../../dist/codec/content-memory.js';
import { chunkPath } from '../../dist/format/chunk-path.js';
import { loadZstd } from '../../dist/os/zstd/zstd.js';
import { openDatastore } from '../../dist/store/open.js';
import { zeroDigest } from '../../dist/archive/zero-chunk.js';
import { newDatastore } from './backup.js';

export class EncodeLimit {
  #memory;
  #contents;
  #directory;

  /** @param {ContentMemory} memory @param {readonly Buffer[]} contents @param {string} directory where stores are made */
  constructor(memory, contents, directory) {
    this.#memory = memory;
    this.#contents = contents;
    this.#directory = directory;
  }

  /**
   * Of all distinct chunks but the zero ones of these indexes.
   * @param {string} store its directory
   * @param {import('../../dist/format/snapshot-name.js').SnapshotName} snapshot
   * @param {readonly string[]} fileNames of indexes
   * @param {string} directory where stores are made
   */
  static async of(store, snapshot, fileNames, directory) {
    const datastore = await openDatastore(store);
    /** @type {Map<string, { digest: Buffer, length: number }>} */
    const chunks = new Map();
    for (const fileName of fileNames) {
      const index = await datastore.index(snapshot, fileName);
      for (let n = 0; n < index.count; n++) {
        const digest = index.digestAt(n);
        const length = index.endOf(n) - index.startOf(n);
        if (!digest.equals(zeroDigest(length, undefined))) chunks.set(digest.toString('hex'), { digest, length });
      }
    }
    const bytes = [...chunks.values()].reduce((sum, { length }) => sum + length, 0);
    // All of it is one piece here: rooms are of no use.
    const memory = new ContentMemory(bytes + 32 * 1024 * 1024);
    const decoder = new ChunkDecoder(await loadZstd());
    let offset = 0;
    const contents = [...chunks.values()].map(({ digest, length }) => {
      const content = Buffer.from(memory.memory, offset, length);
      decoder.decode({ path: join(store, chunkPath(digest)), digest, key: undefined }, content);
      offset += length;
      return content;
    });
    await datastore.close();
    return new EncodeLimit(memory, contents, directory);
  }

  get bytes() {
    return this.#contents.reduce((sum, { length }) => sum + length, 0);
  }

  /** Seconds for all of them, into a new store. */
  async seconds() {
    const store = await newDatastore(join(this.#directory, 'limit'));
    const storer = new ChunkStorer({
      memory: this.#memory,
      key: undefined,
      chunksDirectory: join(store, '.chunks'),
      temporaryDirectory: store,
      owner: undefined,
      durable: false,
    });
    // Lets the threads start.
    await Promise.all([1, 2, 3, 4, 5, 6, 7, 8].map((length) => storer.putZeros(length)));
    const start = performance.now();
    await Promise.all(this.#contents.map((content) => storer.put(content)));
    const seconds = (performance.now() - start) / 1000;
    await storer.close();
    rmSync(store, { recursive: true });
    return seconds;
  }
}
