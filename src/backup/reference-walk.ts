/**
 * The archive of the previous snapshot, walked beside the source: what it has at the same place. When it turns out to be damaged
 * it has nothing any more. Format: pxar, sections 7.1 and 7.2
 */
import type { NodeId, PxarChild } from '../archive/pxar-tree.js';
import { messageOf } from '../errors.js';
import type { PxarAcl, PxarAclEntry, PxarMetadata } from '../format/pxar/entry.js';
import { itemHeaderBytes } from '../format/pxar/item.js';
import type { FileStat } from '../os/file-stat.js';
import type { MaybePromise } from '../vfs/file-system.js';
import { andThen } from '../vfs/maybe.js';
import type { ReferenceTree } from './archive-options.js';
import type { ByteRange } from './covering-chunks.js';

export class ReferenceWalk {
  readonly #reference: ReferenceTree;
  readonly #warn: (line: string) => void;
  /** Undefined: it has no such directory. */
  readonly #directories: (NodeId | undefined)[];
  #damaged = false;

  constructor(reference: ReferenceTree, warn: (line: string) => void) {
    this.#reference = reference;
    this.#warn = warn;
    this.#directories = [reference.tree.root];
  }

  enter(name: Buffer): MaybePromise<void> {
    return andThen(this.#lookup(name), (child) => {
      this.#directories.push(child?.entry.kind === 'directory' ? child.id : undefined);
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
      const found = this.#reference.tree.lookup(directory, name);
      return found instanceof Promise ? found.catch((error: unknown) => this.#giveUp(error)) : found;
    } catch (error) {
      return this.#giveUp(error);
    }
  }

  #giveUp(error: unknown): undefined {
    if (!this.#damaged) this.#warn(`the archive of the previous snapshot is damaged, so that files are read again from here on: ${messageOf(error)}`);
    this.#damaged = true;
    return undefined;
  }
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
