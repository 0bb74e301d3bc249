/** A disk image through the mount: cold from one end to the other, cold at random, and from memory. */
import { forget, readAll, readAtRandom } from '../commands.js';
import { DecodeLimit } from '../decode-limit.js';
import { benchKey, writeKeyFile } from '../key.js';
import { inRotation } from '../measure.js';
import { cacheBytes, mountCopy, mountStore, withMount } from '../mount.js';
import { StoreMaker } from '../store-maker.js';
import { withDirectory } from '../temporary.js';

/**
 * @typedef {import('../figures.js').Figure} Figure
 * @typedef {import('../main.js').Settings} Settings
 */

const imageName = 'drive-scsi0.img';
const indexNames = [`${imageName}.fidx`];
const mebibyte = 1024 * 1024;
const cachedReads = 100_000;
const smallCacheBytes = 64 * mebibyte;

/** @param {Settings} settings @returns {Promise<Figure[]>} */
export async function image(settings) {
  return [...(await sequential(settings, false)), ...(await sequential(settings, true))];
}

/** @param {Settings} settings @param {boolean} encrypted @returns {Promise<Figure[]>} */
async function sequential({ imageBytes, runs }, encrypted) {
  return await withDirectory(imageBytes, async (directory) => {
    const key = encrypted ? benchKey : undefined;
    const keyFile = encrypted ? writeKeyFile(`${directory}/key.json`) : undefined;
    const snapshot = (await StoreMaker.create(directory, key)).snapshot('vm', '100');
    const path = `${snapshot.image(imageName, imageBytes).finish()}/${imageName}`;
    const decode = await DecodeLimit.of(directory, snapshot.name, indexNames, key);
    const memory = await mountCopy(directory, path, keyFile);
    const seconds = await inRotation(runs, {
      cold: () => withMount(directory, { keyFile }, ({ path: root }) => readAll(`${root}/${path}`)),
      decode: () => decode.seconds(),
      memory: async () => {
        await memory.again();
        return await readAll(`${memory.path}/${imageName}`);
      },
    });
    await Promise.all([memory.close(), decode.close()]);
    const section = encrypted ? 'image, encrypted' : 'image';
    const size = imageBytes / mebibyte;
    const limit = { limitName: 'D + M', limit: seconds.decode + seconds.memory, target: { most: 0.9 } };
    return [
      { section, name: `cold dd of ${size} MiB`, value: seconds.cold, unit: 's', ...limit },
      { section, name: 'cold dd', value: size / seconds.cold, unit: 'MiB/s' },
      { section, name: 'D: its chunks in the workers alone', value: seconds.decode, unit: 's' },
      { section, name: 'D, decoded bytes', value: decode.bytes / mebibyte / seconds.decode, unit: 'MiB/s' },
      { section, name: 'M: dd of the same bytes in memory', value: seconds.memory, unit: 's' },
    ];
  });
}

/**
 * Of an image without zero chunks and with a small cache, so that almost every read costs a chunk.
 * @param {Settings} settings
 * @returns {Promise<Figure[]>}
 */
export async function random({ imageBytes, runs }) {
  return await withDirectory(imageBytes, async (directory) => {
    const snapshot = (await StoreMaker.create(directory)).snapshot('vm', '100');
    const path = `${snapshot.image(imageName, imageBytes, { zeros: 0 }).finish()}/${imageName}`;
    const decode = await DecodeLimit.of(directory, snapshot.name, indexNames);
    const reads = decode.chunks;
    const seconds = await inRotation(runs, {
      cold: () => withMount(directory, { cacheBytes: smallCacheBytes }, ({ path: root }) => readAtRandom(`${root}/${path}`, reads)),
      decode: () => decode.seconds(),
    });
    await decode.close();
    const limit = { limitName: 'D: chunks', limit: decode.chunks / seconds.decode, target: { least: 0.85 } };
    return [{ section: 'random', name: '4 KiB at random, cold, 4 threads', value: reads / seconds.cold, unit: '/s', ...limit }];
  });
}

/** @param {Settings} settings @returns {Promise<Figure[]>} */
export async function cached({ imageBytes, runs }) {
  return await withDirectory(imageBytes, async (directory) => {
    const store = await StoreMaker.create(directory);
    const path = `${store.snapshot('vm', '100').image(imageName, imageBytes).finish()}/${imageName}`;
    const warm = await mountStore(directory, { cacheBytes: imageBytes + cacheBytes });
    const memory = await mountCopy(directory, path);
    const files = { warm: `${warm.path}/${path}`, memory: `${memory.path}/${imageName}` };
    await readAll(files.warm);
    /** @param {string} file @param {(file: string) => Promise<number>} read */
    const anew = async (file, read) => {
      await forget(file);
      return await read(file);
    };
    /** @param {string} file */
    const atRandom = (file) => readAtRandom(file, cachedReads);
    const seconds = await inRotation(runs, {
      warm: () => anew(files.warm, readAll),
      memory: () => anew(files.memory, readAll),
      warmRandom: () => anew(files.warm, atRandom),
      memoryRandom: () => anew(files.memory, atRandom),
    });
    await Promise.all([warm.close(), memory.close()]);
    const section = 'cached';
    const size = imageBytes / mebibyte;
    const target = { least: 0.85 };
    const sequentialLimit = { limitName: 'in memory', limit: size / seconds.memory, target };
    const randomLimit = { limitName: 'in memory', limit: cachedReads / seconds.memoryRandom, target };
    return [
      { section, name: 'dd, everything decoded', value: size / seconds.warm, unit: 'MiB/s', ...sequentialLimit },
      { section, name: '4 KiB at random, 4 threads', value: cachedReads / seconds.warmRandom, unit: '/s', ...randomLimit },
    ];
  });
}
