/**
 * A file system in memory with everything that a backup can hold. Plain JavaScript that needs nothing else, so that tests, the
 * benchmark and programs that are started only to be killed can use the same one.
 *
 * @typedef {import('../../src/vfs/file-system.js').FileSystem} FileSystem
 * @typedef {import('../../src/vfs/file-system.js').Attributes} Attributes
 * @typedef {import('../../src/vfs/file-system.js').Entry} Entry
 * @typedef {import('../../src/vfs/file-system.js').DirectoryEntry} DirectoryEntry
 * @typedef {import('../../src/vfs/file-system.js').Directory} Directory
 * @typedef {import('../../src/vfs/file-system.js').OpenFile} OpenFile
 * @typedef {import('../../src/vfs/file-system.js').InodeFlags} InodeFlags
 * @typedef {import('../../src/vfs/file-system.js').Caching} Caching
 *
 * @typedef {object} Content
 * @property {number} size
 * @property {readonly { start: number, end: number }[]} data What is no hole, ascending.
 * @property {(offset: number, length: number) => readonly Uint8Array[]} read Inside the size.
 *
 * @typedef {object} Node
 * @property {Attributes} attributes
 * @property {Caching} caching
 * @property {DirectoryEntry[]} entries
 * @property {Map<string, number>} names By their bytes as latin1.
 * @property {Content} content
 * @property {Buffer} target
 * @property {Map<string, Buffer>} xattrs
 * @property {InodeFlags} flags
 *
 * @typedef {object} Extras
 * @property {Caching} [caching]
 * @property {Content} [content]
 * @property {Buffer} [target]
 * @property {Record<string, Buffer>} [xattrs]
 * @property {Partial<InodeFlags>} [flags]
 *
 * @typedef {Partial<Attributes> & Extras} NodeOptions
 */

import { Buffer } from 'node:buffer';

const formatMask = 0o170000;
export const directoryType = 0o040000;
export const fileType = 0o100000;
export const linkType = 0o120000;

const patternBytes = 8 * 1024 * 1024;
/** @type {Buffer | undefined} */
let patternCache;

/** Bytes that differ from offset to offset and are the same in every process. */
function pattern() {
  if (patternCache !== undefined) return patternCache;
  patternCache = Buffer.allocUnsafeSlow(patternBytes);
  for (let at = 0, state = 1; at < patternBytes; at += 4) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    patternCache.writeUInt32LE(state, at);
  }
  return patternCache;
}

/**
 * @param {Uint8Array} bytes
 * @returns {Content}
 */
export function bytesContent(bytes) {
  return {
    size: bytes.length,
    data: bytes.length > 0 ? [{ start: 0, end: bytes.length }] : [],
    read: (offset, length) => [bytes.subarray(offset, offset + length)],
  };
}

/**
 * A file of any size without holes.
 * @param {number} size
 * @returns {Content}
 */
export function patternContent(size) {
  return { size, data: size > 0 ? [{ start: 0, end: size }] : [], read: (offset, length) => patternPieces(offset, length) };
}

/**
 * @param {number} offset
 * @param {number} length
 */
export function patternPieces(offset, length) {
  const source = pattern();
  const pieces = [];
  for (let at = offset, left = length; left > 0;) {
    const piece = source.subarray(at % patternBytes, Math.min((at % patternBytes) + left, patternBytes));
    pieces.push(piece);
    at += piece.length;
    left -= piece.length;
  }
  return pieces;
}

/**
 * The pattern in the given ranges, holes elsewhere.
 * @param {number} size
 * @param {readonly { start: number, end: number }[]} data
 * @returns {Content}
 */
export function sparseContent(size, data) {
  return {
    size,
    data,
    read(offset, length) {
      const bytes = Buffer.alloc(length);
      for (const { start, end } of data) {
        const from = Math.max(start, offset);
        const to = Math.min(end, offset + length);
        if (from < to) Buffer.concat(patternPieces(from, to - from)).copy(bytes, from - offset);
      }
      return [bytes];
    },
  };
}

/** @param {string} code @param {number} errno */
function systemError(code, errno) {
  return Object.assign(new Error(code), { code, errno: -errno });
}

const time = { sec: 1_700_000_000, nsec: 123_456_789 };
const noFlags = { flags: 0, projectId: 0, fatAttributes: 0 };

/** @implements {FileSystem} */
export class MemoryFileSystem {
  root = 1;
  /** Of every entry. */
  ttlMs = 3_600_000;
  /** Attributes in listings; without them the kernel looks each name up. */
  plus = true;
  openFiles = 0;
  openDirectories = 0;
  /**
   * Called before each operation; the operation waits for a promise it returns and fails with what it throws.
   * @type {(operation: string, ino: number) => void | Promise<void>}
   */
  before = () => undefined;
  /** @type {Map<number, Node>} */
  #nodes = new Map();
  #lastIno = 1;

  /** @param {{ root?: number, rootOptions?: NodeOptions }} [options] */
  constructor({ root = 1, rootOptions = {} } = {}) {
    this.root = root;
    this.#lastIno = root;
    this.#nodes.set(root, this.#node(root, directoryType | 0o755, { nlink: 2, ...rootOptions }));
  }

  /**
   * @param {number} parent
   * @param {string | Buffer} name
   * @param {number} mode Type and permissions.
   * @param {NodeOptions} [options]
   * @returns {number} its inode number
   */
  add(parent, name, mode, options = {}) {
    const ino = options.ino ?? this.#lastIno + 1;
    this.#lastIno = Math.max(ino, this.#lastIno);
    const node = this.#node(ino, mode, options);
    this.#nodes.set(ino, node);
    this.link(parent, name, ino);
    return ino;
  }

  /** @param {number} parent @param {string | Buffer} name @param {NodeOptions} [options] */
  directory(parent, name, options = {}) {
    return this.add(parent, name, directoryType | 0o755, { nlink: 2, ...options });
  }

  /**
   * @param {number} parent
   * @param {string | Buffer} name
   * @param {Content | Uint8Array | string} content
   * @param {NodeOptions} [options]
   */
  file(parent, name, content, options = {}) {
    const bytes = typeof content === 'string' ? Buffer.from(content) : content;
    return this.add(parent, name, fileType | 0o644, {
      ...options,
      content: bytes instanceof Uint8Array ? bytesContent(bytes) : bytes,
    });
  }

  /** One more name for an inode. @param {number} parent @param {string | Buffer} name @param {number} ino */
  link(parent, name, ino) {
    const directory = this.#get(parent);
    const node = this.#get(ino);
    const bytes = Buffer.from(name);
    directory.names.set(bytes.toString('latin1'), ino);
    directory.entries.push({ name: bytes, ino, type: node.attributes.mode & formatMask, entry: this.#entry(node) });
  }

  /** @param {number} parent @param {string | Buffer} name */
  unlink(parent, name) {
    const directory = this.#get(parent);
    directory.names.delete(Buffer.from(name).toString('latin1'));
    directory.entries = directory.entries.filter((entry) => !entry.name.equals(Buffer.from(name)));
  }

  /** Changes a file in place. @param {number} ino @param {Content} content */
  replace(ino, content) {
    const node = this.#get(ino);
    node.content = content;
    node.attributes = { ...node.attributes, size: content.size };
  }

  /** @param {number} parent @param {Buffer} name */
  lookup(parent, name) {
    return this.#run('lookup', parent, (node) => {
      const ino = node.names.get(name.toString('latin1'));
      return ino === undefined ? undefined : this.#entry(this.#get(ino));
    });
  }

  /** @param {number} ino */
  getattr(ino) {
    return this.#run('getattr', ino, (node) => this.#entry(node));
  }

  /** @param {number} ino */
  readlink(ino) {
    return this.#run('readlink', ino, (node) => node.target);
  }

  /** @param {number} ino */
  openDirectory(ino) {
    return this.#run('openDirectory', ino, (node) => {
      this.openDirectories += 1;
      const entries = this.plus ? node.entries : node.entries.map(({ entry: _, ...rest }) => rest);
      return {
        caching: node.caching,
        read: (/** @type {number} */ index, /** @type {number} */ count) =>
          this.#run('readDirectory', ino, () => entries.slice(index, index + count)),
        close: () => {
          this.openDirectories -= 1;
        },
      };
    });
  }

  /** @param {number} ino */
  open(ino) {
    return this.#run('open', ino, (node) => {
      this.openFiles += 1;
      return this.#openFile(node);
    });
  }

  /** @param {number} ino */
  listxattr(ino) {
    return this.#run('listxattr', ino, (node) => [...node.xattrs.keys()].map((name) => Buffer.from(name, 'latin1')));
  }

  /** @param {number} ino @param {Buffer} name */
  getxattr(ino, name) {
    return this.#run('getxattr', ino, (node) => node.xattrs.get(name.toString('latin1')));
  }

  /** @param {number} ino */
  inodeFlags(ino) {
    return this.#run('inodeFlags', ino, (node) => node.flags);
  }

  statfs() {
    return this.#run('statfs', this.root, () => ({
      blockSize: 4096,
      blocks: 2 ** 33,
      blocksFree: 5,
      files: this.#nodes.size,
      nameLengthMax: 255,
    }));
  }

  /**
   * @template T
   * @param {string} operation
   * @param {number} ino
   * @param {(node: Node) => T} use
   * @returns {T | Promise<T>}
   */
  #run(operation, ino, use) {
    const wait = this.before(operation, ino);
    return wait instanceof Promise ? wait.then(() => use(this.#get(ino))) : use(this.#get(ino));
  }

  /** @param {number} ino */
  #get(ino) {
    const node = this.#nodes.get(ino);
    if (node === undefined) throw systemError('ENOENT', 2);
    return node;
  }

  /** @param {Node} node @returns {Entry} */
  #entry(node) {
    return { attributes: node.attributes, ttlMs: this.ttlMs };
  }

  /** @param {number} ino @param {number} mode @param {NodeOptions} options @returns {Node} */
  #node(ino, mode, options) {
    const {
      caching = 'immutable',
      content = bytesContent(new Uint8Array(0)),
      target = Buffer.alloc(0),
      xattrs = {},
      flags,
      ...given
    } = options;
    const size = (mode & formatMask) === linkType ? target.length : content.size;
    const allocated = content.data.reduce((sum, { start, end }) => sum + end - start, 0);
    return {
      attributes: {
        ...{ ino, mode, nlink: 1, uid: 0, gid: 0, rdevMajor: 0, rdevMinor: 0, size, blocks: Math.ceil(allocated / 512) },
        ...{ atime: time, mtime: time, ctime: time },
        ...given,
      },
      ...{ caching, content, target, entries: [], names: new Map(), flags: { ...noFlags, ...flags } },
      xattrs: new Map(Object.entries(xattrs)),
    };
  }

  /** @param {Node} node @returns {OpenFile} */
  #openFile(node) {
    return {
      caching: node.caching,
      read: (offset, length) =>
        this.#run('read', node.attributes.ino, ({ content }) => {
          const end = Math.min(offset + length, content.size);
          return end > offset ? content.read(offset, end - offset) : [];
        }),
      seek: (offset, what) => this.#run('seek', node.attributes.ino, ({ content }) => seek(content, offset, what)),
      close: () => {
        this.openFiles -= 1;
      },
    };
  }
}

/** @param {Content} content @param {number} offset @param {'data' | 'hole'} what */
function seek({ data, size }, offset, what) {
  const range = data.find(({ end }) => end > offset);
  if (offset >= size || (what === 'data' && range === undefined)) throw systemError('ENXIO', 6);
  if (range === undefined) return offset;
  if (what === 'data') return Math.max(range.start, offset);
  return range.start > offset ? offset : range.end;
}
