/** What every operation on a spool stands on: its nodes, how they are reached, and what the spool says about them. */
import { closeSync } from 'node:fs';
import { constants } from 'node:os';
import { FileError } from '../../errors.js';
import { AT_FDCWD, openAt } from '../../os/directory-calls.js';
import { type FileStat, statAt } from '../../os/file-stat.js';
import type { NamedFile } from '../../os/named-xattrs.js';
import { openFlags } from '../../os/open-flags.js';
import { systemError } from '../../os/system-calls.js';
import { type Attributes, type Entry, type Ino, S_IFREG } from '../../vfs/file-system.js';
import { printableName } from '../../vfs/name.js';
import { SpoolDescriptors } from './spool-descriptors.js';
import type { Location, SpoolNode } from './spool-node.js';
import { SpoolNodes } from './spool-nodes.js';

const { ESTALE } = constants.errno;
const { O_DIRECTORY, O_NOCTTY, O_NOFOLLOW, O_NONBLOCK, O_PATH } = openFlags;
const slash = 0x2f;
const dots = new Set(['', '.', '..']);

/** Nothing but the kernel that asks changes the spool, and the kernel knows what it asked for. */
const believedMs = 3_600_000;
const blockBytes = 512;

export interface SpoolOptions {
  /** An existing directory that only this object changes. */
  readonly directory: string;
  readonly allocateIno: () => Ino;
  readonly log: (line: string) => void;
}

export class SpoolCore {
  readonly nodes: SpoolNodes;
  readonly #descriptors = new SpoolDescriptors();
  readonly #options: SpoolOptions;
  /** Whether the file has bytes that are not in the spool. */
  isClone: (node: SpoolNode) => boolean = () => false;
  #closed = false;
  #changedByOthers = false;

  constructor(options: SpoolOptions) {
    this.#options = options;
    const { directory, allocateIno } = options;
    const fd = openAt(AT_FDCWD, Buffer.from(directory), O_PATH | O_DIRECTORY | O_NOFOLLOW);
    try {
      const root = { fd, stat: statAt(fd, Buffer.alloc(0)) };
      this.nodes = new SpoolNodes({ root, allocateIno, dropped: (node) => this.#descriptors.drop(node) });
    } catch (error) {
      closeSync(fd);
      throw error;
    }
  }

  close(): void {
    this.#closed = true;
    this.#descriptors.close();
    this.nodes.close();
  }

  /** The node that an operation is about. Begins the operation: descriptors that were given before may be closed. */
  begin(ino: Ino): SpoolNode {
    if (this.#closed) throw new FileError('STALE', 'what was staged there is committed or removed');
    this.#descriptors.trim();
    return this.nodes.get(ino);
  }

  /** An O_PATH descriptor of a directory, good for the operation that runs. */
  directory(node: SpoolNode): number {
    return this.#descriptors.directory(node);
  }

  reach(node: SpoolNode): NamedFile {
    return this.#descriptors.reach(node);
  }

  /** A descriptor of what the node is, to be closed by the caller. Fifos and devices must not be opened so. */
  open(node: SpoolNode, flags: number): number {
    const { fd, name } = this.reach(node);
    if (name.length > 0) return openAt(fd, name, flags | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK);
    return openAt(AT_FDCWD, Buffer.from(`/proc/self/fd/${fd}`), flags | O_NOCTTY | O_NONBLOCK);
  }

  /** ESTALE if it is not what it was: somebody else is at work in the spool. */
  stat(node: SpoolNode): FileStat {
    const { fd, name } = this.reach(node);
    const stat = statAt(fd, name);
    if (this.nodes.keyOf(stat) !== node.key) throw this.#stale(name);
    node.privileged = (stat.mode & 0o6000) !== 0;
    return stat;
  }

  #stale(name: Buffer): Error {
    const { directory, log } = this.#options;
    const place = `${directory}: '${printableName(name)}'`;
    if (!this.#changedByOthers) log(`${place} was replaced by another program: only the mount may change what is in there`);
    this.#changedByOthers = true;
    return systemError(ESTALE, 'statx', name);
  }

  entry(node: SpoolNode, stat = this.stat(node)): Entry {
    const attributes = attributesOf(node, stat);
    const { size, blocks } = stat;
    if (node.type !== S_IFREG || blocks * blockBytes >= size || !this.isClone(node)) return { attributes, ttlMs: believedMs };
    // Programs take a file without blocks for one of zeros, without reading it.
    return { attributes: { ...attributes, blocks: Math.ceil(size / blockBytes) }, ttlMs: believedMs };
  }

  /** What was found or made under a name; the kernel knows of it from here on. */
  told(location: Location | undefined, stat: FileStat): Entry {
    const node = this.nodes.obtain(stat, location);
    node.known = true;
    return this.entry(node, stat);
  }
}

/** A name in a directory as it is kept. Nothing that leads elsewhere is one. */
export function locationOf(parent: SpoolNode, name: Buffer): Location {
  const text = name.toString('latin1');
  if (dots.has(text) || name.includes(slash) || name.includes(0)) {
    throw new FileError('INVALID_ARGUMENT', `'${text}' cannot be the name of a file`);
  }
  return { parent, name: text };
}

function attributesOf({ ino }: SpoolNode, stat: FileStat): Attributes {
  const { mode, nlink, uid, gid, rdevMajor, rdevMinor, size, blocks, atime, mtime, ctime } = stat;
  return { ino, mode, nlink, uid, gid, rdevMajor, rdevMinor, size, blocks, atime, mtime, ctime };
}
