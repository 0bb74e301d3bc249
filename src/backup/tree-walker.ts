/**
 * Walks a tree of files in the order of an archive: pre-order, names of a directory by their bytes. What is left out by patterns, by its file
 * system or because it can't be read is left out here. Needs no more memory than the listings along one path. Format: pxar, sections 3.1, 3.2, 3.6
 */
import { closeSync } from 'node:fs';
import { FileError, FormatError, codeOf } from '../errors.js';
import { fileTypeMask, fileTypes, type PxarMetadata } from '../format/pxar/entry.js';
import { AT_FDCWD, entriesIn, openAt, type DirectoryEntry } from '../os/directory-calls.js';
import { statAt, type FileStat } from '../os/file-stat.js';
import { openFlags } from '../os/open-flags.js';
import type { MaybePromise } from '../vfs/file-system.js';
import { andThen } from '../vfs/maybe.js';
import { printableName } from '../vfs/name.js';
import type { FoundEntry } from './archive-output.js';
import type { ArchiveTreeOptions } from './archive-options.js';
import type { ArchiveTally } from './archive-tally.js';
import { DirectoryStack, type WalkedDirectory } from './directory-stack.js';
import { excludeFileName, type ExcludeStack } from './exclude-stack.js';
import { isChanged, openEntry, type OpenEntry } from './open-entry.js';
import { shownPath, skipReason, sourceError, type SourceStage } from './source-errors.js';
import { sourceFileSystem, type SourceFileSystem } from './source-file-system.js';
import { sourceMetadata } from './source-metadata.js';

export interface TreeVisitor {
  beginDirectory(name: Buffer, metadata: PxarMetadata): MaybePromise<void>;
  endDirectory(): MaybePromise<void>;
  /** Anything but a directory; its descriptor is open until this settles. */
  entry(entry: FoundEntry): MaybePromise<void>;
}

/** Gets what a name in a directory of the tree stands for now. */
export type VisitAgain = (directoryNames: readonly Buffer[], name: Buffer, visit: TreeVisitor['entry']) => MaybePromise<void>;

export const patternFileName = Buffer.from('.pxarexclude-cli');
const slash = Buffer.from('/');
const nothing = Buffer.alloc(0);
/** Of a name whose directory does not say it. */
const unknownType = 0;

/** What was staged was given to the spool, whatever file system that is on. */
const spoolHasAll = { xattrs: true, acls: true, fileCapabilities: true, projects: true } as const;

export class TreeWalker {
  readonly rootMetadata: PxarMetadata;
  readonly #options: ArchiveTreeOptions;
  readonly #excludes: ExcludeStack;
  readonly #tally: ArchiveTally;
  readonly #stack: DirectoryStack;
  readonly #fileSystems = new Map<string, SourceFileSystem>();
  /** Undefined: all. */
  readonly #devices: ReadonlySet<string> | undefined;
  /** Names that were listed in the directories of the current path. */
  #entries = 0;

  /** Opens the root. Throws NOT_A_DIRECTORY, INVALID_ARGUMENT for a virtual file system, or the system's error. */
  constructor(options: ArchiveTreeOptions, excludes: ExcludeStack, tally: ArchiveTally) {
    this.#options = options;
    this.#excludes = excludes;
    this.#tally = tally;
    const { fd, stat } = openRoot(options.source);
    try {
      const fileSystem = this.#fileSystemOf(fd, stat.dev);
      if (fileSystem.virtual) {
        const path = printableName(Buffer.from(options.source));
        throw new FileError('INVALID_ARGUMENT', `${path} is on a virtual file system of the kernel, of which nothing can be archived`);
      }
      const { allFileSystems, includeDevices } = options;
      this.#devices = allFileSystems ? undefined : new Set([stat.dev, ...includeDevices.map(deviceOf)]);
      this.rootMetadata = this.#metadata({ fd, stat, name: nothing, path: () => nothing }, fileSystem);
      this.#stack = new DirectoryStack(directoryOf(nothing, nothing, { fd, stat }, fileSystem));
    } catch (error) {
      closeSync(fd);
      throw error;
    }
  }

  /** Everything below the root. */
  async walk(visitor: TreeVisitor): Promise<void> {
    const { current: root } = this.#stack;
    if (root !== undefined) this.#list(root);
    for (let directory = root; directory !== undefined; directory = this.#stack.current) {
      const turn = this.#tally.turn();
      if (turn !== undefined) await turn;
      const entry = directory.entries[directory.next];
      if (entry !== undefined) {
        directory.next += 1;
        const visited = this.#visit(directory, entry, visitor);
        if (visited !== undefined) await visited;
        continue;
      }
      if (directory === root) return;
      this.#excludes.truncate(directory.patternsBefore);
      this.#entries = directory.entriesBefore;
      this.#stack.pop();
      await visitor.endDirectory();
    }
  }

  close(): void {
    this.#stack.close();
  }

  /** The same as when the walk came to it, but for another visitor, and as it is now. */
  readonly visitAgain: VisitAgain = (directoryNames, name, visit) => {
    const path = (): Buffer => Buffer.concat([...directoryNames, name].flatMap((part) => [slash, part]));
    const fd = this.#attempt('open', path, () => {
      try {
        return this.#stack.openFromRoot(directoryNames);
      } catch (error) {
        if (!isChanged(error)) throw error;
        this.#tally.warn(changedLine(path()));
        return undefined;
      }
    });
    if (fd === undefined) return undefined;
    try {
      const { dev } = statAt(fd, nothing);
      const directory = { fd, dev, fileSystem: this.#fileSystemOf(fd, dev) };
      const opened = this.#open(fd, { name, type: unknownType }, path);
      if (opened === undefined) return undefined;
      if (!isDirectory(opened.stat)) return this.#leaf({ ...opened, name, path }, directory.fileSystem, visit);
      closeSync(opened.fd);
      this.#tally.warn(changedLine(path()));
      return undefined;
    } finally {
      closeSync(fd);
    }
  };

  #visit(directory: WalkedDirectory, entry: DirectoryEntry, visitor: TreeVisitor): MaybePromise<void> {
    const { name } = entry;
    const path = (): Buffer => Buffer.concat([directory.path, slash, name]);
    const opened = this.#open(directory.fd, entry, path);
    if (opened === undefined) return undefined;
    if (isDirectory(opened.stat)) return this.#enter(directory, { ...opened, name, path }, visitor);
    return this.#leaf({ ...opened, name, path }, directory.fileSystem, (entry) => visitor.entry(entry));
  }

  /** What the directory says of the type is believed until the entry is open. */
  #open(fd = -1, { name, type }: DirectoryEntry, path: () => Buffer): OpenEntry | undefined {
    const opened = type === unknownType ? undefined : this.#attempt('open', path, () => openEntry(fd, name, type) ?? 'changed');
    if (type !== unknownType && opened !== 'changed') return opened;
    const listed = this.#attempt('stat', path, () => statAt(fd, name));
    if (listed === undefined) return undefined;
    const again = this.#attempt('open', path, () => openEntry(fd, name, listed.mode & fileTypeMask) ?? 'changed');
    if (again !== 'changed') return again;
    this.#tally.warn(changedLine(path()));
    return undefined;
  }

  #leaf(found: NamedEntry, fileSystem: SourceFileSystem, visit: TreeVisitor['entry']): MaybePromise<void> {
    let visited: MaybePromise<void>;
    try {
      const metadata = this.#attempt('attributes', found.path, () => this.#metadata(found, fileSystem));
      visited = metadata && this.#visitLeaf({ ...found, metadata }, visit);
    } catch (error) {
      closeSync(found.fd);
      throw error;
    }
    if (visited instanceof Promise) return visited.finally(() => closeSync(found.fd));
    closeSync(found.fd);
    return undefined;
  }

  #visitLeaf(found: FoundEntry, visit: TreeVisitor['entry']): MaybePromise<void> {
    const { contentOf } = this.#options;
    if (contentOf === undefined || (found.stat.mode & fileTypeMask) !== fileTypes.regular) return visit(found);
    return andThen(contentOf(found), (clone) => visit(clone === undefined ? found : { ...found, clone }));
  }

  async #enter(above: WalkedDirectory, found: NamedEntry, visitor: TreeVisitor): Promise<void> {
    let kept = false;
    try {
      const { fd, stat, name, path } = found;
      const crossed = stat.dev !== above.dev;
      // A mount point's own attributes are asked for as those of the directory it is in; what it does not know says nothing of that one.
      const metadata = this.#attempt('attributes', path, () => this.#metadata(found, crossed ? { ...above.fileSystem } : above.fileSystem));
      if (metadata === undefined) return;
      const fileSystem = crossed ? this.#fileSystemOf(fd, stat.dev) : above.fileSystem;
      await visitor.beginDirectory(name, metadata);
      const skipped = crossed && (fileSystem.virtual || this.#devices?.has(stat.dev) === false);
      if (skipped) return await visitor.endDirectory();
      const directory = directoryOf(name, path(), found, fileSystem);
      directory.patternsBefore = this.#excludes.length;
      directory.entriesBefore = this.#entries;
      this.#list(directory);
      this.#stack.push(directory);
      kept = true;
    } finally {
      if (!kept) closeSync(found.fd);
    }
  }

  /** Its patterns, then the names that are left by all patterns in force. */
  #list(directory: WalkedDirectory): void {
    const { fd = -1, path } = directory;
    const isRoot = path.length === 0;
    const { entriesMax, isSpool = false } = this.#options;
    const listed = this.#attempt('open', () => path, () => entriesIn(fd)) ?? [];
    if (!isSpool && listed.some(({ name }) => name.equals(excludeFileName))) this.#excludes.pushFile(fd, path);
    const kept = listed.filter(({ name }) => !(isRoot && !isSpool && name.equals(patternFileName)) && !this.#isExcluded(directory, name));
    directory.entries = kept.sort((a, b) => a.name.compare(b.name));
    this.#entries += kept.length;
    if (this.#entries <= entriesMax) return;
    const where = `${shownPath(path)} and the directories above it`;
    throw new FormatError('LIMIT_EXCEEDED', `${where} have more than ${entriesMax} entries together; ${isSpool ? 'spread them over more directories' : '--entries-max allows more, for more memory'}`);
  }

  #isExcluded({ fd = -1, path }: WalkedDirectory, name: Buffer): boolean {
    if (this.#excludes.length === 0) return false;
    // One that is gone or can't be looked at is not left out here: the walk will say so.
    const mode = (): number => {
      try {
        return statAt(fd, name).mode;
      } catch {
        return 0;
      }
    };
    return this.#excludes.excludes(Buffer.concat([path, slash, name]), mode);
  }

  #metadata({ fd, stat, path }: NamedEntry, fileSystem: SourceFileSystem): PxarMetadata {
    return sourceMetadata({ fd, stat, fileSystem, path }, { skipE2bigXattr: this.#options.skipE2bigXattr, isSpool: this.#options.isSpool === true, warn: this.#tally.warn });
  }

  #fileSystemOf(fd: number, dev: string): SourceFileSystem {
    let known = this.#fileSystems.get(dev);
    if (known === undefined) {
      known = { ...sourceFileSystem(fd), ...(this.#options.isSpool === true && spoolHasAll) };
      this.#fileSystems.set(dev, known);
    }
    return known;
  }

  /** Undefined, after a warning, if the entry is to be left out. */
  #attempt<T>(stage: SourceStage, path: () => Buffer, action: () => T): T | undefined {
    try {
      return action();
    } catch (error) {
      this.#tally.warn(skipReason(error, stage, path(), this.#options.skipUnreadable));
      return undefined;
    }
  }
}

interface NamedEntry extends OpenEntry {
  readonly name: Buffer;
  readonly path: () => Buffer;
}

function isDirectory({ mode }: FileStat): boolean {
  return (mode & fileTypeMask) === fileTypes.directory;
}

function changedLine(path: Buffer): string {
  return `${shownPath(path)} is left out: it became something else while the backup ran`;
}

function directoryOf(name: Buffer, path: Buffer, { fd, stat: { dev, ino } }: OpenEntry, fileSystem: SourceFileSystem): WalkedDirectory {
  return { name, path, dev, ino, fileSystem, fd, entries: [], next: 0, patternsBefore: 0, entriesBefore: 0 };
}

/** Of the file system that a path leads to. */
function deviceOf(path: string): string {
  const fd = openAt(AT_FDCWD, Buffer.from(path), openFlags.O_PATH);
  try {
    return statAt(fd, nothing).dev;
  } finally {
    closeSync(fd);
  }
}

function openRoot(source: string | Buffer): OpenEntry {
  const fd = openSource(Buffer.from(source));
  try {
    return { fd, stat: statAt(fd, nothing) };
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

function openSource(path: Buffer): number {
  try {
    return openAt(AT_FDCWD, path, openFlags.O_RDONLY | openFlags.O_DIRECTORY | openFlags.O_NOCTTY);
  } catch (error) {
    if (codeOf(error) !== 'ENOTDIR') throw sourceError(error, 'open', path);
    throw new FileError('NOT_A_DIRECTORY', `${printableName(path)} is not a directory, which a .pxar is made of`, { cause: error });
  }
}
