/** Archives through the mount, cold: large files, every entry of a system's tree, thousands of small files. */
import { findLs, tar } from '../commands.js';
import { DecodeLimit } from '../decode-limit.js';
import { inRotation } from '../measure.js';
import { mountCopy, withMount } from '../mount.js';
import { StoreMaker } from '../store-maker.js';
import { withDirectory } from '../temporary.js';
import { largeFiles, smallFiles, systemTree, totalsOf } from '../tree-plan.js';

/**
 * @typedef {import('../figures.js').Figure} Figure
 * @typedef {import('../main.js').Settings} Settings
 * @typedef {import('../tree-plan.js').TreePlan} TreePlan
 */

const name = 'root';
const mebibyte = 1024 * 1024;
const smallFilesCount = 20_000;
const versions = /** @type {const} */ ([1, 2]);

/**
 * Seconds of a command over a tree: cold, over its copy in memory, and of its chunks alone.
 * @param {{ plan: TreePlan, version: 1 | 2, runs: number, command: (directory: string) => Promise<number> }} options
 */
async function measureArchive({ plan, version, runs, command }) {
  return await withDirectory(totalsOf(plan).bytes, async (directory) => {
    const snapshot = (await StoreMaker.create(directory)).snapshot('ct', '100');
    const path = `${snapshot.archive(name, plan, { version }).finish()}/${name}.pxar`;
    const indexNames = version === 1 ? [`${name}.pxar.didx`] : [`${name}.mpxar.didx`, `${name}.ppxar.didx`];
    const decode = await DecodeLimit.of(directory, snapshot.name, indexNames);
    const memory = await mountCopy(directory, path);
    const seconds = await inRotation(runs, {
      cold: () => withMount(directory, {}, (mount) => command(`${mount.path}/${path}`)),
      decode: () => decode.seconds(),
      memory: async () => {
        await memory.again();
        return await command(memory.path);
      },
    });
    await Promise.all([memory.close(), decode.close()]);
    return seconds;
  });
}

/** @param {Settings} settings @returns {Promise<Figure[]>} */
export async function large({ imageBytes, runs }) {
  const figures = [];
  for (const version of versions) {
    const { cold, decode, memory } = await measureArchive({ plan: largeFiles(imageBytes / 2), version, runs, command: tar });
    const limit = { limitName: 'D + M', limit: decode + memory, target: { most: 1.1 } };
    figures.push({ section: 'large', name: `tar of ${imageBytes / 2 / mebibyte} MiB of large files, v${version}, cold`, value: cold, unit: 's', ...limit });
  }
  return figures;
}

/** @param {Settings} settings @returns {Promise<Figure[]>} */
export async function find({ imageBytes, runs }) {
  const plan = systemTree(imageBytes / 2);
  const { files, directories } = totalsOf(plan);
  const figures = [];
  for (const version of versions) {
    const { cold, decode } = await measureArchive({ plan, version, runs, command: findLs });
    const limit = { limitName: 'D', limit: decode, ...(version === 1 && { target: { most: 1.3 } }) };
    figures.push({ section: 'find', name: `find -ls of ${files + directories} entries, v${version}, cold`, value: cold, unit: 's', ...limit });
  }
  return figures;
}

/** @param {Settings} settings @returns {Promise<Figure[]>} */
export async function small({ runs }) {
  const plan = smallFiles(smallFilesCount);
  const figures = [];
  for (const version of versions) {
    const { cold, memory } = await measureArchive({ plan, version, runs, command: tar });
    const limit = { limitName: 'in memory', limit: smallFilesCount / memory, target: { least: 0.75 } };
    figures.push({ section: 'small', name: `tar of small files, v${version}, cold`, value: smallFilesCount / cold, unit: 'files/s', ...limit });
  }
  return figures;
}
