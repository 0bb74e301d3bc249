/** Open files of a spool: the spool's own files, read and written where they lie. */
import { closeSync, fchmodSync, readSync, writeSync } from 'node:fs';
import { allocateRange, seekTo } from '../../os/file-extents.js';
import { statAt } from '../../os/file-stat.js';
import type { OpenFile } from '../../vfs/file-system.js';
import { type Allocation, type WritableFile, type WriteOptions, withoutPrivileges } from '../../vfs/writable-file-system.js';
import { memoryOfThisTurn } from './spool-memory.js';
import type { SpoolNode } from './spool-node.js';

const noName = Buffer.alloc(0);
const permissionMask = 0o7777;

/** Open for reading only. */
export class SpoolReader implements OpenFile {
  readonly caching = 'exclusive';
  readonly node: SpoolNode;
  readonly fd: number;
  readonly #closed: (file: SpoolReader) => void;
  #isOpen = true;
  /** Who needs the descriptor still: whoever has the file open, and calls on other threads. */
  #users = 1;

  constructor(node: SpoolNode, fd: number, closed: (file: SpoolReader) => void) {
    this.node = node;
    this.fd = fd;
    this.#closed = closed;
  }

  read(offset: number, length: number): readonly Uint8Array[] {
    const memory = memoryOfThisTurn(length);
    let filled = 0;
    while (filled < length) {
      const bytes = readSync(this.fd, memory, filled, length - filled, offset + filled);
      if (bytes === 0) break;
      filled += bytes;
    }
    return filled === 0 ? [] : [memory.subarray(0, filled)];
  }

  seek(offset: number, what: 'data' | 'hole'): number {
    return seekTo(what, this.fd, offset);
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
    if (this.#users === 0) closeSync(this.fd);
  }
}

/** Open for writing, and for reading where the daemon may. */
export class SpoolWriter extends SpoolReader implements WritableFile {
  write(offset: number, data: Buffer, { killPrivileges }: WriteOptions): number {
    const written = writeAll(this.fd, data, offset);
    if (killPrivileges && this.node.privileged) dropPrivileges(this.node, this.fd);
    return written;
  }

  /** The system has everything already. */
  flush(): void {
    return undefined;
  }

  allocate({ kind, ...range }: Allocation): void {
    allocateRange(this.fd, kind, range);
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
