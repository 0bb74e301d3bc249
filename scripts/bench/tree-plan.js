/** Trees to be archived or written to a disk: names, sizes and seeds; the content is made when it is needed. */
import { closeSync, mkdirSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { fillContent, mixedContent, randomNumbers } from './content.js';

/**
 * @typedef {{ readonly kind: 'file', readonly name: string, readonly size: number, readonly content: import('./content.js').Content }} FilePlan
 * @typedef {{ readonly kind: 'directory', readonly name: string, readonly children: readonly TreePlan[] }} DirectoryPlan
 * @typedef {FilePlan | DirectoryPlan} TreePlan
 */

const writeBytesMax = 1 << 20;

/** @param {string} name @param {readonly TreePlan[]} children @returns {DirectoryPlan} */
export function directory(name, children) {
  return { kind: 'directory', name, children: children.toSorted((a, b) => (a.name < b.name ? -1 : 1)) };
}

/** @param {string} name @param {number} size @param {number} seed @returns {FilePlan} */
export function file(name, size, seed) {
  return { kind: 'file', name, size, content: mixedContent(seed) };
}

/**
 * Files of 64 MiB.
 * @param {number} bytes
 */
export function largeFiles(bytes) {
  const size = 64 * 1024 * 1024;
  return directory('', Array.from({ length: Math.ceil(bytes / size) }, (_, i) => file(`large-${numbered(i)}.bin`, size, 1000 + i)));
}

/**
 * Files of 1 to 16 KiB, 200 to a directory.
 * @param {number} count
 */
export function smallFiles(count) {
  const next = randomNumbers(2);
  const perDirectory = 200;
  return directory(
    '',
    Array.from({ length: Math.ceil(count / perDirectory) }, (_, d) =>
      directory(
        `dir-${numbered(d)}`,
        Array.from({ length: Math.min(perDirectory, count - d * perDirectory) }, (_, i) =>
          file(`file-${numbered(i)}.txt`, 1024 + Math.floor(next() * 15 * 1024), 100_000 + d * perDirectory + i),
        ),
      ),
    ),
  );
}

/**
 * One directory of files of 16 bytes.
 * @param {number} count
 */
export function flatDirectory(count) {
  return directory('', [directory('flat', Array.from({ length: count }, (_, i) => file(`entry-${numbered(i)}`, 16, 200_000 + i)))]);
}

/**
 * A tree as that of a system: directories in directories (one of them deep), files from some bytes to some MiB, most of them small.
 * @param {number} bytes
 */
export function systemTree(bytes) {
  const next = randomNumbers(3);
  let rest = bytes;
  let seed = 500_000;
  /** @param {string} name @param {number} depth @returns {DirectoryPlan} */
  function level(name, depth) {
    /** @type {TreePlan[]} */
    const children = [];
    for (let i = 0; i < 30 && rest > 0; i++) {
      const size = Math.floor(2 ** (8 + 13 * next() ** 2));
      rest -= size;
      children.push(file(`file-${numbered(i)}`, size, seed++));
    }
    if (depth < 3) for (let i = 0; i < 3 && rest > 0; i++) children.push(level(`sub-${numbered(i)}`, depth + 1));
    return directory(name, children);
  }
  /** @type {TreePlan[]} */
  const tops = [chain('deep', 60)];
  while (rest > 0) tops.push(level(`top-${numbered(tops.length)}`, 0));
  return directory('', tops);
}

/**
 * Directories within each other, a small file in each.
 * @param {string} name
 * @param {number} depth
 * @returns {DirectoryPlan}
 */
function chain(name, depth) {
  const inner = file('file', 1000 + depth, 400_000 + depth);
  return directory(name, depth === 0 ? [inner] : [inner, chain('down', depth - 1)]);
}

/** @param {TreePlan} plan @returns {{ files: number, directories: number, bytes: number }} */
export function totalsOf(plan) {
  if (plan.kind === 'file') return { files: 1, directories: 0, bytes: plan.size };
  const totals = { files: 0, directories: 1, bytes: 0 };
  for (const child of plan.children.map(totalsOf)) {
    totals.files += child.files;
    totals.directories += child.directories;
    totals.bytes += child.bytes;
  }
  return totals;
}

/**
 * Makes the tree in a directory that does not exist yet.
 * @param {string} path
 * @param {TreePlan} plan
 */
export function writeTree(path, plan) {
  if (plan.kind === 'directory') {
    mkdirSync(path);
    for (const child of plan.children) writeTree(join(path, child.name), child);
    return;
  }
  const descriptor = openSync(path, 'wx');
  for (let offset = 0; offset < plan.size; offset += writeBytesMax) {
    const piece = Buffer.allocUnsafe(Math.min(writeBytesMax, plan.size - offset));
    fillContent(piece, plan.content, offset);
    writeSync(descriptor, piece);
  }
  closeSync(descriptor);
}

/** @param {number} i */
function numbered(i) {
  return String(i).padStart(6, '0');
}
