/** Backups, from memory into memory, beside what the worker threads alone need to store the same chunks; and restores. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ContentMemory } from '../../../dist/codec/content-memory.js';
import { HashChunker } from '../../../dist/format/chunker.js';
import { backUp, backUpAnew, changeImageFile, newDatastore, peakMemory, restoreImage, writeImageFile } from '../backup.js';
import { fillContent } from '../content.js';
import { DecodeLimit } from '../decode-limit.js';
import { EncodeLimit } from '../encode-limit.js';
import { inRotation, secondsOf } from '../measure.js';
import { imageChunkBytes } from '../store-maker.js';
import { withDirectory } from '../temporary.js';
import { directory as directoryOf, file, smallFiles, systemTree, totalsOf, writeTree } from '../tree-plan.js';

/**
 * @typedef {import('../figures.js').Figure} Figure
 * @typedef {import('../main.js').Settings} Settings
 * @typedef {import('../tree-plan.js').TreePlan} TreePlan
 */

const section = 'write';
const mebibyte = 1024 * 1024;
const imageName = 'drive-scsi0.img';
const smallFilesCount = 20_000;
const firstTime = 1_700_000_000;
const changedShare = 0.01;
const scannedBytes = 128 * mebibyte;
const peakBytesMax = 400 * 1000 * 1000;

/** @param {Settings} settings @returns {Promise<Figure[]>} */
export async function write(settings) {
  return [
    ...(await scan(settings)),
    ...(await image(settings)),
    ...(await archive(settings, 'one large file', directoryOf('', [file('large.bin', settings.imageBytes / 2, 1000)]), 0.8)),
    ...(await archive(settings, `${smallFilesCount} small files`, smallFiles(smallFilesCount), 0.6)),
    ...(await unchanged(settings)),
    ...(await others(settings)),
  ];
}

/** One core, the same stream. @param {Settings} settings @returns {Promise<Figure[]>} */
async function scan({ runs }) {
  const memory = new ContentMemory(scannedBytes);
  const stream = Buffer.from(memory.memory, 0, scannedBytes);
  fillContent(stream, { kind: 'text', seed: 1 });
  const plain = Buffer.from(stream);
  /** @param {Buffer} bytes @param {import('../../../dist/format/scan-kernel.js').ScanKernel} [kernel] */
  const seconds = (bytes, kernel) => {
    const start = performance.now();
    const chunker = new HashChunker(4 * mebibyte, kernel);
    for (let at = chunker.scan(bytes); at !== undefined; at = chunker.scan(bytes, at));
    return Promise.resolve((performance.now() - start) / 1000);
  };
  await seconds(stream, memory.kernel);
  await seconds(plain);
  const { fast, loop } = await inRotation(runs, { fast: () => seconds(stream, memory.kernel), loop: () => seconds(plain) });
  const size = scannedBytes / mebibyte;
  return [{ section, name: 'scan for cuts, one core', value: size / fast, unit: 'MiB/s', limitName: 'loop in JavaScript', limit: size / loop, target: { least: 1.7 } }];
}

/** @param {Settings} settings @returns {Promise<Figure[]>} */
async function image({ imageBytes, runs }) {
  return await withDirectory(4 * imageBytes, async (directory) => {
    const source = join(directory, 'source');
    writeImageFile(source, imageBytes);
    const specs = [`${imageName}:${source}`];
    const group = 'vm/100';
    const store = await newDatastore(join(directory, 'store'));
    const peak = await peakMemory(store, { group, time: firstTime, specs });
    const snapshot = /** @type {const} */ ({ namespace: [], type: 'vm', id: '100', time: firstTime });
    const encode = await EncodeLimit.of(store, snapshot, [`${imageName}.fidx`], directory);
    const decode = await DecodeLimit.of(store, snapshot, [`${imageName}.fidx`]);
    const chunks = imageBytes / imageChunkBytes;
    const changedChunks = Math.max(1, Math.round(chunks * changedShare));
    const list = join(directory, 'changed.json');
    let time = firstTime;
    /** @param {number} count of chunks that change */
    const changed = async (count) => {
      writeFileSync(list, JSON.stringify(changeImageFile(source, count, Math.floor(chunks / changedChunks), ++time)));
      return await backUp(store, { group, time, specs, options: ['--changed', `${imageName}=${list}`] });
    };
    const seconds = await inRotation(runs, {
      first: () => backUpAnew(join(directory, 'first'), { group, time: firstTime, specs }),
      encode: () => encode.seconds(),
      restore: () => restoreImage(store, 'vm/100/latest', imageName, join(directory, 'restored')),
      decode: () => decode.seconds(),
      changed: () => changed(changedChunks),
      same: () => changed(0),
    });
    await decode.close();
    const size = encode.bytes / mebibyte;
    const share = (seconds.encode * changedChunks * imageChunkBytes) / encode.bytes;
    return [
      { section, name: `image of ${imageBytes / mebibyte} MiB`, value: size / seconds.first, unit: 'MiB/s', limitName: 'E', limit: size / seconds.encode, target: { least: 0.85 } },
      { section, name: 'most memory of it', value: peak / 1e6, unit: 'MB', target: { most: peakBytesMax / 1e6 } },
      { section, name: '1 % changed', value: seconds.changed, unit: 's', limitName: 'nothing changed + E of its chunks', limit: seconds.same + share, target: { most: 1.25 } },
      { section, name: 'nothing changed', value: seconds.same, unit: 's' },
      { section, name: 'restored to a file', value: decode.bytes / mebibyte / seconds.restore, unit: 'MiB/s', limitName: 'D', limit: decode.bytes / mebibyte / seconds.decode, target: { least: 0.8 } },
    ];
  });
}

/**
 * A first backup in mode data.
 * @param {Settings} settings @param {string} name @param {TreePlan} plan @param {number} least share of E
 * @returns {Promise<Figure[]>}
 */
async function archive({ runs }, name, plan, least) {
  return await withDirectory(4 * totalsOf(plan).bytes, async (directory) => {
    const source = join(directory, 'source');
    writeTree(source, plan);
    const what = { time: firstTime, specs: [`root.pxar:${source}`], options: ['--mode', 'data'] };
    const store = await newDatastore(join(directory, 'store'));
    const peak = await peakMemory(store, what);
    const snapshot = /** @type {const} */ ({ namespace: [], type: 'host', id: 'bench', time: firstTime });
    const encode = await EncodeLimit.of(store, snapshot, ['root.mpxar.didx', 'root.ppxar.didx'], directory);
    const seconds = await inRotation(runs, {
      first: () => backUpAnew(join(directory, 'first'), what),
      encode: () => encode.seconds(),
    });
    const size = encode.bytes / mebibyte;
    return [
      { section, name, value: size / seconds.first, unit: 'MiB/s', limitName: 'E', limit: size / seconds.encode, target: { least } },
      { section, name: `${name}, most memory`, value: peak / 1e6, unit: 'MB', target: { most: peakBytesMax / 1e6 } },
    ];
  });
}

/** A system's tree in which nothing has changed, in both modes. @param {Settings} settings @returns {Promise<Figure[]>} */
async function unchanged({ imageBytes, runs }) {
  const plan = systemTree(imageBytes);
  return await withDirectory(3 * totalsOf(plan).bytes, async (directory) => {
    const source = join(directory, 'source');
    writeTree(source, plan);
    const store = await newDatastore(join(directory, 'store'));
    let time = firstTime;
    /** @param {'data' | 'metadata'} mode */
    const again = (mode) => backUp(store, { group: `host/${mode}`, time: ++time, specs: [`root.pxar:${source}`], options: ['--mode', mode] });
    await again('metadata');
    await again('data');
    const seconds = await inRotation(runs, { metadata: () => again('metadata'), data: () => again('data') });
    const { files, bytes } = totalsOf(plan);
    return [
      { section, name: `${files} files of ${Math.round(bytes / mebibyte)} MiB, unchanged: mode data takes so many times as long as metadata`, value: seconds.data / seconds.metadata, unit: 'x', target: { least: 5 } },
      { section, name: 'mode metadata', value: seconds.metadata, unit: 's' },
      { section, name: 'mode data', value: seconds.data, unit: 's' },
    ];
  });
}

/**
 * @typedef {object} Program
 * @property {(repository: string) => string} init shell commands
 * @property {(repository: string, tree: string, number: number) => string} backup
 */

/** @type {Record<string, Program>} */
const programs = {
  restic: {
    init: (repository) => `restic init -q -r ${repository}/repo`,
    backup: (repository, tree) => `restic backup -q -r ${repository}/repo ${tree}`,
  },
  borg: {
    init: (repository) => `borg init -e none ${repository}/repo`,
    backup: (repository, tree, number) => `borg create -C zstd,1 ${repository}/repo::all-${number} ${tree}`,
  },
};

/** @param {string} repository @param {string} command */
function withEnvironment(repository, command) {
  return `export RESTIC_PASSWORD=bench BORG_BASE_DIR='${repository}/base' XDG_CACHE_HOME='${repository}/cache' BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK=yes; ${command}`;
}

/** @param {string} command */
function isInstalled(command) {
  return spawnSync('/bin/sh', ['-c', `command -v ${command}`]).status === 0;
}

/** The same tree by other programs: a first backup, and one when nothing has changed. @param {Settings} settings @returns {Promise<Figure[]>} */
async function others({ imageBytes, runs }) {
  const installed = Object.entries(programs).filter(([name]) => isInstalled(name));
  for (const name of Object.keys(programs)) if (!isInstalled(name)) console.error(`${name} is not installed and left out`);
  if (installed.length === 0) return [];
  const plan = systemTree(imageBytes / 4);
  return await withDirectory(8 * totalsOf(plan).bytes, async (directory) => {
    const tree = join(directory, 'source');
    writeTree(tree, plan);
    let time = firstTime;
    const specs = [`root.pxar:${tree}`];
    /** @param {string} repository @param {Program} program */
    const initialized = async (repository, program) => {
      mkdirSync(repository);
      await secondsOf(withEnvironment(repository, program.init(repository)));
    };
    /** @type {Record<string, () => Promise<number>>} */
    const first = { pbsfs: () => backUpAnew(join(directory, 'first'), { time: ++time, specs, options: ['--mode', 'data'] }) };
    const store = await newDatastore(join(directory, 'pbsfs'));
    await backUp(store, { time: ++time, specs, options: ['--mode', 'data'] });
    /** @type {Record<string, () => Promise<number>>} */
    const again = { pbsfs: () => backUp(store, { time: ++time, specs }) };
    for (const [name, program] of installed) {
      first[name] = async () => {
        const repository = join(directory, `first-${name}`);
        await initialized(repository, program);
        const seconds = await secondsOf(withEnvironment(repository, program.backup(repository, tree, ++time)));
        rmSync(repository, { recursive: true });
        return seconds;
      };
      const repository = join(directory, name);
      await initialized(repository, program);
      again[name] = () => secondsOf(withEnvironment(repository, program.backup(repository, tree, ++time)));
      await again[name]();
    }
    return [
      ...figuresOf('first backup', await inRotation(runs, first), 1.5),
      ...figuresOf('unchanged', await inRotation(runs, again), 1),
    ];
  });
}

/** @param {string} name @param {Record<string, number>} seconds @param {number} least @returns {Figure[]} */
function figuresOf(name, { pbsfs = NaN, ...rest }, least) {
  const best = Math.min(...Object.values(rest));
  return [
    { section, name: `${name}: the best of the others takes so many times as long as pbsfs`, value: best / pbsfs, unit: 'x', target: { least } },
    ...Object.entries({ pbsfs, ...rest }).map(([program, value]) => ({ section, name: `${name}: ${program}`, value, unit: 's' })),
  ];
}
