/** Backups and restores by the program's own commands. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, ftruncateSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { fillContent, mixedContent, randomNumbers } from './content.js';
import { secondsOf } from './measure.js';
import { program } from './mount.js';
import { imageChunkBytes } from './store-maker.js';

const lookMs = 20;

/** @param {readonly string[]} args of the program */
const shellOf = (args) => [process.execPath, program, ...args].map((arg) => `'${arg}'`).join(' ');

/** Makes a datastore in a directory that is not there. Gives its path. @param {string} path */
export async function newDatastore(path) {
  await secondsOf(`${shellOf(['init', path])} > /dev/null`);
  return path;
}

/**
 * Seconds of one backup.
 * @param {string} store
 * @param {{ group?: string, time: number, specs: readonly string[], options?: readonly string[] }} what
 */
export function backUp(store, { group = 'host/bench', time, specs, options = [] }) {
  return secondsOf(`${shellOf(backupArgs(store, group, time, specs, options))} > /dev/null`);
}

/** @param {string} store @param {string} group @param {number} time @param {readonly string[]} specs @param {readonly string[]} options */
function backupArgs(store, group, time, specs, options) {
  const [type = '', id = ''] = group.split('/');
  return ['backup', '--store', store, '--type', type, '--id', id, '--time', String(time), ...options, ...specs];
}

/**
 * Seconds of a backup into a datastore that is made for it and goes afterwards.
 * @param {string} path where there is none
 * @param {Parameters<typeof backUp>[1]} what
 */
export async function backUpAnew(path, what) {
  await newDatastore(path);
  try {
    return await backUp(path, what);
  } finally {
    rmSync(path, { recursive: true });
  }
}

/** Most bytes of memory of one backup. @param {string} store @param {Parameters<typeof backUp>[1]} what */
export async function peakMemory(store, { group = 'host/bench', time, specs, options = [] }) {
  const child = spawn(process.execPath, [program, ...backupArgs(store, group, time, specs, options)], { stdio: 'ignore' });
  const end = once(child, 'exit');
  let peak = 0;
  while (child.exitCode === null) {
    peak = Math.max(peak, highWaterMark(child.pid));
    await Promise.race([end, delay(lookMs)]);
  }
  if (child.exitCode !== 0) throw new Error(`a backup ended with status ${child.exitCode}`);
  return peak;
}

/** @param {number | undefined} pid */
function highWaterMark(pid) {
  try {
    return Number(/^VmHWM:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) * 1024;
  } catch {
    return 0;
  }
}

/**
 * Seconds of restoring an image to a new file, which goes afterwards.
 * @param {string} store @param {string} snapshot @param {string} name @param {string} target
 */
export async function restoreImage(store, snapshot, name, target) {
  try {
    return await secondsOf(`${shellOf(['restore', '--store', store, snapshot, name, target])} > /dev/null`);
  } finally {
    rmSync(target, { force: true });
  }
}

/**
 * The same content as the images of store-maker.js, zeros as holes.
 * @param {string} path
 * @param {number} size
 * @param {{ zeros?: number, seed?: number }} [options]
 */
export function writeImageFile(path, size, { zeros = 0.4, seed = 1 } = {}) {
  const next = randomNumbers(seed);
  const chunk = Buffer.alloc(imageChunkBytes);
  const descriptor = openSync(path, 'w');
  ftruncateSync(descriptor, size);
  for (let i = 0; i * imageChunkBytes < size; i++) {
    if (next() >= zeros) writeSync(descriptor, filled(chunk, seed * 1_000_003 + i), 0, Math.min(imageChunkBytes, size - i * imageChunkBytes), i * imageChunkBytes);
  }
  closeSync(descriptor);
}

/**
 * Gives chunks of an image other content, and where they are.
 * @param {string} path
 * @param {number} chunks how many
 * @param {number} every one out of so many
 * @param {number} seed
 */
export function changeImageFile(path, chunks, every, seed) {
  const chunk = Buffer.alloc(imageChunkBytes);
  const descriptor = openSync(path, 'r+');
  const ranges = Array.from({ length: chunks }, (_, i) => ({ start: i * every * imageChunkBytes, length: imageChunkBytes }));
  for (const [i, { start }] of ranges.entries()) writeSync(descriptor, filled(chunk, seed * 7_000_003 + i), 0, imageChunkBytes, start);
  closeSync(descriptor);
  return ranges;
}

/** @param {Buffer} chunk @param {number} seed */
function filled(chunk, seed) {
  fillContent(chunk, mixedContent(seed));
  return chunk;
}
