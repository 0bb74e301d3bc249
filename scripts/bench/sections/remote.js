/** A datastore on a server, beside the same one in a directory: reading near and far, the disk cache, uploads, many clients. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { backUp, backUpAnew, newDatastore, writeImageFile } from '../backup.js';
import { readAll, tar } from '../commands.js';
import { inRotation, secondsOf } from '../measure.js';
import { program, withMount } from '../mount.js';
import { ServedStore, withDelay } from '../served.js';
import { StoreMaker } from '../store-maker.js';
import { withDirectory } from '../temporary.js';
import { smallFiles } from '../tree-plan.js';

/**
 * @typedef {import('../figures.js').Figure} Figure
 * @typedef {import('../main.js').Settings} Settings
 */

const section = 'remote';
const mebibyte = 1024 * 1024;
const imageName = 'drive-scsi0.img';
const smallFilesCount = 20_000;
const farMs = [1, 5, 25];
const clients = 16;
const serverBytesMax = 300 * 1000 * 1000 + clients * 16 * mebibyte;
const firstTime = 1_700_000_000;

/** @param {Settings} settings @returns {Promise<Figure[]>} */
export async function remote(settings) {
  return [...(await images(settings)), ...(await trees(settings)), ...(await uploads(settings)), ...(await manyClients(settings))];
}

/** Cold `dd` of an image; round trips are twice the delay of one way. @param {Settings} settings @returns {Promise<Figure[]>} */
async function images({ imageBytes, runs }) {
  return await withDirectory(3 * imageBytes, async (directory) => {
    const store = join(directory, 'store');
    const path = `${(await newStore(store)).snapshot('vm', '100').image(imageName, imageBytes).finish()}/${imageName}`;
    const cacheDirectory = mkdtempSync(join(directory, 'cache-'));
    const served = await ServedStore.start(store, directory);
    /** @param {string} from @param {readonly string[]} [options] */
    const read = (from, options) => withMount(from, options === undefined ? {} : { options }, ({ path: root }) => readAll(`${root}/${path}`));
    const cached = () => read(served.repository(), ['--disk-cache', cacheDirectory]);
    await cached();
    try {
      const seconds = await inRotation(runs, {
        local: () => read(store),
        loopback: () => read(served.repository()),
        cached,
        ...Object.fromEntries(farMs.map((ms) => [`${ms} ms`, () => withDelay(served.port, ms / 2, (port) => read(served.repository(port)))])),
      });
      const size = imageBytes / mebibyte;
      const speed = (/** @type {string} */ name) => size / (/** @type {Record<string, number>} */ (seconds)[name] ?? NaN);
      const local = { limitName: 'local', limit: speed('local') };
      return [
        { section, name: `cold dd of ${size} MiB over loopback`, value: speed('loopback'), unit: 'MiB/s', ...local, target: { least: 0.6 } },
        { section, name: 'the same from the disk cache', value: speed('cached'), unit: 'MiB/s', ...local, target: { least: 0.9 } },
        ...farMs.map((ms) => ({
          section,
          name: `the same, ${ms} ms away`,
          value: speed(`${ms} ms`),
          unit: 'MiB/s',
          limitName: 'loopback',
          limit: speed('loopback'),
          ...(ms === 25 && { target: { least: 0.8 } }),
        })),
      ];
    } finally {
      await served.close();
      rmSync(cacheDirectory, { recursive: true });
    }
  });
}

/** @param {Settings} settings @returns {Promise<Figure[]>} */
async function trees({ runs }) {
  return await withDirectory(1024 * mebibyte, async (directory) => {
    const store = join(directory, 'store');
    const path = `${(await newStore(store)).snapshot('ct', '100').archive('root', smallFiles(smallFilesCount), { version: 2 }).finish()}/root.pxar`;
    const served = await ServedStore.start(store, directory);
    /** @param {string} from */
    const read = (from) => withMount(from, {}, ({ path: root }) => tar(`${root}/${path}`));
    try {
      const seconds = await inRotation(runs, {
        local: () => read(store),
        loopback: () => read(served.repository()),
        far: () => withDelay(served.port, 2.5, (port) => read(served.repository(port))),
      });
      return [
        { section, name: `tar of ${smallFilesCount} files over loopback`, value: seconds.loopback, unit: 's', limitName: 'local', limit: seconds.local },
        { section, name: 'the same, 5 ms away', value: seconds.far, unit: 's', limitName: 'loopback', limit: seconds.loopback, target: { most: 2 } },
      ];
    } finally {
      await served.close();
    }
  });
}

/** Of an image that can't be compressed. @param {Settings} settings @returns {Promise<Figure[]>} */
async function uploads({ imageBytes, runs }) {
  return await withDirectory(4 * imageBytes, async (directory) => {
    const source = join(directory, 'source');
    await secondsOf(`dd if=/dev/urandom of='${source}' bs=1M count=${imageBytes / mebibyte} status=none`);
    const specs = [`disk.img:${source}`];
    const upload = async () => {
      const store = await newDatastore(join(directory, 'uploaded'));
      const served = await ServedStore.start(store, directory);
      try {
        return await backUp(served.repository(), { time: firstTime, specs });
      } finally {
        await served.close();
        rmSync(store, { recursive: true });
      }
    };
    const seconds = await inRotation(runs, { upload, local: () => backUpAnew(join(directory, 'local'), { time: firstTime, specs }) });
    const size = imageBytes / mebibyte;
    const limit = { limitName: 'local', limit: size / seconds.local, target: { least: 0.6 } };
    return [{ section, name: `upload of ${size} MiB of noise`, value: size / seconds.upload, unit: 'MiB/s', ...limit }];
  });
}

/** All at once, each its own image. @param {Settings} settings @returns {Promise<Figure[]>} */
async function manyClients({ imageBytes }) {
  const bytesEach = imageBytes / clients;
  return await withDirectory(4 * imageBytes, async (directory) => {
    const store = await newDatastore(join(directory, 'store'));
    const served = await ServedStore.start(store, directory);
    try {
      const numbers = Array.from({ length: clients }, (_, n) => n);
      for (const n of numbers) writeImageFile(join(directory, `source${n}`), bytesEach, { zeros: 0, seed: n + 1 });
      const started = performance.now();
      const seconds = await Promise.all(
        numbers.map(async (n) => {
          await succeeded(['backup', '--store', served.repository(), '--id', `bench${n}`, `disk.img:${join(directory, `source${n}`)}`]);
          return (performance.now() - started) / 1000;
        }),
      );
      return [
        { section, name: `${clients} backups at once: most memory of the server`, value: served.memoryPeak() / 1e6, unit: 'MB', target: { most: serverBytesMax / 1e6 } },
        { section, name: 'the last of them, beside the first', value: Math.max(...seconds), unit: 's', limitName: 'first', limit: Math.min(...seconds) },
      ];
    } finally {
      await served.close();
    }
  });
}

/** @param {string} path */
async function newStore(path) {
  mkdirSync(path);
  return await StoreMaker.create(path);
}

/** @param {readonly string[]} args of the program */
async function succeeded(args) {
  const child = spawn(process.execPath, [program, ...args], { stdio: ['ignore', 'ignore', 'pipe'] });
  let errors = '';
  child.stderr.on('data', (/** @type {Buffer} */ data) => (errors += data.toString()));
  const [status] = await once(child, 'exit');
  if (status !== 0) throw new Error(`pbsfs ${args[0]} ended with ${String(status)}: ${errors}`);
}
