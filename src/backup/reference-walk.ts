/**
 * The archive of the previous snapshot, walked beside the source: what it has at the same place. When it turns out to be damaged
 * it has nothing any more. Format: pxar, sections 7.1 and 7.2
 */
import type { PxarDirectory } from '../archive/pxar-directory.js';
import type { NodeId, PxarChild } from '../archive/pxar-tree.js';
import { messageOf } from '../errors.js';
import type { PxarAcl, PxarAclEntry, PxarMetadata } from '../format/pxar/entry.js';
import { itemHeaderBytes } from '../format/pxar/item.js';
import type { FileStat } from '../os/file-stat.js';
import type { MaybePromise } from '../vfs/file-system.js';
import { andThen } from '../vfs/maybe.js';
import type { ReferenceTree } from './archive-options.js';
import type { ByteRange } from './covering-chunks.js';

interface WalkedReference {
  readonly id: NodeId;
  directory: PxarDirectory | undefined;
  /** In the order of the archive: where the walk has come to. */
  place: number;
  /** What is there, if it was looked at. */
  child: PxarChild | undefined;
}

export class ReferenceWalk {
  readonly #reference: ReferenceTree;
  readonly #warn: (line: string) => void;
  /** Undefined: it has no such directory. */
  readonly #directories: (WalkedReference | undefined)[];
  #damaged = false;

  constructor(reference: ReferenceTree, warn: (line: string) => void) {
    this.#reference = reference;
    this.#warn = warn;
    this.#directories = [walked(reference.tree.root)];
  }

  enter(name: Buffer): MaybePromise<void> {
    return andThen(this.#lookup(name), (child) => {
      this.#directories.push(child?.entry.kind === 'directory' ? walked(child.id) : undefined);
    });
  }

  leave(): void {
    this.#directories.pop();
  }

  /** Where the payload has the header and content of the unchanged file of this name in the current directory; undefined if it has not. */
  unchanged(name: Buffer, { size }: FileStat, metadata: PxarMetadata): MaybePromise<ByteRange | undefined> {
    return andThen(this.#lookup(name), (child) => {
      const { metadata: old, content } = child?.entry ?? {};
      if (child === undefined || child.linked || old === undefined || content?.where !== 'payload') return undefined;
      const end = content.offset + itemHeaderBytes + content.size;
      const usable = content.size === size && end <= this.#reference.payloadIndex.size && sameMetadata(old, metadata);
      return usable ? { start: content.offset, end } : undefined;
    });
  }

  #lookup(name: Buffer): MaybePromise<PxarChild | undefined> {
    const directory = this.#directories.at(-1);
    if (directory === undefined || this.#damaged) return undefined;
    try {
      const found = this.#find(directory, name);
      return found instanceof Promise ? found.catch((error: unknown) => this.#giveUp(error)) : found;
    } catch (error) {
      return this.#giveUp(error);
    }
  }

  #find(walk: WalkedReference, name: Buffer): MaybePromise<PxarChild | undefined> {
    if (walk.directory !== undefined) return this.#next(walk, walk.directory, name);
    return andThen(this.#reference.tree.directory(walk.id), (directory) => {
      walk.directory = directory;
      return this.#next(walk, directory, name);
    });
  }

  /** As names come in the same order here and there, the next one is it, unless one came or went; then its hash is looked for. */
  #next(walk: WalkedReference, directory: PxarDirectory, name: Buffer): MaybePromise<PxarChild | undefined> {
    const { tree } = this.#reference;
    while (walk.place < directory.count) {
      const child = walk.child ?? tree.child(directory, directory.slotAt(walk.place));
      if (child instanceof Promise) {
        return child.then((decoded) => {
          walk.child = decoded;
          return this.#next(walk, directory, name);
        });
      }
      const order = child.name.compare(name);
      walk.child = order > 0 ? child : undefined;
      if (order > 0) break;
      walk.place += 1;
      if (order === 0) return child;
    }
    return tree.lookup(walk.id, name);
  }

  #giveUp(error: unknown): undefined {
    if (!this.#damaged) this.#warn(`the archive of the previous snapshot is damaged, so that files are read again from here on: ${messageOf(error)}`);
    this.#damaged = true;
    return undefined;
  }
}

function walked(id: NodeId): WalkedReference {
  return { id, directory: undefined, place: 0, child: undefined };
}

/** As the official client compares them: of xattrs only the names, in their order. */
export function sameMetadata(a: PxarMetadata, b: PxarMetadata): boolean {
  return (
    a.mode === b.mode &&
    a.uid === b.uid &&
    a.gid === b.gid &&
    a.mtime.sec === b.mtime.sec &&
    a.mtime.nsec === b.mtime.nsec &&
    a.flags.lo === b.flags.lo &&
    a.flags.hi === b.flags.hi &&
    a.projectId === b.projectId &&
    a.xattrs.length === b.xattrs.length &&
    a.xattrs.every(({ name }, i) => b.xattrs[i]?.name.equals(name)) &&
    (a.fcaps === b.fcaps || (a.fcaps !== undefined && b.fcaps?.equals(a.fcaps) === true)) &&
    sameAcl(a.acl, b.acl)
  );
}

function sameAcl(a: PxarAcl | undefined, b: PxarAcl | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  const { default: c, ...restA } = a;
  const { default: d, ...restB } = b;
  const sameDefault = c?.userObj === d?.userObj && c?.groupObj === d?.groupObj && c?.other === d?.other && c?.mask === d?.mask;
  return (
    (c === undefined) === (d === undefined) &&
    sameDefault &&
    restA.groupObj === restB.groupObj &&
    sameEntries(restA.users, restB.users) &&
    sameEntries(restA.groups, restB.groups) &&
    sameEntries(restA.defaultUsers, restB.defaultUsers) &&
    sameEntries(restA.defaultGroups, restB.defaultGroups)
  );
}

function sameEntries(a: readonly PxarAclEntry[], b: readonly PxarAclEntry[]): boolean {
  return a.length === b.length && a.every(({ id, permissions }, i) => b[i]?.id === id && b[i].permissions === permissions);
}
