/** Names in a spool that come, go and move. What goes while it is known keeps a descriptor, and is reached through that. */
import { closeSync } from 'node:fs';
import { linkAt, linkDescriptorAt, openAt, removeDirectoryAt, renameAt, unlinkAt } from '../../os/directory-calls.js';
import { type FileStat, statAt, statIfThere } from '../../os/file-stat.js';
import { openFlags } from '../../os/open-flags.js';
import { type Entry, type Ino, S_IFDIR, S_IFMT } from '../../vfs/file-system.js';
import type { Place, RenameMode } from '../../vfs/writable-file-system.js';
import { type SpoolCore, locationOf } from './spool-core.js';
import type { Location, SpoolNode } from './spool-node.js';

const { O_NOFOLLOW, O_PATH } = openFlags;

/** A name and what it leads to, before the name goes. */
interface Leaving {
  readonly stat: FileStat;
  readonly location: Location;
  readonly node: SpoolNode | undefined;
  /** O_PATH; only where the node cannot be reached otherwise afterwards. */
  readonly pin: number | undefined;
}

export class SpoolNames {
  readonly #core: SpoolCore;

  constructor(core: SpoolCore) {
    this.#core = core;
  }

  link(ino: Ino, parentIno: Ino, name: Buffer): Entry {
    const node = this.#core.begin(ino);
    const parent = this.#core.nodes.get(parentIno);
    const location = locationOf(parent, name);
    const parentFd = this.#core.directory(parent);
    const from = this.#core.reach(node);
    if (from.name.length > 0) linkAt(from.fd, from.name, parentFd, name);
    else linkDescriptorAt(from.fd, parentFd, name);
    return this.#core.told(location, statAt(parentFd, name));
  }

  unlink(parentIno: Ino, name: Buffer): void {
    this.#remove(parentIno, name, unlinkAt);
  }

  removeDirectory(parentIno: Ino, name: Buffer): void {
    this.#remove(parentIno, name, removeDirectoryAt);
  }

  rename(from: Place, to: Place, mode: RenameMode): void {
    const source = locationOf(this.#core.begin(from.parent), from.name);
    const target = locationOf(this.#core.nodes.get(to.parent), to.name);
    const [sourceFd, targetFd] = [this.#core.directory(source.parent), this.#core.directory(target.parent)];
    const moving = statAt(sourceFd, from.name);
    const moved = this.#core.nodes.find(moving);
    const there = statIfThere(targetFd, to.name);
    const call = (): void => renameAt(sourceFd, from.name, targetFd, to.name, { noReplace: mode === 'keep', exchange: mode === 'exchange' });
    if (mode === 'exchange') {
      call();
      if (there !== undefined) this.#move(this.#core.nodes.find(there), target, source);
    } else if (there === undefined || this.#core.nodes.keyOf(there) === this.#core.nodes.keyOf(moving)) {
      call();
      // Two names of one file: nothing happens.
      if (there !== undefined) return;
    } else {
      this.#replace(targetFd, target, call);
    }
    this.#move(moved, source, target);
  }

  #remove(parentIno: Ino, name: Buffer, remove: (parentFd: number, name: Buffer) => void): void {
    const parent = this.#core.begin(parentIno);
    const location = locationOf(parent, name);
    const parentFd = this.#core.directory(parent);
    this.#replace(parentFd, location, () => remove(parentFd, name));
  }

  /** `call` makes the name at `location` lead to something else or to nothing. */
  #replace(parentFd: number, location: Location, call: () => void): void {
    const leaving = this.#leaving(parentFd, location);
    try {
      call();
    } catch (error) {
      if (leaving.pin !== undefined) closeSync(leaving.pin);
      throw error;
    }
    this.#left(leaving);
  }

  #leaving(parentFd: number, location: Location): Leaving {
    const name = Buffer.from(location.name, 'latin1');
    const stat = statAt(parentFd, name);
    const node = this.#core.nodes.find(stat);
    const isNeeded = node !== undefined && node.pin === undefined && !node.hasOtherThan(location);
    if (!isNeeded) return { stat, location, node, pin: undefined };
    return { stat, location, node, pin: openAt(parentFd, name, O_PATH | O_NOFOLLOW) };
  }

  #left({ stat, location, node, pin }: Leaving): void {
    if ((stat.mode & S_IFMT) === S_IFDIR || stat.nlink <= 1) this.#core.nodes.forgetNumber(stat);
    if (node === undefined) return;
    node.pin ??= pin;
    node.removeLocation(location);
    this.#core.nodes.dropIfUnused(location.parent);
    this.#core.nodes.dropIfUnused(node);
  }

  #move(node: SpoolNode | undefined, from: Location, to: Location): void {
    if (node === undefined) return;
    this.#core.nodes.locate(node, to);
    node.removeLocation(from);
    this.#core.nodes.dropIfUnused(from.parent);
  }
}
