/**
 * The directories from the root to where the walk is, by descriptors: renames and long paths do no harm. Only the deepest ones are kept open;
 * those above are opened again on the way back, and only if they are still what they were.
 */
import { closeSync } from 'node:fs';
import { StoreError } from '../errors.js';
import type { DirectoryEntry } from '../os/directory-calls.js';
import { statAt } from '../os/file-stat.js';
import { openDirectoryAt } from './open-entry.js';
import type { SourceFileSystem } from './source-file-system.js';

const openMax = 200;
const itself = Buffer.alloc(0);
const parent = Buffer.from('..');

export interface WalkedDirectory {
  /** Empty for the root. */
  readonly name: Buffer;
  /** Absolute within the tree; empty for the root. */
  readonly path: Buffer;
  readonly dev: string;
  readonly ino: bigint;
  readonly fileSystem: SourceFileSystem;
  /** Undefined while it is closed. */
  fd: number | undefined;
  entries: readonly DirectoryEntry[];
  next: number;
  /** What to go back to when it is left. */
  patternsBefore: number;
  entriesBefore: number;
}

export class DirectoryStack {
  readonly #open: WalkedDirectory[];

  constructor(root: WalkedDirectory) {
    this.#open = [root];
  }

  get current(): WalkedDirectory | undefined {
    return this.#open.at(-1);
  }

  push(directory: WalkedDirectory): void {
    this.#open.push(directory);
    // The root stays open, whatever the depth.
    const above = this.#open.length > openMax + 1 ? this.#open[this.#open.length - openMax] : undefined;
    if (above !== undefined) close(above);
  }

  /** Leaves the current directory. Throws if the one above is not to be found any more: what is left of it would be lost silently. */
  pop(): void {
    const left = this.#open.pop();
    const above = this.current;
    try {
      if (above !== undefined && above.fd === undefined) above.fd = this.#reopen(above, left?.fd);
    } finally {
      if (left !== undefined) close(left);
    }
  }

  /** A descriptor, to be closed by the caller, of the directory with these names from the root on. */
  openFromRoot(names: readonly Buffer[]): number {
    const [root] = this.#open;
    let fd = openDirectoryAt(root?.fd ?? -1, Buffer.from('.'));
    for (const name of names) {
      const above = fd;
      try {
        fd = openDirectoryAt(above, name);
      } finally {
        closeSync(above);
      }
    }
    return fd;
  }

  close(): void {
    for (const directory of this.#open) close(directory);
  }

  #reopen(directory: WalkedDirectory, childFd: number | undefined): number {
    const ways = [
      () => openDirectoryAt(childFd ?? -1, parent),
      () => this.openFromRoot(this.#open.slice(1).map(({ name }) => name)),
    ];
    for (const way of ways) {
      const fd = opened(way);
      if (fd === undefined) continue;
      const { dev, ino } = statAt(fd, itself);
      if (dev === directory.dev && ino === directory.ino) return fd;
      closeSync(fd);
    }
    throw new StoreError('NOT_FOUND', `a directory was moved while what is in it was archived: ${directory.path.toString()}`);
  }
}

function opened(open: () => number): number | undefined {
  try {
    return open();
  } catch {
    return undefined;
  }
}

function close(directory: WalkedDirectory): void {
  if (directory.fd !== undefined) closeSync(directory.fd);
  directory.fd = undefined;
}
