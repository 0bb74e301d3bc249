#!/usr/bin/env node
/**
 * `npm start`: mounts the sample datastore and shows what can be done with it, until Ctrl-C. `npm start -- SOURCE MOUNTPOINT` mounts
 * another. Where mounting is not possible it says why and shows the same tree without a mount.
 */
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { extract } from 'tar';
import { mountRequest } from '../dist/mount/mount-request.js';
import { serveMount } from '../dist/mount/serve.js';

/** @typedef {(path: string) => Promise<string[]>} List Names in a directory of the tree, directories and links with a slash. */

const program = fileURLToPath(new URL('../dist/cli/main.js', import.meta.url));
const sample = fileURLToPath(new URL('../sample/datastore.tar.gz', import.meta.url));
const impossible = new Set(['NO_FUSE', 'NO_PRIVILEGE']);
const depthMax = 4;
const entriesMax = 6;

/**
 * @param {List} list
 * @param {string} path
 * @param {string} indent
 */
async function showTree(list, path, indent) {
  const depth = path === '' ? 0 : path.split('/').length;
  const names = await list(path);
  const shown = names.length > entriesMax ? names.slice(0, entriesMax - 1) : names;
  for (const name of shown) {
    console.log(`${indent}${name}`);
    if (name.endsWith('/') && depth + 1 < depthMax) await showTree(list, join(path, name.slice(0, -1)), `${indent}  `);
  }
  if (names.length > shown.length) console.log(`${indent}... ${names.length - shown.length} more`);
}

/** @param {string} mountPoint @returns {List} */
function listMounted(mountPoint) {
  return async (path) => {
    const entries = await readdir(join(mountPoint, path), { withFileTypes: true });
    return entries.map((entry) => `${entry.name}${entry.isDirectory() ? '/' : ''}`).sort();
  };
}

/** @param {string} source @returns {List} */
function listUnmounted(source) {
  return async (path) => {
    const { stdout } = await promisify(execFile)(process.execPath, [program, 'ls', '--json', source, path]);
    const entries = stdout.split('\n').filter((line) => line !== '').map((line) => JSON.parse(line));
    return entries.map(({ name, type }) => `${name}${type === 'dir' ? '/' : ''}`).sort();
  };
}

/** @param {string} source @param {string} mountPoint @param {boolean} isSample */
async function showMounted(source, mountPoint, isSample) {
  console.log(`${source} is mounted on ${mountPoint}:\n`);
  await showTree(listMounted(mountPoint), '', '  ');
  if (isSample) {
    console.log('\nThree things to try, in another terminal:\n');
    console.log(`  cat ${mountPoint}/ct/113/latest/root.pxar/etc/passwd`);
    console.log(`  getfattr -d ${mountPoint}/vm/120/latest    (owner, notes, verification)`);
    console.log(`  mount -o ro,loop ${mountPoint}/vm/120/latest/drive-scsi0.img.parts/p2 /mnt`);
  }
  console.log('\nCtrl-C unmounts.');
}

/** @param {string} source @param {string} why */
async function showUnmounted(source, why) {
  console.log(`Mounting is not possible here: ${why}\nThe same tree without a mount, by pbsfs ls:\n`);
  await showTree(listUnmounted(source), '', '  ');
  console.log('\nTwo things that work all the same:\n');
  console.log(`  node ${program} snapshots SOURCE`);
  console.log(`  node ${program} cat SOURCE ct/113/latest/root.pxar/etc/passwd`);
}

/** @param {string} source @param {string} mountPoint @param {boolean} isSample */
async function mountAndShow(source, mountPoint, isSample) {
  const log = (/** @type {string} */ line) => console.error(`pbsfs: ${line}`);
  const request = mountRequest(source, mountPoint, { keyFiles: [], writable: false, salvage: false, allowOther: false, defaultPermissions: false, foreground: true, flags: [] });
  /** @type {Promise<void> | undefined} */
  let showing;
  const ready = () => {
    showing = showMounted(source, mountPoint, isSample).catch((error) => log(error.message));
  };
  try {
    await serveMount(request, { log, ready });
    await showing;
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && impossible.has(String(error.code)))) throw error;
    await showUnmounted(source, error.message);
  }
}

const [source, mountPoint, ...more] = process.argv.slice(2);
if (source !== undefined && mountPoint !== undefined && more.length === 0) {
  await mountAndShow(source, mountPoint, false);
} else if (source === undefined) {
  const directory = await mkdtemp(join(tmpdir(), 'pbsfs-start-'));
  try {
    const [store, mnt] = [join(directory, 'store'), join(directory, 'mnt')];
    await mkdir(store);
    await mkdir(mnt);
    await extract({ file: sample, cwd: store });
    await mountAndShow(store, mnt, true);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
} else {
  console.error('npm start, or npm start -- SOURCE MOUNTPOINT');
  process.exitCode = 2;
}
