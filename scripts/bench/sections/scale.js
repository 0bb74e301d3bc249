/** What is large in number: snapshots, chunks of an index, entries of a directory. With the memory that the daemon takes for it. */
import { mkdirSync, rmdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { openDatastore } from '../../../dist/store/open.js';
import { list, readAll } from '../commands.js';
import { inRotation, secondsOf } from '../measure.js';
import { cacheBytes, newMountPoint, program, withMount } from '../mount.js';
import { StoreMaker, hugeImage, manySnapshots } from '../store-maker.js';
import { withDirectory } from '../temporary.js';
import { flatDirectory } from '../tree-plan.js';

/**
 * @typedef {import('../figures.js').Figure} Figure
 * @typedef {import('../main.js').Settings} Settings
 */

const section = 'scale';
const mebibyte = 1024 * 1024;
const groups = 100;
const snapshotsPerGroup = 100;
const crowdedSnapshots = 1000;
const hugeChunks = 262_144;
const crowdedFiles = 100_000;
const memoryTarget = { most: (cacheBytes + 200 * mebibyte) / mebibyte };

/** @param {string} name @param {number} bytes @returns {Figure} */
function memoryFigure(name, bytes) {
  return { section, name: `memory of the daemon at most, ${name}`, value: bytes / mebibyte, unit: 'MiB', target: memoryTarget };
}

/** Milliseconds until `pbsfs mount` returns, which it does when the mount can be used. @param {string} store */
async function mountReadyMs(store) {
  const mountPoint = newMountPoint();
  const log = `${mountPoint}.log`;
  const command = `'${process.execPath}' '${program}'`;
  const seconds = await secondsOf(`${command} mount --log '${log}' '${store}' '${mountPoint}'`);
  await secondsOf(`${command} umount '${mountPoint}'; rm -f '${log}'`);
  rmdirSync(mountPoint);
  return 1000 * seconds;
}

/** @param {string} directory @param {number} runs @returns {Promise<Figure[]>} */
async function snapshots(directory, runs) {
  const store = await StoreMaker.create(directory);
  manySnapshots(store, 'vm', groups, snapshotsPerGroup);
  manySnapshots(store, 'host', 1, crowdedSnapshots);
  let peak = 0;
  const ms = await inRotation(runs, {
    ready: () => mountReadyMs(directory),
    list: () =>
      withMount(directory, {}, async (mount) => {
        const seconds = await list(`${mount.path}/host/100`);
        await secondsOf(`find '${mount.path}' -maxdepth 4 > /dev/null`);
        peak = Math.max(peak, mount.memory().peak);
        return 1000 * seconds;
      }),
  });
  const count = groups * snapshotsPerGroup + crowdedSnapshots;
  return [
    { section, name: `mount of ${count} snapshots is ready`, value: ms.ready, unit: 'ms', target: { most: 300 } },
    { section, name: `ls of ${crowdedSnapshots} snapshots, cold`, value: ms.list, unit: 'ms', target: { most: 100 } },
    memoryFigure(`all ${count} snapshots listed`, peak),
  ];
}

/** Bytes that an open index keeps. @param {string} directory @param {import('../../../dist/format/snapshot-name.js').SnapshotName} snapshot */
async function indexBytes(directory, snapshot) {
  setFlagsFromString('--expose-gc');
  const collect = /** @type {() => void} */ (runInNewContext('gc'));
  const used = async () => {
    for (let round = 0; round < 3; round++) {
      collect();
      await delay(20);
    }
    const { heapUsed, external } = process.memoryUsage();
    return heapUsed + external;
  };
  const store = await openDatastore(directory);
  const before = await used();
  const index = await store.index(snapshot, 'drive-scsi0.img.fidx');
  const bytes = (await used()) - before;
  await store.close();
  return bytes / index.count;
}

/** @param {string} directory @param {number} runs @returns {Promise<Figure[]>} */
async function hugeIndex(directory, runs) {
  const store = await StoreMaker.create(directory);
  const snapshot = hugeImage(store, hugeChunks);
  let peak = 0;
  const ms = await inRotation(runs, {
    open: () =>
      withMount(directory, {}, async (mount) => {
        const path = `${mount.path}/${snapshot.path}/drive-scsi0.img`;
        // The directory's manifest is not what is measured.
        statSync(`${mount.path}/${snapshot.path}/index.json`);
        const start = performance.now();
        statSync(path);
        const opened = performance.now() - start;
        await secondsOf(`dd if='${path}' of=/dev/null bs=1M count=2048 status=none`);
        peak = Math.max(peak, mount.memory().peak);
        return opened;
      }),
  });
  return [
    { section, name: 'index of an image of 1 TiB opens', value: ms.open, unit: 'ms', target: { most: 100 } },
    { section, name: 'memory of that index', value: await indexBytes(directory, snapshot.name), unit: 'bytes a chunk', target: { most: 40 } },
    memoryFigure('2 GiB of that image read', peak),
  ];
}

/** @param {string} directory @param {number} runs @returns {Promise<Figure[]>} */
async function crowdedDirectory(directory, runs) {
  const path = `${(await StoreMaker.create(directory)).snapshot('ct', '100').archive('root', flatDirectory(crowdedFiles)).finish()}/root.pxar/flat`;
  let peak = 0;
  /** @param {(directory: string) => Promise<number>} command */
  const cold = (command) =>
    withMount(directory, {}, async (mount) => {
      const seconds = await command(`${mount.path}/${path}`);
      peak = Math.max(peak, mount.memory().peak);
      return seconds;
    });
  const seconds = await inRotation(runs, {
    names: () => cold(list),
    long: () => cold((at) => secondsOf(`ls -l '${at}' > /dev/null`)),
  });
  return [
    { section, name: `ls of a directory of ${crowdedFiles} files, cold`, value: seconds.names, unit: 's', target: { most: 2 } },
    { section, name: 'ls -l of it, cold', value: seconds.long, unit: 's' },
    memoryFigure('that directory listed', peak),
  ];
}

/** @param {string} directory @param {number} imageBytes @returns {Promise<Figure[]>} */
async function fullCache(directory, imageBytes) {
  const path = `${(await StoreMaker.create(directory)).snapshot('vm', '100').image('drive-scsi0.img', imageBytes).finish()}/drive-scsi0.img`;
  return await withMount(directory, {}, async (mount) => {
    await readAll(`${mount.path}/${path}`);
    return [memoryFigure('an image read from end to end', mount.memory().peak)];
  });
}

/** @param {Settings} settings @returns {Promise<Figure[]>} */
export async function scale({ imageBytes, runs }) {
  return await withDirectory(imageBytes, async (directory) => {
    /** @param {string} name */
    const place = (name) => {
      mkdirSync(join(directory, name));
      return join(directory, name);
    };
    return [
      ...(await snapshots(place('snapshots'), runs)),
      ...(await hugeIndex(place('huge'), runs)),
      ...(await crowdedDirectory(place('crowded'), runs)),
      ...(await fullCache(place('full'), imageBytes)),
    ];
  });
}
