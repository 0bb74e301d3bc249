/**
 * What programs that write staged images begin with.
 *
 * @typedef {import('../../src/store/local/local-datastore.js')} LocalDatastore
 * @typedef {import('../../src/codec/chunk-cache.js')} Cache
 * @typedef {import('../../src/archive/damage.js')} Damage
 * @typedef {import('../../src/archive/chunk-stream.js')} Stream
 * @typedef {import('../../src/tree/staging/image-rooms.js')} Rooms
 * @typedef {import('../../src/tree/staging/image-file.js')} ImageFile
 * @typedef {import('../../src/format/fixed-index.js')} Index
 * @typedef {import('../../src/crypto/encryption-key.js')} Keys
 */
import { Buffer } from 'node:buffer';
import { readFileSync } from 'node:fs';
import { URL } from 'node:url';

/** @param {string} path */
const load = (path) => import(new URL(`../../dist/${path}.js`, import.meta.url).href);
const { openLocalDatastore } = /** @type {LocalDatastore} */ (await load('store/local/local-datastore'));
const { ChunkCache } = /** @type {Cache} */ (await load('codec/chunk-cache'));
const { DamageLog } = /** @type {Damage} */ (await load('archive/damage'));
const { ChunkStream } = /** @type {Stream} */ (await load('archive/chunk-stream'));
const { ImageRooms } = /** @type {Rooms} */ (await load('tree/staging/image-rooms'));
const { StagedImage } = /** @type {ImageFile} */ (await load('tree/staging/image-file'));
const { parseFixedIndex } = /** @type {Index} */ (await load('format/fixed-index'));
const { EncryptionKey } = /** @type {Keys} */ (await load('crypto/encryption-key'));

/**
 * @typedef {object} StagingProgramOptions
 * @property {string} store
 * @property {string} directory Of the image's state.
 * @property {string} [key] 64 hex digits.
 * @property {string} [index] Path of that of an image to clone.
 * @property {number} [roomsMax]
 * @property {number} [spooledChunksMax]
 */

/** @param {StagingProgramOptions} options */
export async function openStaging({ store, directory, key: digits, index: indexPath, roomsMax, spooledChunksMax = 256 }) {
  const key = digits === undefined ? undefined : new EncryptionKey(Buffer.from(digits, 'hex'));
  const datastore = await openLocalDatastore(store, { server: { configuration: '/nonexistent', locks: '/nonexistent' } });
  const writer = await datastore.openChunkWriter({ key, warn: () => undefined });
  const keys = key === undefined ? [] : [key.encKey];
  const cache = new ChunkCache({ bytesMax: 64 << 20, keys, source: datastore.chunks, workers: 2 });
  const damage = new DamageLog(() => undefined);
  const keyNumber = key === undefined ? -1 : 0;
  const rooms = new ImageRooms(writer.memory, roomsMax);
  const image = await StagedImage.open({ path: 'disk.img', directory, writer, rooms, cache, keyNumber, damage, spooledChunksMax });
  const close = async () => {
    await image.close();
    await Promise.all([writer.close(), cache.close(), datastore.close()]);
  };
  if (indexPath === undefined) return { image, source: undefined, close };
  const index = parseFixedIndex(readFileSync(indexPath));
  const stream = new ChunkStream({ path: 'source.img', index, cache, key: key && { key, number: 0 }, damage, salvage: false });
  /** @type {import('../../src/tree/staging/image-file.js').ClonableImage} */
  const source = { index, keyFits: true, readAt: (offset, length) => stream.pieces(offset, length) };
  return { image, source, close };
}
