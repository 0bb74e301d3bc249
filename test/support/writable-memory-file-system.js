/**
 * A file system in memory that can be written: what src/vfs/writable-file-system.ts asks for, as shortly as it can be said. Tests of a
 * driver mount it, and whoever writes another file system may look up here what is meant.
 *
 * @typedef {import('../../src/vfs/file-system.js').Attributes} Attributes
 * @typedef {import('../../src/vfs/file-system.js').Directory} Directory
 * @typedef {import('../../src/vfs/file-system.js').DirectoryEntry} DirectoryEntry
 * @typedef {import('../../src/vfs/file-system.js').Entry} Entry
 * @typedef {import('../../src/vfs/file-system.js').OpenFile} OpenFile
 * @typedef {import('../../src/vfs/file-system.js').Timestamp} Timestamp
 * @typedef {import('../../src/vfs/writable-file-system.js').WritableFile} WritableFile
 * @typedef {import('../../src/vfs/writable-file-system.js').WritableFileSystem} WritableFileSystem
 * @typedef {import('../../src/vfs/writable-file-system.js').WriteOperations} WriteOperations
 * @typedef {import('../../src/vfs/writable-file-system.js').NewNode} NewNode
 * @typedef {import('../../src/vfs/writable-file-system.js').NewSpecialFile} NewSpecialFile
 * @typedef {import('../../src/vfs/writable-file-system.js').NewFile} NewFile
 * @typedef {import('../../src/vfs/writable-file-system.js').Place} Place
 * @typedef {import('../../src/vfs/writable-file-system.js').RenameMode} RenameMode
 * @typedef {import('../../src/vfs/writable-file-system.js').AttributeChanges} AttributeChanges
 * @typedef {import('../../src/vfs/writable-file-system.js').NewXattr} NewXattr
 * @typedef {import('../../src/vfs/writable-file-system.js').Allocation} Allocation
 * @typedef {import('../../src/vfs/writable-file-system.js').CopiedRange} CopiedRange
 * @typedef {import('../../src/vfs/writable-file-system.js').InodeFlagChanges} InodeFlagChanges
 *
 * @typedef {object} Node
 * @property {Attributes} attributes Without size, blocks of files and nlink of directories, which follow from the rest.
 * @property {PagedContent} content
 * @property {Map<string, number>} names Of a directory, by their bytes as latin1.
 * @property {number} subdirectories How many of the names are directories.
 * @property {number} parent Of a directory.
 * @property {Buffer} target
 * @property {Map<string, Buffer>} xattrs By their bytes as latin1.
 * @property {{ flags: number, projectId: number, fatAttributes: number }} flags
 * @property {number} opened How often it is open.
 * @property {boolean} forgotten
 */
import { Buffer } from 'node:buffer';
import { constants } from 'node:os';
import { performance } from 'node:perf_hooks';
import { URL } from 'node:url';
import { PagedContent, pageBytes } from './paged-content.js';

/** @param {string} name */
const built = (name) => import(new URL(`../../dist/vfs/${name}.js`, import.meta.url).href);
const { newNodeOwnership } = /** @type {typeof import('../../src/vfs/new-node.js')} */ (await built('new-node'));
const { aclWithMode, isAclName, isMinimalAcl, modeWithAcl } = /** @type {typeof import('../../src/vfs/posix-acl.js')} */ (
  await built('posix-acl')
);
const { withoutPrivileges } = /** @type {typeof import('../../src/vfs/writable-file-system.js')} */ (
  await built('writable-file-system')
);

const formatMask = 0o170000;
const directoryType = 0o040000;
const fileType = 0o100000;
const linkType = 0o120000;
const linksMax = 65_000;
const accessAcl = 'system.posix_acl_access';
const defaultAcl = 'system.posix_acl_default';
const capability = 'security.capability';

/** @param {keyof typeof constants.errno} code @returns {never} */
function refuse(code) {
  throw Object.assign(new Error(code), { code, errno: -constants.errno[code] });
}

/** @returns {Timestamp} */
function now() {
  const ms = performance.timeOrigin + performance.now();
  return { sec: Math.floor(ms / 1000), nsec: Math.floor((ms % 1000) * 1e6) };
}

/** @param {Node} node */
const typeOf = (node) => node.attributes.mode & formatMask;
/** @param {Buffer} name */
const key = (name) => name.toString('latin1');

/** @implements {WritableFileSystem} */
export class WritableMemoryFileSystem {
  root = 1;
  ttlMs = 3_600_000;
  openFiles = 0;
  openDirectories = 0;
  /** Of inodes that there were none of any more. */
  strayForgets = 0;
  /** What may be written before ENOSPC, in pages. */
  pagesMax = 4 * 2 ** 20;
  /**
   * Called before each operation; the operation waits for a promise it returns and fails with what it throws.
   * @type {(operation: string, ino: number) => void | Promise<void>}
   */
  before = () => undefined;
  /** @type {Map<number, Node>} */
  #nodes = new Map();
  #lastIno = 1;
  #pages = 0;

  /** @param {{ owner?: number }} [options] Of the root. */
  constructor({ owner = 0 } = {}) {
    this.#nodes.set(1, this.#node(1, { mode: directoryType | 0o755, uid: owner, gid: owner }));
  }

  get inodes() {
    return this.#nodes.size;
  }

  /** @type {WriteOperations} */
  writing = {
    create: (parent, name, file) => this.#run('create', parent, (directory) => this.#create(directory, name, file)),
    createUnnamed: (parent, file) =>
      this.#run('createUnnamed', parent, (directory) => {
        const node = this.#new(directory, fileType, file);
        node.attributes = { ...node.attributes, nlink: 0 };
        return { entry: this.#entry(node), file: this.#openFile(node) };
      }),
    makeDirectory: (parent, name, asked) =>
      this.#run('makeDirectory', parent, (directory) => {
        this.#checkFree(directory, name);
        const node = this.#new(directory, directoryType, asked);
        node.parent = parent;
        return this.#add(directory, name, node);
      }),
    makeSpecialFile: (parent, name, asked) =>
      this.#run('makeSpecialFile', parent, (directory) => {
        this.#checkFree(directory, name);
        const node = this.#new(directory, asked.type, asked);
        const { rdevMajor, rdevMinor } = asked;
        node.attributes = { ...node.attributes, rdevMajor, rdevMinor };
        return this.#add(directory, name, node);
      }),
    makeSymbolicLink: (parent, name, target, caller) =>
      this.#run('makeSymbolicLink', parent, (directory) => {
        this.#checkFree(directory, name);
        const node = this.#new(directory, linkType, { mode: 0o777, umask: 0, caller });
        node.target = target;
        return this.#add(directory, name, node);
      }),
    link: (ino, parent, name) =>
      this.#run('link', parent, (directory) => {
        const node = this.#get(ino);
        this.#checkFree(directory, name);
        if (node.attributes.nlink >= linksMax) refuse('EMLINK');
        this.#changed(node, { nlink: node.attributes.nlink + 1 });
        return this.#add(directory, name, node);
      }),
    unlink: (parent, name) =>
      this.#run('unlink', parent, (directory) => {
        const node = this.#named(directory, name);
        if (typeOf(node) === directoryType) refuse('EISDIR');
        this.#remove(directory, name, node);
      }),
    removeDirectory: (parent, name) =>
      this.#run('removeDirectory', parent, (directory) => {
        const node = this.#named(directory, name);
        if (typeOf(node) !== directoryType) refuse('ENOTDIR');
        if (node.names.size > 0) refuse('ENOTEMPTY');
        this.#remove(directory, name, node);
      }),
    rename: (from, to, mode) => this.#run('rename', from.parent, () => this.#rename(from, to, mode)),
    setAttributes: (ino, changes) => this.#run('setAttributes', ino, (node) => this.#setAttributes(node, changes)),
    setxattr: (ino, xattr) => this.#run('setxattr', ino, (node) => this.#setxattr(node, xattr)),
    removexattr: (ino, name) =>
      this.#run('removexattr', ino, (node) => {
        if (!node.xattrs.delete(key(name)) && !isAclName(name)) refuse('ENODATA');
        this.#changed(node);
      }),
    setInodeFlags: (ino, { set, clear, projectId }) =>
      this.#run('setInodeFlags', ino, (node) => {
        const { flags } = node;
        node.flags = { ...flags, flags: ((flags.flags & ~clear) | set) >>> 0, projectId: projectId ?? flags.projectId };
        this.#changed(node);
      }),
    open: (ino, { truncate, killPrivileges }) =>
      this.#run('openForWriting', ino, (node) => {
        if (truncate) this.#setAttributes(node, { size: 0, killPrivileges });
        return this.#openFile(node);
      }),
    copyRange: ({ source, sourceOffset, target, targetOffset, length }, options) =>
      this.#run('copyRange', this.root, async () => {
        const bytes = Buffer.concat([...(await source.read(sourceOffset, length))]);
        return bytes.length === 0 ? 0 : target.write(targetOffset, bytes, options);
      }),
    sync: (ino) => this.#run('sync', ino, () => undefined),
    forget: (ino) => {
      const node = this.#nodes.get(ino);
      if (node === undefined) {
        this.strayForgets += 1;
        return;
      }
      node.forgotten = true;
      this.#reap(node);
    },
  };

  /** All names there are. @returns {[parent: number, name: Buffer][]} */
  names() {
    return [...this.#nodes].flatMap(([ino, { names }]) =>
      [...names.keys()].map((name) => /** @type {[number, Buffer]} */ ([ino, Buffer.from(name, 'latin1')])),
    );
  }

  /** @param {number} parent @param {Buffer} name */
  lookup(parent, name) {
    return this.#run('lookup', parent, (directory) => {
      const ino = directory.names.get(key(name));
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
      /** @type {string[]} */
      let names = [];
      /** @type {Directory} */
      const directory = {
        caching: 'exclusive',
        read: (index, count) =>
          this.#run('readDirectory', ino, () => {
            if (index === 0) names = [...node.names.keys()];
            return names.slice(index, index + count).map((name) => this.#listed(node, name));
          }),
        close: () => {
          this.openDirectories -= 1;
        },
      };
      return directory;
    });
  }

  /** @param {number} ino @returns {OpenFile | Promise<OpenFile>} */
  open(ino) {
    return this.#run('open', ino, (node) => {
      const file = this.#openFile(node);
      return {
        caching: file.caching,
        read: (...range) => file.read(...range),
        seek: (...from) => file.seek(...from),
        close: () => file.close(),
      };
    });
  }

  /** @param {number} ino */
  listxattr(ino) {
    return this.#run('listxattr', ino, ({ xattrs }) => [...xattrs.keys()].map((name) => Buffer.from(name, 'latin1')));
  }

  /** @param {number} ino @param {Buffer} name */
  getxattr(ino, name) {
    return this.#run('getxattr', ino, ({ xattrs }) => xattrs.get(key(name)));
  }

  /** @param {number} ino */
  inodeFlags(ino) {
    return this.#run('inodeFlags', ino, ({ flags }) => flags);
  }

  statfs() {
    const free = Math.max(this.pagesMax - this.#pages, 0);
    return {
      ...{ blockSize: pageBytes, blocks: this.pagesMax, blocksFree: free, blocksAvailable: free },
      ...{ files: 2 ** 31, filesFree: 2 ** 31 - this.#nodes.size, nameLengthMax: 255 },
    };
  }

  /**
   * @template T
   * @param {string} operation
   * @param {number} ino
   * @param {(node: Node) => T} use
   * @returns {T | Promise<Awaited<T>>}
   */
  #run(operation, ino, use) {
    const wait = this.before(operation, ino);
    if (!(wait instanceof Promise)) return use(this.#get(ino));
    return /** @type {Promise<Awaited<T>>} */ (wait.then(() => use(this.#get(ino))));
  }

  /** @param {number} ino */
  #get(ino) {
    return this.#nodes.get(ino) ?? refuse('ENOENT');
  }

  /** @param {Node} directory @param {Buffer} name */
  #named(directory, name) {
    return this.#get(directory.names.get(key(name)) ?? refuse('ENOENT'));
  }

  /** @param {Node} directory @param {Buffer} name */
  #checkFree(directory, name) {
    // A directory that was removed while somebody is in it.
    if (directory.attributes.nlink === 0) refuse('ENOENT');
    if (directory.names.has(key(name))) refuse('EEXIST');
  }

  /** @param {Node} node @returns {Entry} */
  #entry(node) {
    node.forgotten = false;
    const directory = typeOf(node) === directoryType;
    const size = directory ? node.names.size * 32 : typeOf(node) === linkType ? node.target.length : node.content.size;
    const nlink = directory && node.attributes.nlink > 0 ? 2 + node.subdirectories : node.attributes.nlink;
    const blocks = node.content.pages * (pageBytes / 512);
    return { attributes: { ...node.attributes, size, blocks, nlink }, ttlMs: this.ttlMs };
  }

  /** @param {Node} directory @param {string} name As latin1. @returns {DirectoryEntry} */
  #listed(directory, name) {
    const bytes = Buffer.from(name, 'latin1');
    const node = this.#nodes.get(directory.names.get(name) ?? 0);
    // Gone since the directory was opened: a caller that looks it up is told so.
    if (node === undefined) return { name: bytes, ino: this.#lastIno + 1, type: fileType };
    return { name: bytes, ino: node.attributes.ino, type: typeOf(node), entry: this.#entry(node) };
  }

  /** @param {number} ino @param {{ mode: number, uid: number, gid: number }} ownership @returns {Node} */
  #node(ino, { mode, uid, gid }) {
    const time = now();
    return {
      attributes: {
        ...{ ino, mode, uid, gid, nlink: 1, rdevMajor: 0, rdevMinor: 0, size: 0, blocks: 0 },
        ...{ atime: time, mtime: time, ctime: time },
      },
      ...{
        content: new PagedContent(),
        names: new Map(),
        subdirectories: 0,
        parent: ino,
        target: Buffer.alloc(0),
        xattrs: new Map(),
      },
      ...{ flags: { flags: 0, projectId: 0, fatAttributes: 0 }, opened: 0, forgotten: false },
    };
  }

  /** @param {Node} directory @param {number} type @param {NewNode} asked */
  #new(directory, type, asked) {
    const parent = { attributes: directory.attributes, defaultAcl: directory.xattrs.get(defaultAcl) };
    const ownership = newNodeOwnership(type, asked, parent);
    this.#lastIno += 1;
    const node = this.#node(this.#lastIno, ownership);
    if (ownership.accessAcl !== undefined) node.xattrs.set(accessAcl, ownership.accessAcl);
    if (ownership.defaultAcl !== undefined) node.xattrs.set(defaultAcl, ownership.defaultAcl);
    this.#nodes.set(this.#lastIno, node);
    return node;
  }

  /** @param {Node} directory @param {Buffer} name @param {Node} node */
  #add(directory, name, node) {
    this.#take(directory, name);
    directory.names.set(key(name), node.attributes.ino);
    if (typeOf(node) === directoryType) directory.subdirectories += 1;
    return this.#entry(node);
  }

  /** The name goes, if it is there; the node stays. @param {Node} directory @param {Buffer} name */
  #take(directory, name) {
    const node = this.#nodes.get(directory.names.get(key(name)) ?? 0);
    if (node !== undefined && typeOf(node) === directoryType) directory.subdirectories -= 1;
    directory.names.delete(key(name));
    this.#changed(directory, { mtime: now() });
  }

  /** @param {Node} directory @param {Buffer} name @param {Node} node */
  #remove(directory, name, node) {
    this.#take(directory, name);
    this.#changed(node, { nlink: node.attributes.nlink - 1 });
    this.#reap(node);
  }

  /** Gives up what nobody can reach any more. @param {Node} node */
  #reap(node) {
    if (node.attributes.nlink > 0 || node.opened > 0 || !node.forgotten) return;
    this.#pages -= node.content.pages;
    this.#nodes.delete(node.attributes.ino);
  }

  /** @param {Node} node @param {Partial<Attributes>} [changes] */
  #changed(node, changes = {}) {
    node.attributes = { ...node.attributes, ctime: now(), ...changes };
  }

  /** @param {Node} directory @param {Buffer} name @param {NewFile} asked */
  #create(directory, name, asked) {
    const ino = directory.names.get(key(name));
    if (ino === undefined) {
      this.#checkFree(directory, name);
      const node = this.#new(directory, fileType, asked);
      return { entry: this.#add(directory, name, node), file: this.#openFile(node) };
    }
    if (asked.exclusive) refuse('EEXIST');
    const node = this.#get(ino);
    if (typeOf(node) === directoryType) refuse('EISDIR');
    if (asked.truncate) this.#setAttributes(node, { size: 0, killPrivileges: asked.killPrivileges });
    return { entry: this.#entry(node), file: this.#openFile(node) };
  }

  /** @param {Place} from @param {Place} to @param {RenameMode} mode */
  #rename(from, to, mode) {
    const [source, target] = [this.#get(from.parent), this.#get(to.parent)];
    const node = this.#named(source, from.name);
    const there = this.#nodes.get(target.names.get(key(to.name)) ?? 0);
    if (target.attributes.nlink === 0) refuse('ENOENT');
    if (mode === 'keep' && there !== undefined) refuse('EEXIST');
    if (mode === 'exchange' && there === undefined) refuse('ENOENT');
    if (this.#isInside(target, node)) refuse('EINVAL');
    if (mode === 'exchange' && there !== undefined) {
      if (this.#isInside(source, there)) refuse('EINVAL');
      this.#move(node, target, to.name);
      this.#move(there, source, from.name);
      return;
    }
    if (there === node) return;
    if (there !== undefined) {
      if (typeOf(node) === directoryType && typeOf(there) !== directoryType) refuse('ENOTDIR');
      if (typeOf(node) !== directoryType && typeOf(there) === directoryType) refuse('EISDIR');
      if (there.names.size > 0) refuse('ENOTEMPTY');
      this.#remove(target, to.name, there);
    }
    this.#take(source, from.name);
    this.#move(node, target, to.name);
  }

  /** @param {Node} node @param {Node} directory @param {Buffer} name */
  #move(node, directory, name) {
    if (typeOf(node) === directoryType) node.parent = directory.attributes.ino;
    this.#add(directory, name, node);
    this.#changed(node);
  }

  /** Whether `directory` is `node` or lies below it. @param {Node} directory @param {Node} node */
  #isInside(directory, node) {
    for (let at = directory; ; at = this.#get(at.parent)) {
      if (at === node) return true;
      if (at.parent === at.attributes.ino) return false;
    }
  }

  /** @param {Node} node @param {AttributeChanges} changes */
  #setAttributes(node, changes) {
    const { mode, uid, gid, size, atime, mtime, ctime } = changes;
    if (size !== undefined) this.#resize(node, size);
    /** @param {Timestamp | 'now'} time */
    const at = (time) => (time === 'now' ? now() : time);
    this.#changed(node, {
      ...(mode === undefined ? {} : { mode: typeOf(node) | mode }),
      ...(uid === undefined ? {} : { uid }),
      ...(gid === undefined ? {} : { gid }),
      ...(size === undefined ? {} : { mtime: now() }),
      ...(atime === undefined ? {} : { atime: at(atime) }),
      ...(mtime === undefined ? {} : { mtime: at(mtime) }),
      ...(ctime === undefined ? {} : { ctime }),
    });
    const acl = node.xattrs.get(accessAcl);
    if (mode !== undefined && acl !== undefined) node.xattrs.set(accessAcl, aclWithMode(acl, mode));
    if (uid !== undefined || gid !== undefined || size !== undefined) node.xattrs.delete(capability);
    if (changes.killPrivileges) this.#changed(node, { mode: withoutPrivileges(node.attributes) });
    return this.#entry(node);
  }

  /** @param {Node} node @param {NewXattr} xattr */
  #setxattr(node, { name, value, mode, killSetGroupId }) {
    const text = key(name);
    if (mode === 'create' && node.xattrs.has(text)) refuse('EEXIST');
    if (mode === 'replace' && !node.xattrs.has(text)) refuse('ENODATA');
    if (text === accessAcl) {
      const bits = modeWithAcl(node.attributes.mode, value);
      this.#changed(node, { mode: killSetGroupId ? bits & ~0o2000 : bits });
    }
    if (text === accessAcl && isMinimalAcl(value)) node.xattrs.delete(text);
    else node.xattrs.set(text, value);
    this.#changed(node);
  }

  /** @param {Node} node @param {number} size */
  #resize(node, size) {
    this.#counted(node, 0, () => node.content.truncate(size));
  }

  /** Does what takes `pages` more at most, if there is so much room. @param {Node} node @param {number} pages @param {() => void} change */
  #counted(node, pages, change) {
    const before = node.content.pages;
    if (pages > 0 && this.#pages + pages > this.pagesMax) refuse('ENOSPC');
    change();
    this.#pages += node.content.pages - before;
  }

  /** @param {Node} node @returns {WritableFile} */
  #openFile(node) {
    const { ino } = node.attributes;
    node.opened += 1;
    this.openFiles += 1;
    return {
      caching: 'exclusive',
      read: (offset, length) => this.#run('read', ino, () => [node.content.read(offset, length)]),
      seek: (offset, what) => this.#run('seek', ino, () => node.content.seek(offset, what) ?? refuse('ENXIO')),
      write: (offset, data, { killPrivileges }) => {
        const wait = this.before('write', ino);
        const kept = wait instanceof Promise ? Buffer.from(data) : data;
        const write = () => this.#write(node, offset, kept, killPrivileges);
        return wait instanceof Promise ? wait.then(write) : write();
      },
      flush: () => this.#run('flush', ino, () => undefined),
      allocate: (allocation, { killPrivileges }) => this.#run('allocate', ino, () => this.#allocate(node, allocation, killPrivileges)),
      close: () => {
        node.opened -= 1;
        this.openFiles -= 1;
        this.#reap(node);
      },
    };
  }

  /** @param {Node} node @param {number} offset @param {Buffer} data @param {boolean} killPrivileges */
  #write(node, offset, data, killPrivileges) {
    this.#counted(node, Math.ceil(data.length / pageBytes), () => node.content.write(offset, data));
    node.xattrs.delete(capability);
    this.#changed(node, { mtime: now(), ...(killPrivileges ? { mode: withoutPrivileges(node.attributes) } : {}) });
    return data.length;
  }

  /** @param {Node} node @param {Allocation} allocation @param {boolean} killPrivileges */
  #allocate(node, { kind, offset, length, keepSize }, killPrivileges) {
    const { content } = node;
    const end = Math.min(offset + length, content.size);
    const pages = kind === 'punch' ? 0 : Math.ceil(length / pageBytes);
    this.#counted(node, pages, () => {
      if (kind === 'punch') content.punch(offset, end - offset);
      else content.reserve(offset, length);
      if (kind === 'zero') content.zero(offset, length);
      if (!keepSize && offset + length > content.size) content.truncate(offset + length);
    });
    this.#changed(node, { mtime: now(), ...(killPrivileges ? { mode: withoutPrivileges(node.attributes) } : {}) });
  }
}
