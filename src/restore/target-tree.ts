/**
 * The directories that a restore is in, each opened from the descriptor of its parent and never through a link, so that nothing of an
 * archive, and nothing that lies in the target, leads out of it.
 */
import { closeSync } from 'node:fs';
import { codeOf } from '../errors.js';
import { checkRelativePath } from '../format/pxar/name.js';
import type { PxarMetadata } from '../format/pxar/entry.js';
import { makeDirectoryAt, openAt } from '../os/directory-calls.js';
import { openFlags } from '../os/open-flags.js';

const directoryFlags = openFlags.O_RDONLY | openFlags.O_DIRECTORY | openFlags.O_NOFOLLOW | openFlags.O_NOCTTY;
const passingFlags = openFlags.O_PATH | openFlags.O_DIRECTORY | openFlags.O_NOFOLLOW;
/** Levels below the root whose descriptors are kept; those above are opened again when the restore comes back to them. */
const openLevelsMax = 128;
const slash = Buffer.from('/');

export interface TargetDirectory {
  readonly name: Buffer;
  readonly metadata: PxarMetadata;
  fd: number | undefined;
  state: 'planned' | 'there' | 'failed';
}

export interface TargetTreeOptions {
  readonly rootFd: number;
  readonly rootMetadata: PxarMetadata;
  readonly allowExisting: boolean;
  /** Permissions of a new directory, until its metadata is set. */
  readonly modeOf: (metadata: PxarMetadata) => number;
  /** A directory can't be made: it and what is in it are left out. */
  readonly failed: (error: unknown, path: Buffer) => void;
  readonly made: () => void;
}

export class TargetTree {
  readonly #options: TargetTreeOptions;
  readonly #levels: TargetDirectory[];

  constructor(options: TargetTreeOptions) {
    this.#options = options;
    this.#levels = [{ name: Buffer.alloc(0), metadata: options.rootMetadata, fd: options.rootFd, state: 'there' }];
  }

  /** The directory is made when something in it is; `descriptor()` makes it at once. */
  enter(name: Buffer, metadata: PxarMetadata): void {
    this.#levels.push({ name, metadata, fd: undefined, state: 'planned' });
  }

  /** Of the current directory; undefined if it could not be made. */
  descriptor(): number | undefined {
    return this.#descriptor(this.#levels.length - 1);
  }

  /** Ends the current directory: `finish` gets its descriptor, if it was made. The root's is not closed. */
  leave(finish: (fd: number, metadata: PxarMetadata, path: () => Buffer) => void): void {
    const depth = this.#levels.length - 1;
    const level = this.#levels[depth];
    if (level === undefined) return;
    const path = this.path();
    const fd = level.state === 'there' ? this.#descriptor(depth) : undefined;
    this.#levels.pop();
    if (fd === undefined) return;
    try {
      finish(fd, level.metadata, () => path);
    } finally {
      if (depth > 0) closeSync(fd);
    }
  }

  /** Of `name` in the current directory, or of the directory itself; relative to the root. */
  path(name?: Buffer): Buffer {
    const names = this.#levels.slice(1).map((level) => level.name);
    const all = name === undefined ? names : [...names, name];
    return Buffer.concat(all.flatMap((each, at) => (at === 0 ? [each] : [slash, each])));
  }

  /** Calls `use` with the directory and the name of what lies at `path` below the root. BAD_NAME for paths that could lead out. */
  at<T>(path: Buffer, use: (directoryFd: number, name: Buffer) => T): T {
    checkRelativePath(path);
    const names: Buffer[] = [];
    for (let from = 0, to = 0; to !== -1; from = to + 1) {
      to = path.indexOf(0x2f, from);
      names.push(path.subarray(from, to === -1 ? path.length : to));
    }
    let fd = this.#options.rootFd;
    try {
      for (const name of names.slice(0, -1)) fd = this.#step(fd, () => openAt(fd, name, passingFlags));
      return use(fd, names.at(-1) ?? path);
    } finally {
      this.#close(fd);
    }
  }

  /** Closes what an interrupted restore left open. */
  close(): void {
    for (const { fd } of this.#levels.splice(1)) if (fd !== undefined) closeSync(fd);
  }

  #descriptor(depth: number): number | undefined {
    const level = this.#levels[depth];
    if (level === undefined || level.state === 'failed') return undefined;
    if (level.fd !== undefined) return level.fd;
    const parent = this.#descriptor(depth - 1);
    if (parent === undefined) return undefined;
    try {
      level.fd = level.state === 'there' ? openAt(parent, level.name, directoryFlags) : this.#make(parent, level);
      level.state = 'there';
      this.#closeAbove(depth);
      return level.fd;
    } catch (error) {
      level.state = 'failed';
      this.#options.failed(error, this.#pathOf(depth));
      return undefined;
    }
  }

  #make(parent: number, { name, metadata }: TargetDirectory): number {
    try {
      makeDirectoryAt(parent, name, this.#options.modeOf(metadata));
    } catch (error) {
      if (codeOf(error) !== 'EEXIST' || !this.#options.allowExisting) throw error;
    }
    const fd = openAt(parent, name, directoryFlags);
    this.#options.made();
    return fd;
  }

  #closeAbove(depth: number): void {
    const level = this.#levels[depth - openLevelsMax];
    if (level?.fd === undefined || depth === openLevelsMax) return;
    closeSync(level.fd);
    level.fd = undefined;
  }

  #pathOf(depth: number): Buffer {
    return Buffer.concat(this.#levels.slice(1, depth + 1).flatMap(({ name }, at) => (at === 0 ? [name] : [slash, name])));
  }

  #step(fd: number, open: () => number): number {
    const next = open();
    this.#close(fd);
    return next;
  }

  #close(fd: number): void {
    if (fd !== this.#options.rootFd) closeSync(fd);
  }
}
