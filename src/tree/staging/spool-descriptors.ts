/** How nodes of a spool are reached: by the descriptor of their directory and their name, or by a descriptor of their own. */
import { closeSync } from 'node:fs';
import { constants } from 'node:os';
import { openAt } from '../../os/directory-calls.js';
import type { NamedFile } from '../../os/named-xattrs.js';
import { openFlags } from '../../os/open-flags.js';
import { systemError } from '../../os/system-calls.js';
import type { SpoolNode } from './spool-node.js';

const { O_DIRECTORY, O_NOFOLLOW, O_PATH } = openFlags;
const noName = Buffer.alloc(0);

/** Directories that are kept open. While one operation runs there may be `chainMax` more for each directory that it needs. */
const descriptorsMax = 256;
/** Of the directories on the way to one that is far down so many are kept, the nearest ones. */
const chainMax = 64;

export class SpoolDescriptors {
  /** O_PATH, the longest unused first. */
  readonly #open = new Map<SpoolNode, number>();

  get size(): number {
    return this.#open.size;
  }

  /** To be called before each operation: descriptors are good until the next one. */
  trim(): void {
    if (this.#open.size <= descriptorsMax) return;
    for (const [node, fd] of this.#open) {
      if (this.#open.size <= descriptorsMax) return;
      this.#open.delete(node);
      closeSync(fd);
    }
  }

  /** An O_PATH descriptor of a directory. No link is followed on the way. */
  directory(node: SpoolNode): number {
    const near = this.#find(node);
    if (near !== undefined) return near;
    const missing = [node];
    let fd: number | undefined;
    for (let at = parentOf(node); ; at = parentOf(at)) {
      fd = this.#find(at);
      if (fd !== undefined) break;
      missing.push(at);
    }
    return this.#descend(fd, missing);
  }

  /** The same for anything: an empty name where the descriptor is of the thing itself. */
  reach(node: SpoolNode): NamedFile {
    if (node.pin !== undefined) return { fd: node.pin, name: noName };
    const { location } = node;
    if (location === undefined) throw systemError(constants.errno.ESTALE, 'open');
    return { fd: this.directory(location.parent), name: Buffer.from(location.name, 'latin1') };
  }

  drop(node: SpoolNode): void {
    const fd = this.#open.get(node);
    if (fd === undefined) return;
    this.#open.delete(node);
    closeSync(fd);
  }

  close(): void {
    for (const fd of this.#open.values()) closeSync(fd);
    this.#open.clear();
  }

  #find(node: SpoolNode): number | undefined {
    if (node.pin !== undefined) return node.pin;
    const fd = this.#open.get(node);
    if (fd === undefined) return undefined;
    this.#open.delete(node);
    this.#open.set(node, fd);
    return fd;
  }

  /** Opens the last of `missing` in the directory `fd`, the one before in that, and so on. */
  #descend(start: number, missing: SpoolNode[]): number {
    let fd = start;
    let passing: number | undefined;
    try {
      for (let node = missing.pop(); node !== undefined; node = missing.pop()) {
        const name = Buffer.from(node.location?.name ?? '', 'latin1');
        fd = openAt(fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW);
        if (passing !== undefined) closeSync(passing);
        passing = undefined;
        if (missing.length < chainMax) this.#open.set(node, fd);
        else passing = fd;
      }
      return fd;
    } catch (error) {
      if (passing !== undefined) closeSync(passing);
      throw error;
    }
  }
}

function parentOf(node: SpoolNode): SpoolNode {
  const parent = node.location?.parent;
  if (parent === undefined) throw systemError(constants.errno.ESTALE, 'open');
  return parent;
}
