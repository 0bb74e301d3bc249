/** Open files of a spool: the spool's own files, read and written where they lie. */
import { closeSync, fchmodSync, readSync, writeSync } from 'node:fs';
import { FileError } from '../../errors.js';
import { allocateRange, seekTo } from '../../os/file-extents.js';
import { statAt } from '../../os/file-stat.js';
import type { MaybePromise, OpenFile } from '../../vfs/file-system.js';
import { andThen } from '../../vfs/maybe.js';
import { type Allocation, type WritableFile, type WriteOptions, withoutPrivileges } from '../../vfs/writable-file-system.js';
import type { SpoolClone } from './spool-clone.js';
import type { SpoolClones } from './spool-clones.js';
import { memoryOfThisTurn } from './spool-memory.js';
import type { SpoolNode } from './spool-node.js';

const noName = Buffer.alloc(0);
const permissionMask = 0o7777;

/** Open for reading only. */
export class SpoolReader implements OpenFile {
  readonly caching = 'exclusive';
  readonly node: SpoolNode;
  readonly clones: SpoolClones;
  readonly #closed: (file: SpoolReader) => void;
  readonly #fd: number;
  #isOpen = true;
  /** Who needs the descriptor still: whoever has the file open, and calls on other threads. */
  #users = 1;

  constructor(node: SpoolNode, fd: number, clones: SpoolClones, closed: (file: SpoolReader) => void) {
    this.clones = clones;
    this.node = node;
    this.#fd = fd;
    this.#closed = closed;
  }

  /** STALE when it is closed: the kernel has it open still, but what it was in is committed or removed. Something else may have the number by then. */
  get fd(): number {
    if (!this.#isOpen) throw new FileError('STALE', 'the file is gone with the staging directory that it was in');
    return this.#fd;
  }

  /** Where its bytes are if they are not in the spool. */
  get clone(): SpoolClone | undefined {
    return this.node.clone ?? undefined;
  }

  read(offset: number, length: number): MaybePromise<readonly Uint8Array[]> {
    const { clone } = this;
    if (clone !== undefined) return clone.read(offset, length);
    const memory = memoryOfThisTurn(length);
    let filled = 0;
    while (filled < length) {
      const bytes = readSync(this.fd, memory, filled, length - filled, offset + filled);
      if (bytes === 0) break;
      filled += bytes;
    }
    return filled === 0 ? [] : [memory.subarray(0, filled)];
  }

  seek(offset: number, what: 'data' | 'hole'): MaybePromise<number> {
    return this.clone?.seek(offset, what) ?? seekTo(what, this.fd, offset);
  }

  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#closed(this);
    this.#leave();
  }

  /** The descriptor stays open while `use` is at work, also when the file is closed meanwhile. */
  async during<T>(use: (fd: number) => Promise<T>): Promise<T> {
    this.#users += 1;
    try {
      return await use(this.fd);
    } finally {
      this.#leave();
    }
  }

  #leave(): void {
    this.#users -= 1;
    if (this.#users === 0) closeSync(this.#fd);
  }
}

/** Open for writing, and for reading where the daemon may. */
export class SpoolWriter extends SpoolReader implements WritableFile {
  write(offset: number, data: Buffer, options: WriteOptions): MaybePromise<number> {
    if (this.clone === undefined) return this.#write(offset, data, options);
    const kept = Buffer.from(data);
    return andThen(this.clones.growByZeros(this, offset, kept), (grown) => (grown ? kept.length : this.#filled(() => this.#write(offset, kept, options))));
  }

  /** The system has everything already. */
  flush(): void {
    return undefined;
  }

  allocate({ kind, ...range }: Allocation, options: WriteOptions): MaybePromise<void> {
    const allocate = (): void => {
      allocateRange(this.fd, kind, range);
      this.changed(options);
    };
    const { clone } = this;
    if (clone === undefined) return allocate();
    // As programs do that copy what is sparse, behind the end and where there are holes anyway.
    const isHoleAnyway = kind === 'punch' && clone.hasHole(range.offset, Math.min(range.offset + range.length, clone.size));
    return andThen(isHoleAnyway, (nothing) => (nothing ? this.changed(options) : this.#filled(allocate)));
  }

  /** To be called after each change of the content. */
  changed({ killPrivileges }: WriteOptions): void {
    if (killPrivileges && this.node.privileged) dropPrivileges(this.node, this.fd);
  }

  #write(offset: number, data: Buffer, options: WriteOptions): number {
    const written = writeAll(this.fd, data, offset);
    this.changed(options);
    return written;
  }

  #filled<T>(change: () => T): Promise<T> {
    return this.during(async () => {
      await this.clones.fill(this.node, this);
      return change();
    });
  }
}

/** Fewer bytes than there are only if some were written when it failed; the next write tells why. */
function writeAll(fd: number, data: Buffer, offset: number): number {
  let written = 0;
  try {
    while (written < data.length) written += writeSync(fd, data, written, data.length - written, offset + written);
  } catch (error) {
    if (written === 0) throw error;
  }
  return written;
}

/** As the kernel does for users; it does not for a daemon that is root. */
export function dropPrivileges(node: SpoolNode, fd: number): void {
  const { mode } = statAt(fd, noName);
  const left = withoutPrivileges({ mode });
  if (left !== mode) fchmodSync(fd, left & permissionMask);
  node.privileged = (left & 0o6000) !== 0;
}
