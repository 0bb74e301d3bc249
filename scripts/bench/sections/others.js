/** The same trees mounted by other backup programs, where they are installed. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { findLs, readEveryFile, tar } from '../commands.js';
import { inRotation, secondsOf } from '../measure.js';
import { newMountPoint, withMount } from '../mount.js';
import { StoreMaker } from '../store-maker.js';
import { withDirectory } from '../temporary.js';
import { largeFiles, smallFiles, totalsOf, writeTree } from '../tree-plan.js';

/**
 * @typedef {import('../figures.js').Figure} Figure
 * @typedef {import('../main.js').Settings} Settings
 *
 * @typedef {object} Program
 * @property {readonly string[]} needs programs or Python modules
 * @property {(repository: string, tree: string) => string} backup shell commands
 * @property {(repository: string, mountPoint: string) => string} mount in the foreground
 * @property {(tree: string) => string} path of the tree below the mount point; `*` for one name
 */

const environment = 'RESTIC_PASSWORD=bench BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK=yes BORG_BASE_DIR="$R/base" XDG_CACHE_HOME="$R/cache"';
/** @type {Record<string, Program>} */
const programs = {
  restic: {
    needs: ['restic'],
    backup: (repository, tree) => `restic init -q -r ${repository}/repo && restic backup -q -r ${repository}/repo ${tree}`,
    mount: (repository, mountPoint) => `restic mount -q -r ${repository}/repo ${mountPoint}`,
    path: (tree) => `snapshots/latest${tree}`,
  },
  borg: {
    needs: ['borg'],
    backup: (repository, tree) => `borg init -e none ${repository}/repo && borg create -C zstd,1 ${repository}/repo::all ${tree}`,
    mount: (repository, mountPoint) => `borg mount -f ${repository}/repo ${mountPoint}`,
    path: (tree) => `all${tree}`,
  },
  casync: {
    needs: ['casync'],
    backup: (repository, tree) => `casync make --store=${repository}/store.castr ${repository}/all.caidx ${tree}`,
    mount: (repository, mountPoint) => `casync mount --store=${repository}/store.castr ${repository}/all.caidx ${mountPoint}`,
    path: () => '',
  },
};

const smallFilesCount = 20_000;
const readyTimeoutMs = 60_000;

/** @param {string} command */
function isInstalled(command) {
  return spawnSync('/bin/sh', ['-c', `command -v ${command}`]).status === 0;
}

/** @param {string} repository */
const withEnvironment = (repository) => `R='${repository}'; export ${environment}; `;

/**
 * @param {Program} program
 * @param {string} repository
 * @param {string} tree
 * @param {(directory: string) => Promise<number>} command
 */
async function cold(program, repository, tree, command) {
  const mountPoint = newMountPoint();
  const child = spawn('/bin/sh', ['-c', `${withEnvironment(repository)} exec ${program.mount(repository, mountPoint)}`], { stdio: 'ignore' });
  const end = once(child, 'exit');
  try {
    const start = performance.now();
    while (readdirSync(mountPoint).length === 0) {
      if (child.exitCode !== null || performance.now() - start > readyTimeoutMs) throw new Error(`${program.needs.join()} does not mount`);
      await delay(20);
    }
    return await command(join(mountPoint, program.path(tree)));
  } finally {
    spawnSync('umount', [mountPoint]);
    await Promise.race([end, delay(readyTimeoutMs)]);
    rmdirSync(mountPoint);
  }
}

/**
 * Seconds of each command over one tree, by program.
 * @template {string} C
 * @param {{ plan: import('../tree-plan.js').TreePlan, runs: number, commands: Record<C, (directory: string) => Promise<number>> }} options
 * @returns {Promise<Record<C, Record<string, number>>>}
 */
async function compare({ plan, runs, commands }) {
  return await withDirectory(4 * totalsOf(plan).bytes, async (directory) => {
    const tree = join(directory, 'tree');
    writeTree(tree, plan);
    const store = join(directory, 'pbsfs');
    mkdirSync(store);
    const path = `${(await StoreMaker.create(store)).snapshot('ct', '100').archive('root', plan).finish()}/root.pxar`;
    const others = Object.entries(programs).filter(([, { needs }]) => needs.every(isInstalled));
    for (const [name, program] of others) {
      const repository = join(directory, name);
      mkdirSync(repository);
      await secondsOf(withEnvironment(repository) + program.backup(repository, tree));
    }
    const results = /** @type {Record<C, Record<string, number>>} */ ({});
    for (const name of /** @type {C[]} */ (Object.keys(commands))) {
      const command = commands[name];
      results[name] = await inRotation(runs, {
        pbsfs: () => withMount(store, {}, (mount) => command(`${mount.path}/${path}`)),
        ...Object.fromEntries(others.map(([other, program]) => [other, () => cold(program, join(directory, other), tree, command)])),
      });
    }
    return results;
  });
}

/**
 * @param {string} name
 * @param {Record<string, number>} seconds
 * @param {number} least how many times as fast as the best of them
 * @returns {Figure[]}
 */
function figuresOf(name, { pbsfs = NaN, ...others }, least) {
  const section = 'others';
  const best = Math.min(...Object.values(others));
  return [
    { section, name: `${name}: the best of them takes so many times as long as pbsfs`, value: best / pbsfs, unit: 'x', target: { least } },
    ...Object.entries({ pbsfs, ...others }).map(([program, value]) => ({ section, name: `${name}: ${program}`, value, unit: 's' })),
  ];
}

/** @param {Settings} settings @returns {Promise<Figure[]>} */
export async function others({ imageBytes, runs }) {
  for (const [name, { needs }] of Object.entries(programs)) if (!needs.every(isInstalled)) console.error(`${name} is not installed and left out`);
  if (!Object.values(programs).some(({ needs }) => needs.every(isInstalled))) return [];
  const large = await compare({ plan: largeFiles(imageBytes / 4), runs, commands: { read: readEveryFile } });
  const small = await compare({ plan: smallFiles(smallFilesCount), runs, commands: { tar, find: findLs } });
  return [
    ...figuresOf('large files one after another', large.read, 2.5),
    ...figuresOf('tar of small files', small.tar, 2.5),
    ...figuresOf('find -ls of small files', small.find, 1),
  ];
}
