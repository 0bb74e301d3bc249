/** Writing into a staging directory, beside the write pipeline and beside a mount that only passes on; clones and commits of a large image; memory. */
import { spawnSync } from 'node:child_process';
import { closeSync, fstatSync, mkdirSync, mkdtempSync, openSync, rmSync, rmdirSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { copyRange } from '../../../dist/os/file-extents.js';
import { backUp, newDatastore, writeImageFile } from '../backup.js';
import { EncodeLimit } from '../encode-limit.js';
import { inRotation, secondsOf } from '../measure.js';
import { cacheBytes, mountStore, program } from '../mount.js';
import { withDirectory } from '../temporary.js';
import { smallFiles, writeTree } from '../tree-plan.js';

/**
 * @typedef {import('../figures.js').Figure} Figure
 * @typedef {import('../main.js').Settings} Settings
 */

const section = 'staging';
const mebibyte = 1024 * 1024;
const firstTime = 1_700_000_000;
const smallFilesCount = 20_000;
const manyFilesCount = 100_000;
const largeImageBytes = 100 * 1024 * mebibyte;
const memoryBytesMax = cacheBytes + 300 * 1000 * 1000;

/** @param {Settings} settings @returns {Promise<Figure[]>} */
export async function staging(settings) {
  return [...(await images(settings)), ...(await trees(settings)), ...(await clones(settings)), ...(await memory())];
}

/**
 * Calls `use` with the staging directory of a new group in a mount of a new datastore.
 * @template T
 * @param {string} directory
 * @param {(staging: string, group: string, mount: Awaited<ReturnType<typeof mountStore>>) => Promise<T>} use
 * @param {string} [store]
 */
async function withStaging(directory, use, store) {
  const spool = mkdtempSync(join(directory, 'spool-'));
  const path = store ?? (await newDatastore(join(directory, 'store')));
  const mount = await mountStore(path, { options: ['--writable', '--spool', spool] });
  const group = join(mount.path, 'host/bench');
  try {
    mkdirSync(group, { recursive: true });
    if (store === undefined) mkdirSync(join(group, 'staging'));
    return await use(join(group, 'staging'), group, mount);
  } finally {
    await mount.close();
    rmSync(spool, { recursive: true });
    if (store === undefined) rmSync(path, { recursive: true });
  }
}

/** `dd` of an image. @param {Settings} settings @returns {Promise<Figure[]>} */
async function images({ imageBytes, runs }) {
  return await withDirectory(5 * imageBytes, async (directory) => {
    const source = join(directory, 'source');
    writeImageFile(source, imageBytes);
    const kept = await newDatastore(join(directory, 'kept'));
    await backUp(kept, { time: firstTime, specs: [`disk.img:${source}`] });
    const encode = await EncodeLimit.of(kept, { namespace: [], type: 'host', id: 'bench', time: firstTime }, ['disk.img.fidx'], directory);
    const seconds = await inRotation(runs, {
      dd: () => withStaging(directory, (to) => secondsOf(`dd if='${source}' of='${to}/disk.img' bs=4M status=none`)),
      encode: () => encode.seconds(),
    });
    const size = encode.bytes / mebibyte;
    return [{ section, name: `dd of ${imageBytes / mebibyte} MiB`, value: size / seconds.dd, unit: 'MiB/s', limitName: 'E', limit: size / seconds.encode, target: { least: 0.8 } }];
  });
}

/** The same copies through a mount that passes on to the same file system. @param {Settings} settings @returns {Promise<Figure[]>} */
async function trees({ imageBytes, runs }) {
  if (spawnSync('/bin/sh', ['-c', 'command -v bindfs']).status !== 0) {
    console.error('bindfs is not installed: copies into staging have no limit to be held to and are left out');
    return [];
  }
  return await withDirectory(4 * imageBytes, async (directory) => {
    const small = join(directory, 'small');
    writeTree(small, smallFiles(smallFilesCount));
    const large = join(directory, 'large');
    writeImageFile(large, imageBytes);
    /** @param {string} to */
    const copySmall = (to) => secondsOf(`cp -a '${small}' '${to}/copy'`);
    /** @param {string} to */
    const copyLarge = (to) => secondsOf(`dd if='${large}' of='${to}/large' bs=1M status=none`);
    /** @param {(to: string) => Promise<number>} copy */
    const staged = (copy) => withStaging(directory, (to) => {
      mkdirSync(join(to, 'x.pxar'));
      return copy(join(to, 'x.pxar'));
    });
    const seconds = await inRotation(runs, {
      small: () => staged(copySmall),
      smallPassed: () => passedOn(directory, copySmall),
      large: () => staged(copyLarge),
      largePassed: () => passedOn(directory, copyLarge),
    });
    const size = imageBytes / mebibyte;
    return [
      { section, name: `cp -a of ${smallFilesCount} files`, value: smallFilesCount / seconds.small, unit: 'files/s', limitName: 'bindfs', limit: smallFilesCount / seconds.smallPassed, target: { least: 0.5 } },
      { section, name: `a file of ${size} MiB`, value: size / seconds.large, unit: 'MiB/s', limitName: 'bindfs', limit: size / seconds.largePassed, target: { least: 0.8 } },
    ];
  });
}

/** @param {string} directory @param {(to: string) => Promise<number>} copy */
async function passedOn(directory, copy) {
  const below = mkdtempSync(join(directory, 'passed-'));
  const mountPoint = mkdtempSync(join(tmpdir(), 'pbsfs-bench-mount-'));
  await secondsOf(`bindfs '${below}' '${mountPoint}'`);
  try {
    return await copy(mountPoint);
  } finally {
    await secondsOf(`umount '${mountPoint}'`);
    rmdirSync(mountPoint);
    rmSync(below, { recursive: true });
  }
}

/** An image of 100 GiB, most of it a hole. @param {Settings} settings @returns {Promise<Figure[]>} */
async function clones({ runs }) {
  return await withDirectory(1024 * mebibyte, async (directory) => {
    const source = join(directory, 'source');
    writeImageFile(source, 128 * mebibyte);
    truncateSync(source, largeImageBytes);
    const store = await newDatastore(join(directory, 'store'));
    await backUp(store, { time: firstTime, specs: [`disk.img:${source}`] });
    return await withStaging(
      directory,
      async (to, group) => {
        const clone = () => {
          mkdirSync(to);
          return secondsToCopy(join(group, 'latest/disk.img'), join(to, 'disk.img'));
        };
        const commit = () => secondsOf(`'${process.execPath}' '${program}' commit '${group}' 2> /dev/null`);
        let cloned = 0;
        let committed = 0;
        for (let run = 0; run < runs; run++) {
          cloned += clone();
          // Two snapshots can't be of one second.
          await new Promise((resolve) => setTimeout(resolve, 1000));
          committed += await commit();
        }
        return [
          { section, name: 'clone of an image of 100 GiB', value: cloned / runs, unit: 's', target: { most: 0.1 } },
          { section, name: 'commit of that clone, unchanged', value: committed / runs, unit: 's', target: { most: 2 } },
        ];
      },
      store,
    );
  });
}

/** By copy_file_range(2), as `cp` copies files without holes. @param {string} from @param {string} to */
function secondsToCopy(from, to) {
  const source = openSync(from, 'r');
  const target = openSync(to, 'w');
  const { size } = fstatSync(source);
  const start = performance.now();
  for (let offset = 0; offset < size; ) offset += copyRange(source, { offset, length: size - offset }, target, offset);
  closeSync(target);
  closeSync(source);
  return (performance.now() - start) / 1000;
}

/** @returns {Promise<Figure[]>} */
async function memory() {
  return await withDirectory(1024 * mebibyte, (directory) =>
    withStaging(directory, (to, _group, mount) => {
      for (let folder = 0; folder < 100; folder++) {
        const path = join(to, 'x.pxar', String(folder));
        mkdirSync(path, { recursive: true });
        for (let file = 0; file < manyFilesCount / 100; file++) writeFileSync(join(path, String(file)), 'x');
      }
      const { peak } = mount.memory();
      return Promise.resolve([{ section, name: `most memory, ${manyFilesCount} files staged`, value: peak / 1e6, unit: 'MB', target: { most: memoryBytesMax / 1e6 } }]);
    }),
  );
}
