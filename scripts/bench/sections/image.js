/** A disk image through the mount: cold from one end to the other, cold at random, and from memory. */
import { EncryptionKey } from '../../../dist/crypto/encryption-key.js';
import { DecodeLimit } from '../decode-limit.js';
import { inRotation, secondsOf, timedShell } from '../measure.js';
import { Mount, cacheBytes, withMount } from '../mount.js';
import { StoreMaker } from '../store-maker.js';
import { withDirectory } from '../temporary.js';

/**
 * @typedef {import('../figures.js').Figure} Figure
 * @typedef {import('../main.js').Settings} Settings
 */

const imageName = 'drive-scsi0.img';
const keyBytes = Buffer.alloc(32, 0x5a);
const mebibyte = 1024 * 1024;

/** @param {string} file */
const readAll = (file) => secondsOf(`dd if='${file}' of=/dev/null bs=1M status=none`);
/** @param {string} file @param {number} reads */
const readAtRandom = async (file, reads) => {
  const program = new URL('../random-reader.js', import.meta.url).pathname;
  return Number((await timedShell(`'${process.execPath}' '${program}' '${file}' 4 ${reads}`)).output);
};

/** @param {Settings} settings @param {EncryptionKey | undefined} key @returns {Promise<Figure[]>} */
async function sequential({ imageBytes, runs }, key) {
  return await withDirectory(imageBytes, async (directory) => {
    const store = await StoreMaker.create(directory, key);
    const snapshot = store.snapshot('vm', '100');
    const path = `${snapshot.image(imageName, imageBytes).finish()}/${imageName}`;
    const options = key === undefined ? {} : { key: keyBytes.toString('hex') };
    const decode = await DecodeLimit.of(directory, snapshot.name, [`${imageName}.fidx`], key);
    const memory = await Mount.open(directory, { ...options, copied: path });
    const seconds = await inRotation(runs, {
      cold: () => withMount(directory, options, ({ path: root }) => readAll(`${root}/${path}`)),
      decode: () => decode.seconds(),
      memory: async () => {
        await memory.again();
        return await readAll(`${memory.path}/${imageName}`);
      },
    });
    await Promise.all([memory.close(), decode.close()]);
    const kind = key === undefined ? '' : ', encrypted';
    const section = 'image';
    const { cold: value } = seconds;
    return [
      { section, name: `dd of ${imageBytes / mebibyte} MiB, cold${kind}`, value, unit: 's', limitName: 'D + M', limit: seconds.decode + seconds.memory, target: { most: 0.9 } },
      { section, name: `decode limit D${kind}`, value: decode.bytes / mebibyte / seconds.decode, unit: 'MiB/s decoded' },
      { section, name: `memory limit M${kind}`, value: imageBytes / mebibyte / seconds.memory, unit: 'MiB/s' },
      { section, name: `dd, cold${kind}`, value: imageBytes / mebibyte / value, unit: 'MiB/s' },
    ];
  });
}

/** @param {Settings} settings @returns {Promise<Figure[]>} */
export async function image(settings) {
  return [...(await sequential(settings, undefined)), ...(await sequential(settings, new EncryptionKey(keyBytes)))];
}

/**
 * Of an image without zero chunks and with a small cache, so that almost every read costs a chunk.
 * @param {Settings} settings
 * @returns {Promise<Figure[]>}
 */
export async function random({ imageBytes, runs }) {
  return await withDirectory(imageBytes, async (directory) => {
    const store = await StoreMaker.create(directory);
    const snapshot = store.snapshot('vm', '100');
    const path = `${snapshot.image(imageName, imageBytes, { zeros: 0 }).finish()}/${imageName}`;
    const decode = await DecodeLimit.of(directory, snapshot.name, [`${imageName}.fidx`]);
    const reads = decode.chunks;
    const seconds = await inRotation(runs, {
      cold: () => withMount(directory, { cacheBytes: 64 * mebibyte }, ({ path: root }) => readAtRandom(`${root}/${path}`, reads)),
      decode: () => decode.seconds(),
    });
    await decode.close();
    const limit = decode.chunks / seconds.decode;
    const name = `4 KiB at random, cold, 4 threads`;
    return [{ section: 'random', name, value: reads / seconds.cold, unit: 'reads/s', limitName: 'D: chunks', limit, target: { least: 0.85 } }];
  });
}

/** @param {Settings} settings @returns {Promise<Figure[]>} */
export async function cached({ imageBytes, runs }) {
  return await withDirectory(imageBytes, async (directory) => {
    const store = await StoreMaker.create(directory);
    const path = `${store.snapshot('vm', '100').image(imageName, imageBytes).finish()}/${imageName}`;
    const warm = await Mount.open(directory, { cacheBytes: imageBytes + cacheBytes });
    const memory = await Mount.open(directory, { copied: path });
    const files = { warm: `${warm.path}/${path}`, memory: `${memory.path}/${imageName}` };
    await readAll(files.warm);
    const reads = 100_000;
    const again = async (/** @type {Mount} */ mount, /** @type {() => Promise<number>} */ use) => {
      await mount.again();
      return await use();
    };
    const seconds = await inRotation(runs, {
      warm: () => again(warm, () => readAll(files.warm)),
      memory: () => again(memory, () => readAll(files.memory)),
      warmRandom: () => again(warm, () => readAtRandom(files.warm, reads)),
      memoryRandom: () => again(memory, () => readAtRandom(files.memory, reads)),
    });
    await Promise.all([warm.close(), memory.close()]);
    const section = 'cached';
    const limitName = 'memory';
    const target = { least: 0.85 };
    const size = imageBytes / mebibyte;
    return [
      { section, name: 'dd, all decoded', value: size / seconds.warm, unit: 'MiB/s', limitName, limit: size / seconds.memory, target },
      { section, name: '4 KiB at random, 4 threads', value: reads / seconds.warmRandom, unit: 'reads/s', limitName, limit: reads / seconds.memoryRandom, target },
    ];
  });
}
