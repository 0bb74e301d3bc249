/**
 * Which files of a spool are clones, how they become so and how they end being so. A clone is begun and grows by copies from the file in the
 * archive, each going on where the last one ended; what is skipped must be a hole there. Writing, and growing by anything but zeros that are in
 * the archive too, copies its bytes into the spool first.
 */
import { closeSync, fdatasync, fstatSync, ftruncateSync } from 'node:fs';
import { promisify } from 'node:util';
import { zeros } from '../../archive/zero-chunk.js';
import type { PxarContentRange } from '../../archive/pxar-tree.js';
import { FileError, codeOf, messageOf } from '../../errors.js';
import { eachPiece } from '../../restore/file-content.js';
import { SparseWriter } from '../../restore/sparse-writer.js';
import { changeModeAt } from '../../os/directory-calls.js';
import { discardRange } from '../../os/file-extents.js';
import { openFlags } from '../../os/open-flags.js';
import { type MaybePromise, S_IFREG } from '../../vfs/file-system.js';
import { andThen } from '../../vfs/maybe.js';
import type { ArchiveSource } from '../archive-root.js';
import type { OpenArchiveFile } from '../pxar-archive.js';
import { cloneFactName, decodeCloneFact, encodeCloneFact, type CloneFact } from './clone-fact.js';
import { SpoolClone } from './spool-clone.js';
import type { SpoolCore } from './spool-core.js';
import type { SpoolNode } from './spool-node.js';
import type { SpoolXattrs } from './spool-xattrs.js';

const syncData = promisify(fdatasync);
const permissionMask = 0o7777;
const ownerWrites = 0o600;
/** What the spool's file system says to attributes that it does not take, and the datastore to snapshots that can't be held. */
const cannotClone = new Set(['ENOTSUP', 'EOPNOTSUPP', 'EPERM', 'EACCES', 'E2BIG', 'LOCKED', 'MAINTENANCE', 'NO_PERMISSION', 'NOT_FOUND', 'CHUNK_MISSING']);

export interface CloneSource {
  /** False: no file of the spool is a clone. */
  readonly any: boolean;
  adopt(archive: ArchiveSource): MaybePromise<string>;
  contentOf(fact: CloneFact): MaybePromise<PxarContentRange>;
}

export interface CloneRange {
  readonly offset: number;
  readonly length: number;
}

/** A file that is open, whose descriptor stays while it is used. */
export interface UsedFile {
  readonly node: SpoolNode;
  readonly fd: number;
  during<T>(use: (fd: number) => Promise<T>): Promise<T>;
}

export class SpoolClones {
  readonly #core: SpoolCore;
  readonly #xattrs: SpoolXattrs;
  readonly #source: CloneSource;
  #filling = 0;

  constructor(core: SpoolCore, xattrs: SpoolXattrs, source: CloneSource) {
    this.#core = core;
    this.#xattrs = xattrs;
    this.#source = source;
  }

  /** Files that are being filled. */
  get filling(): number {
    return this.#filling;
  }

  /** In an operation that was begun; afterwards `node.clone` tells. */
  of(node: SpoolNode): SpoolClone | undefined {
    if (!this.#source.any || node.type !== S_IFREG) return undefined;
    if (node.clone === undefined) node.clone = this.#load(node) ?? null;
    return node.clone ?? undefined;
  }

  /** Waits for what is being filled. */
  settled(node: SpoolNode): MaybePromise<void> {
    return this.of(node)?.filling?.catch(() => undefined);
  }

  /** The file is one like others afterwards. ENOSPC and its like, and what keeps the content from being read: then it stays a clone. */
  fill(node: SpoolNode, file?: UsedFile): MaybePromise<void> {
    const clone = this.of(node);
    if (clone === undefined) return undefined;
    return (clone.filling ??= this.#fill(node, clone, file).finally(() => (clone.filling = undefined)));
  }

  /** `truncate` gives the file its new size. */
  resize(node: SpoolNode, size: number, truncate: () => void, file?: UsedFile): MaybePromise<void> {
    const clone = this.of(node);
    if (clone === undefined) return truncate();
    if (clone.filling !== undefined) return clone.filling.catch(() => undefined).then(() => this.resize(node, size, truncate, file));
    const keep = (): void => {
      truncate();
      this.#resized(node, clone, size);
    };
    if (size <= clone.size) return keep();
    return andThen(clone.hasHole(clone.size, size), (isHole) => (isHole ? keep() : andThen(this.fill(node, file), truncate)));
  }

  /** The file was opened and emptied. */
  emptied(node: SpoolNode): void {
    const clone = this.of(node);
    if (clone !== undefined) this.#resized(node, clone, 0);
  }

  /** Bytes that were taken, 0 at the end of the source; NOT_SUPPORTED where they have to be copied. */
  clone(file: UsedFile, source: OpenArchiveFile | SpoolClone, range: CloneRange): MaybePromise<number> {
    if (source instanceof SpoolClone) return this.#extend(file, source.fact, source.size, range);
    return andThen(this.#adopt(source.archive), (origin) => this.#extend(file, { origin, node: source.node }, source.content.size, range));
  }

  /** Whether what is written behind the end of a clone is zeros that its archive has there too: programs copy holes so. */
  growByZeros({ node, fd }: UsedFile, offset: number, data: Buffer): MaybePromise<boolean> {
    const clone = this.of(node);
    const end = offset + data.length;
    if (clone === undefined || clone.filling !== undefined || node.privileged || offset < clone.size) return false;
    if (!data.equals(zeros.subarray(0, data.length))) return false;
    return andThen(clone.hasHole(clone.size, end), (isHole) => {
      if (isHole) ftruncateSync(fd, end);
      if (isHole) clone.size = end;
      return isHole;
    });
  }

  #adopt(archive: ArchiveSource): MaybePromise<string> {
    const adopted = this.#source.adopt(archive);
    const refuse = (error: unknown): never => {
      throw refusal(error);
    };
    return adopted instanceof Promise ? adopted.catch(refuse) : adopted;
  }

  #extend(file: UsedFile, fact: CloneFact, sourceSize: number, { offset, length }: CloneRange): MaybePromise<number> {
    const { node, fd } = file;
    this.#core.begin(node.ino);
    const known = this.of(node);
    const end = Math.min(offset + length, sourceSize);
    if (end <= offset) return 0;
    if (known === undefined && fstatSync(fd).size > 0) throw mustCopy('only a file that is empty can become a clone');
    const clone = known ?? new SpoolClone(fact, 0, (of) => this.#source.contentOf(of));
    const isSame = clone.fact.origin === fact.origin && clone.fact.node === fact.node;
    if (!isSame || clone.filling !== undefined || offset < clone.size) throw mustCopy('a clone grows at its end only');
    return andThen(clone.hasHole(clone.size, offset), (isHole) => {
      if (!isHole) throw mustCopy('a clone has all bytes from the first one on');
      this.#core.begin(node.ino);
      if (known === undefined) this.#begin(node, clone);
      ftruncateSync(fd, end);
      clone.size = end;
      return end - offset;
    });
  }

  #begin(node: SpoolNode, clone: SpoolClone): void {
    try {
      this.#xattrs.setFact(node.ino, cloneFactName, encodeCloneFact(clone.fact));
    } catch (error) {
      throw refusal(error);
    }
    node.clone = clone;
  }

  #resized(node: SpoolNode, clone: SpoolClone, size: number): void {
    clone.size = size;
    if (size === 0) this.#end(node);
  }

  #load(node: SpoolNode): SpoolClone | undefined {
    const value = this.#xattrs.fact(node.ino, cloneFactName);
    const fact = value && decodeCloneFact(value);
    if (fact === undefined) return undefined;
    return new SpoolClone(fact, this.#core.stat(node).size, (of) => this.#source.contentOf(of));
  }

  async #fill(node: SpoolNode, clone: SpoolClone, file: UsedFile | undefined): Promise<void> {
    this.#filling += 1;
    node.opens += 1;
    try {
      if (file !== undefined) return await file.during((fd) => this.#fillThrough(fd, node, clone));
      const fd = this.#core.open(node, openFlags.O_WRONLY);
      try {
        await this.#fillThrough(fd, node, clone);
      } finally {
        closeSync(fd);
      }
    } finally {
      this.#filling -= 1;
      this.#core.nodes.release(node);
    }
  }

  /** What a program has synchronized is not lost by this: the bytes are on disk before the reference to the archive goes. */
  async #fillThrough(fd: number, node: SpoolNode, clone: SpoolClone): Promise<void> {
    const { size } = clone;
    try {
      const { stream, offset } = await clone.content();
      const writer = new SparseWriter(fd);
      await eachPiece({ stream, offset, size }, (piece, position) => writer.write(piece, position));
      await syncData(fd);
      this.#core.begin(node.ino);
      this.#end(node);
    } catch (error) {
      if (node.clone === clone && size > 0) discardRange(fd, 0, size);
      throw error;
    }
  }

  /** Its owner may have made the file read-only since it was opened, also for a daemon that is no more than that user. */
  #end(node: SpoolNode): void {
    const end = (): void => this.#xattrs.setFact(node.ino, cloneFactName, undefined);
    try {
      end();
    } catch (error) {
      if (codeOf(error) !== 'EACCES') throw error;
      const { fd, name } = this.#core.reach(node);
      const mode = this.#core.stat(node).mode & permissionMask;
      changeModeAt(fd, name, mode | ownerWrites);
      try {
        end();
      } finally {
        changeModeAt(fd, name, mode);
      }
    }
    node.clone = null;
  }
}

function mustCopy(reason: string, cause?: unknown): FileError {
  return new FileError('NOT_SUPPORTED', reason, { cause });
}

/** What can't be cloned can be copied; a full disk would not take that either. */
function refusal(error: unknown): unknown {
  return cannotClone.has(codeOf(error) ?? '') ? mustCopy(messageOf(error), error) : error;
}
