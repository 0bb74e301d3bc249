/** One file, directory or other thing of a spool that the kernel knows or has open. */
import type { Ino } from '../../vfs/file-system.js';
import type { SpoolClone } from './spool-clone.js';

/** What is the same thing in the spool, whatever it is called: its inode there, with the device where that is not the spool's own. */
export type SpoolKey = number | string;

/** A name of a node. The name's bytes are kept as latin1, which takes the least memory. */
export interface Location {
  readonly parent: SpoolNode;
  readonly name: string;
}

/** Names that are known of one node. One is enough to reach it; the others save a descriptor when that one goes. */
const locationsMax = 8;

export class SpoolNode {
  readonly ino: Ino;
  readonly key: SpoolKey;
  /** S_IFMT bits. */
  readonly type: number;
  /** The kernel was told of it and has not forgotten it. */
  known = false;
  /** Open files and directories. */
  opens = 0;
  /** Nodes that are reached through this directory, once for each name of theirs. */
  children = 0;
  /** O_PATH, of what has no name that is known: the node is reached through it then. */
  pin: number | undefined;
  /** Set-uid or set-gid, as it was when last looked at. */
  privileged = false;
  /** Whether this directory has a default ACL; undefined if it was not looked at. */
  hasDefaultAcl: boolean | undefined;
  /** Null if it is none, undefined if it was not looked at. */
  clone: SpoolClone | null | undefined;
  #first: Location | undefined;
  #others: Location[] | undefined;

  constructor(ino: Ino, key: SpoolKey, type: number) {
    this.ino = ino;
    this.key = key;
    this.type = type;
  }

  get location(): Location | undefined {
    return this.#first;
  }

  /** Whether a name would be left without this one. */
  hasOtherThan({ parent, name }: Location): boolean {
    const isOther = (at: Location | undefined): boolean => at !== undefined && (at.parent !== parent || at.name !== name);
    return isOther(this.#first) || (this.#others?.some(isOther) ?? false);
  }

  addLocation(location: Location): void {
    if (this.#has(location)) return;
    if (this.#first === undefined) this.#first = location;
    else if ((this.#others?.length ?? 0) + 1 >= locationsMax) return;
    else (this.#others ??= []).push(location);
    location.parent.children += 1;
  }

  /** False if it was not known. */
  removeLocation({ parent, name }: Location): boolean {
    const isIt = (at: Location): boolean => at.parent === parent && at.name === name;
    if (this.#first !== undefined && isIt(this.#first)) {
      this.#first = this.#others?.pop();
      if (this.#others?.length === 0) this.#others = undefined;
    } else {
      const at = this.#others?.findIndex(isIt) ?? -1;
      if (at < 0) return false;
      this.#others?.splice(at, 1);
    }
    parent.children -= 1;
    return true;
  }

  /** The directories that it was in. */
  removeAllLocations(): SpoolNode[] {
    const parents = [this.#first, ...(this.#others ?? [])].flatMap((at) => at?.parent ?? []);
    for (const parent of parents) parent.children -= 1;
    this.#first = undefined;
    this.#others = undefined;
    return parents;
  }

  #has({ parent, name }: Location): boolean {
    const isIt = (at: Location): boolean => at.parent === parent && at.name === name;
    return (this.#first !== undefined && isIt(this.#first)) || (this.#others?.some(isIt) ?? false);
  }
}
