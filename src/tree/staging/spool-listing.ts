/** Open directories of a spool: the names of one moment, and what each of them is when it is asked for. */
import { closeSync } from 'node:fs';
import { DirectoryListing, type ListedName } from '../../os/directory-listing.js';
import { openFlags } from '../../os/open-flags.js';
import type { Directory, DirectoryEntry, Entry, Ino } from '../../vfs/file-system.js';
import type { SpoolCore } from './spool-core.js';
import type { SpoolNode } from './spool-node.js';

const { O_DIRECTORY, O_RDONLY } = openFlags;

export type LookUp = (parent: Ino, name: Buffer) => Entry | undefined;

/** The kernel is told of an entry when it is read here, and not before. */
class SpoolEntry implements DirectoryEntry {
  readonly name: Buffer;
  readonly ino: Ino;
  readonly type: number;
  readonly #lookUp: () => Entry | undefined;
  #found: { readonly entry: Entry | undefined } | undefined;

  constructor({ name, type }: ListedName, ino: Ino, lookUp: () => Entry | undefined) {
    this.name = name;
    this.ino = ino;
    this.type = type;
    this.#lookUp = lookUp;
  }

  get entry(): Entry {
    // Undefined where the name is gone, which the optional property of the interface allows and an accessor cannot say.
    return (this.#found ??= { entry: this.#lookUp() }).entry as Entry;
  }
}

export class SpoolDirectory implements Directory {
  readonly caching = 'exclusive';
  readonly #core: SpoolCore;
  readonly #node: SpoolNode;
  readonly #lookUp: LookUp;
  #listing: DirectoryListing | undefined;

  constructor(core: SpoolCore, node: SpoolNode, lookUp: LookUp) {
    this.#core = core;
    this.#node = node;
    this.#lookUp = lookUp;
    node.opens += 1;
    try {
      closeSync(this.#open());
    } catch (error) {
      this.close();
      throw error;
    }
  }

  rewind(): void {
    this.#listing = undefined;
  }

  read(index: number, count: number): readonly DirectoryEntry[] {
    const listing = this.#listing ?? this.#list();
    const entries: DirectoryEntry[] = [];
    const end = Math.min(index + count, listing.length);
    for (let at = index; at < end; at += 1) {
      const listed = listing.at(at);
      if (listed !== undefined) entries.push(this.#entry(listed));
    }
    return entries;
  }

  close(): void {
    this.#core.nodes.release(this.#node);
  }

  #entry(listed: ListedName): DirectoryEntry {
    return new SpoolEntry(listed, this.#core.nodes.numberOf(listed.ino), () => this.#lookUp(this.#node.ino, listed.name));
  }

  #open(): number {
    this.#core.begin(this.#node.ino);
    return this.#core.open(this.#node, O_RDONLY | O_DIRECTORY);
  }

  #list(): DirectoryListing {
    const fd = this.#open();
    try {
      return (this.#listing = new DirectoryListing(fd));
    } finally {
      closeSync(fd);
    }
  }
}
