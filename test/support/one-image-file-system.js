/**
 * A writable file system with one staged image, `disk.img`, and one of a snapshot, `source.img`, that can be copied into it.
 *
 * @typedef {import('../../src/vfs/writable-file-system.js').WritableFileSystem} WritableFileSystem
 * @typedef {import('../../src/vfs/writable-file-system.js').WriteOperations} WriteOperations
 * @typedef {import('../../src/vfs/file-system.js').OpenFile} OpenFile
 * @typedef {import('../../src/vfs/file-system.js').Entry} Entry
 * @typedef {import('../../src/tree/staging/image-file.js').StagedImage} StagedImage
 * @typedef {import('../../src/tree/staging/image-file.js').ClonableImage} ClonableImage
 */
import { Buffer } from 'node:buffer';
import process from 'node:process';

const root = 1;
const diskIno = 2;
const sourceIno = 3;

/** @param {string} code */
const refuse = (code, errno = -30) => {
  throw Object.assign(new Error(code), { code, errno });
};
const readOnly = () => refuse('EROFS');

/**
 * @param {StagedImage} image
 * @param {ClonableImage | undefined} source
 * @returns {WritableFileSystem}
 */
export function oneImageFileSystem(image, source) {
  const owner = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0, rdevMajor: 0, rdevMinor: 0 };
  let mtime = now();
  /** @type {WeakMap<OpenFile, ClonableImage>} */
  const sources = new WeakMap();
  /** @param {number} ino @returns {Entry} */
  const entryOf = (ino) => {
    const size = ino === diskIno ? image.size : ino === sourceIno ? (source?.index.size ?? 0) : 0;
    const blocks = Math.ceil((ino === diskIno ? image.allocatedBytes : size) / 512);
    const mode = ino === root ? 0o40755 : ino === diskIno ? 0o100600 : 0o100400;
    return { attributes: { ino, mode, nlink: 1, size, blocks, atime: mtime, mtime, ctime: mtime, ...owner }, ttlMs: 1000 };
  };
  const names = new Map([['disk.img', diskIno], ...(source === undefined ? [] : [/** @type {[string, number]} */ (['source.img', sourceIno])])]);
  /** @type {Pick<WriteOperations, 'setAttributes' | 'open' | 'copyRange' | 'sync' | 'forget'>} */
  const changes = {
    async setAttributes(ino, { size, mtime: time }) {
      if (ino !== diskIno) readOnly();
      if (size !== undefined) await image.truncate(size);
      mtime = time === undefined || time === 'now' ? now() : time;
      return entryOf(ino);
    },
    async open(ino, { truncate }) {
      if (ino !== diskIno) readOnly();
      if (truncate) await image.truncate(0);
      mtime = now();
      return image.openToWrite();
    },
    copyRange({ source: from, sourceOffset, targetOffset, length }) {
      const clonable = sources.get(from);
      if (clonable === undefined) return refuse('EOPNOTSUPP', -95);
      return image.cloneRange(clonable, sourceOffset, targetOffset, length);
    },
    sync: () => image.sync(),
    forget: () => undefined,
  };
  const writing = /** @type {WriteOperations} */ (
    new Proxy(changes, { get: (target, name) => (name in target ? target[/** @type {keyof typeof changes} */ (name)] : readOnly) })
  );
  return {
    root,
    writing,
    lookup: (_parent, name) => {
      const ino = names.get(name.toString());
      return ino === undefined ? undefined : entryOf(ino);
    },
    getattr: entryOf,
    readlink: () => refuse('EINVAL', -22),
    openDirectory: () => ({
      caching: 'exclusive',
      read: (index) => [...names].slice(index).map(([name, ino]) => ({ name: Buffer.from(name), ino, type: 0o100000 })),
      close: () => undefined,
    }),
    open: (ino) => {
      if (ino === diskIno || source === undefined) return image.openToRead();
      /** @type {OpenFile} */
      const file = {
        caching: 'immutable',
        read: (offset, length) => source.readAt(offset, Math.max(Math.min(length, source.index.size - offset), 0)),
        seek: (offset, what) => (what === 'data' ? offset : source.index.size),
        close: () => undefined,
      };
      sources.set(file, source);
      return file;
    },
    listxattr: () => [],
    getxattr: () => undefined,
    inodeFlags: () => ({ flags: 0, projectId: 0, fatAttributes: 0 }),
    statfs: () => ({ blockSize: 4096, blocks: 1 << 28, blocksFree: 1 << 27, files: 3, nameLengthMax: 255 }),
  };
}

function now() {
  const ms = Date.now();
  return { sec: Math.floor(ms / 1000), nsec: (ms % 1000) * 1_000_000 };
}
