/** Copies a part of a file system into memory, so that the kernel driver can be measured without anything behind it. */
import { MemoryFileSystem } from '../../test/support/memory-file-system.js';

/**
 * @typedef {import('../../dist/vfs/file-system.js').FileSystem} FileSystem
 * @typedef {import('../../dist/vfs/file-system.js').Attributes} Attributes
 * @typedef {import('../../test/support/memory-file-system.js').Content} Content
 */

const blockBytes = 4 * 1024 * 1024;
const entriesAtOnce = 4096;
const typeMask = 0o170000;
const directoryType = 0o040000;
const zeros = Buffer.alloc(blockBytes);

/**
 * @param {FileSystem} fileSystem
 * @param {string} path of a file, which becomes the only one of the copy, or of a directory, which becomes its root
 */
export async function memoryCopy(fileSystem, path) {
  const copy = new MemoryFileSystem();
  const attributes = await attributesAt(fileSystem, path);
  if ((attributes.mode & typeMask) === directoryType) await copyDirectory(fileSystem, attributes.ino, copy, copy.root);
  else copy.file(copy.root, path.slice(path.lastIndexOf('/') + 1), await contentOf(fileSystem, attributes));
  return copy;
}

/** @param {FileSystem} fileSystem @param {string} path */
async function attributesAt(fileSystem, path) {
  let ino = fileSystem.root;
  for (const name of path.split('/')) {
    const entry = await fileSystem.lookup(ino, Buffer.from(name));
    if (entry === undefined) throw new Error(`${name} of ${path} is not in the tree`);
    ino = entry.attributes.ino;
  }
  return (await fileSystem.getattr(ino)).attributes;
}

/** @param {FileSystem} fileSystem @param {number} from @param {MemoryFileSystem} copy @param {number} to */
async function copyDirectory(fileSystem, from, copy, to) {
  const directory = await fileSystem.openDirectory(from);
  for (let index = 0; ; ) {
    const entries = await directory.read(index, entriesAtOnce);
    if (entries.length === 0) break;
    index += entries.length;
    for (const { name, ino } of entries) {
      const { attributes } = await fileSystem.getattr(ino);
      const { mode, mtime, blocks } = attributes;
      if ((mode & typeMask) === directoryType) await copyDirectory(fileSystem, ino, copy, copy.directory(to, name, { mtime }));
      else copy.add(to, name, mode, { mtime, blocks, content: await contentOf(fileSystem, attributes) });
    }
  }
  directory.close();
}

/** @param {FileSystem} fileSystem @param {Attributes} attributes @returns {Promise<Content>} */
async function contentOf(fileSystem, { ino, size }) {
  const file = await fileSystem.open(ino);
  /** @type {Buffer[]} */
  const blocks = [];
  for (let offset = 0; offset < size; offset += blockBytes) {
    const block = Buffer.concat(await file.read(offset, blockBytes));
    blocks.push(block.equals(zeros) ? zeros : block);
  }
  file.close();
  return { size, data: [{ start: 0, end: size }], read: (offset, length) => pieces(blocks, offset, length) };
}

/** @param {readonly Buffer[]} blocks @param {number} offset @param {number} length */
function pieces(blocks, offset, length) {
  const found = [];
  for (let at = offset; at < offset + length; ) {
    const within = at % blockBytes;
    const piece = blocks[(at - within) / blockBytes]?.subarray(within, within + offset + length - at) ?? zeros;
    found.push(piece);
    at += piece.length;
  }
  return found;
}
