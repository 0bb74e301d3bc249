/** One run over an archive that makes what it holds. Format: pxar, section 4. */
import { closeSync } from 'node:fs';
import { entryId, type PxarContentRange, type PxarNode } from '../archive/pxar-tree.js';
import { codeOf, messageOf, StoreError } from '../errors.js';
import { fileTypes, type PxarMetadata } from '../format/pxar/entry.js';
import type { ScanEvent, ScannedEntry } from '../format/pxar/scanner.js';
import { linkAt, makeNodeAt, openAt, symlinkAt, unlinkAt } from '../os/directory-calls.js';
import { openFlags } from '../os/open-flags.js';
import type { MaybePromise } from '../vfs/file-system.js';
import { andThen } from '../vfs/maybe.js';
import { printableName } from '../vfs/name.js';
import { linkPosition, type ArchiveWalk } from './archive-walk.js';
import { eachPiece } from './file-content.js';
import { linkDespiteFlags } from './hard-link.js';
import { Losses } from './losses.js';
import { MetadataWriter } from './metadata-writer.js';
import { throwIfInterrupted, type ContentPlacing, type Replacing, type RestoreObserver, type RestoreOptions, type RestoreResult } from './restore-options.js';
import { Selection } from './selection.js';
import { SparseWriter } from './sparse-writer.js';
import { TargetTree } from './target-tree.js';

export interface RestorerOptions {
  readonly archive: ArchiveWalk;
  readonly rootFd: number;
  readonly options: RestoreOptions;
  readonly observer: RestoreObserver;
  readonly placing?: ContentPlacing | undefined;
  readonly signal: AbortSignal | undefined;
}

/** A file of the archive, with the position of its FILENAME there. */
interface ArchivedFile {
  readonly metadata: PxarMetadata | undefined;
  readonly position: number;
  readonly size: number;
}

const newFileFlags = openFlags.O_WRONLY | openFlags.O_CREAT | openFlags.O_EXCL | openFlags.O_NOFOLLOW | openFlags.O_NOCTTY;
const modeUntilFinished = { file: 0o600, directory: 0o700 } as const;
const modeBits = 0o777;
/** Nothing that is still to come could be written either. */
const fatalCodes = new Set(['ENOSPC', 'EDQUOT', 'EROFS', 'INTERRUPTED', 'CLOSED']);
/** Files whose hard links have to be made otherwise. */
const missingTargetsMax = 1_000_000;

export class ArchiveRestorer {
  readonly #archive: ArchiveWalk;
  readonly #options: RestoreOptions;
  readonly #observer: RestoreObserver;
  readonly #placing: ContentPlacing | undefined;
  readonly #signal: AbortSignal | undefined;
  readonly #rootFd: number;
  readonly #selection: Selection;
  readonly #losses: Losses;
  readonly #metadata: MetadataWriter;
  readonly #counts = { files: 0, directories: 0, others: 0, bytes: 0, failures: 0 };
  /** By FILENAME position: files that could not be restored, and those that stand for one that was not selected. */
  readonly #failedFiles = new Set<number>();
  readonly #standIns = new Map<number, Buffer>();
  #tree: TargetTree | undefined;
  #matched = false;

  constructor({ archive, rootFd, options, observer, placing, signal }: RestorerOptions) {
    this.#archive = archive;
    this.#rootFd = rootFd;
    this.#options = options;
    this.#observer = observer;
    this.#placing = placing;
    this.#signal = signal;
    this.#selection = new Selection(options.patterns);
    this.#losses = new Losses((line) => observer.warn(line));
    this.#metadata = new MetadataWriter(options.skip, this.#losses, placing);
  }

  async run(): Promise<RestoreResult> {
    try {
      await this.#archive.run((event) => this.#use(event));
    } finally {
      this.#tree?.close();
    }
    for (const line of this.#losses.totals()) this.#observer.warn(line);
    if (!this.#matched && this.#options.patterns.length > 0) throw new StoreError('NOT_FOUND', 'nothing in the archive fits the patterns');
    return { ...this.#counts, warnings: this.#losses.count };
  }

  #use(event: ScanEvent): MaybePromise<void> {
    throwIfInterrupted(this.#signal, () => `${this.#counts.files} files are restored, the others are not`);
    this.#observer.progress({ bytes: this.#archive.bytes, bytesTotal: this.#archive.bytesTotal });
    if (event.type === 'preamble') return undefined;
    if (event.type === 'directoryEnd') return this.#leave(event.depth);
    const { kind, metadata } = event.entry;
    if (event.depth === 0) return this.#enterRoot(metadata);
    if (kind === 'directory') return this.#enter(event.name, metadata);
    if (!this.#selection.selects(event.name, metadata?.mode ?? fileTypes.regular)) return undefined;
    this.#matched = true;
    switch (kind) {
      case 'file':
        return this.#file(event.name, { metadata, position: event.namePosition, size: event.entry.content?.size ?? 0 }, () => this.#archive.contentOf(event));
      case 'hardlink':
        return this.#hardlink(event);
      default:
        return this.#other(event, kind, metadata);
    }
  }

  #enterRoot(metadata: PxarMetadata | undefined): void {
    if (metadata === undefined) return;
    this.#tree = new TargetTree({
      rootFd: this.#rootFd,
      rootMetadata: metadata,
      allowExisting: this.#options.allowExistingDirectories,
      modeOf: ({ mode }) => (this.#keepsModes ? modeUntilFinished.directory : (mode & modeBits) | modeUntilFinished.directory),
      failed: (error, path) => this.#failed(error, path),
      made: () => (this.#counts.directories += 1),
    });
  }

  #enter(name: Buffer, metadata: PxarMetadata | undefined): void {
    if (metadata === undefined) return;
    const wanted = this.#selection.enter(name);
    this.#target.enter(name, metadata);
    if (!wanted) return;
    this.#matched = true;
    this.#target.descriptor();
  }

  #leave(depth: number): void {
    this.#target.leave((fd, metadata, path) => {
      // Patterns say what is restored into the target, which then remains the user's own.
      if (depth === 0 && this.#options.patterns.length > 0) return;
      this.#guard(path, () => this.#metadata.toDescriptor(fd, metadata, path, true));
    });
    if (depth > 0) this.#selection.leave();
  }

  #file(name: Buffer, { metadata, position, size }: ArchivedFile, contentOf: () => MaybePromise<PxarContentRange>): MaybePromise<void> {
    const directoryFd = this.#target.descriptor();
    const path = (): Buffer => this.#target.path(name);
    if (directoryFd === undefined || metadata === undefined) return this.#remember(position);
    const mode = this.#keepsModes ? modeUntilFinished.file : (metadata.mode & modeBits) | modeUntilFinished.file;
    const fd = this.#guard(path, () => this.#creating(directoryFd, name, 'files', () => openAt(directoryFd, name, newFileFlags, mode)));
    if (fd === undefined) return this.#remember(position);
    const fail = (error: unknown): void => {
      closeSync(fd);
      this.#remember(position);
      // Content that is not whole must not look as if it were.
      this.#guard(path, () => unlinkAt(directoryFd, name));
      this.#failed(error, path());
    };
    const finish = (): void => {
      try {
        this.#metadata.toDescriptor(fd, metadata, path, false);
      } catch (error) {
        this.#failed(error, path());
      }
      closeSync(fd);
      this.#counts.files += 1;
      this.#counts.bytes += size;
    };
    try {
      this.#metadata.beforeContent(fd, metadata);
      const isPlaced = size > 0 && this.#placing?.place(fd, entryId(position), size) === true;
      const written = isPlaced ? undefined : andThen(contentOf(), (range) => this.#write(fd, range));
      if (written instanceof Promise) return written.then(finish, fail);
      finish();
    } catch (error) {
      fail(error);
    }
    return undefined;
  }

  #write(fd: number, range: PxarContentRange): MaybePromise<void> {
    const writer = new SparseWriter(fd);
    const written = eachPiece(range, (piece, position) => {
      throwIfInterrupted(this.#signal, () => `${this.#counts.files} files are restored, the others are not`);
      writer.write(piece, position);
      const left = range.size - position - piece.length;
      if (left > 0) this.#observer.progress({ bytes: this.#archive.bytes - left, bytesTotal: this.#archive.bytesTotal });
    });
    return andThen(written, () => writer.finish(range.size));
  }

  #hardlink(event: ScannedEntry): MaybePromise<void> {
    const { hardlink } = event.entry;
    if (hardlink === undefined) return undefined;
    const position = linkPosition(event);
    const path = (): Buffer => this.#target.path(event.name);
    if (this.#failedFiles.has(position)) return this.#failed(new Error(`${printableName(hardlink.target)}, which it is a hard link to, is not there`), path());
    const standIn = this.#standIns.get(position);
    if (standIn === undefined && !this.#selection.selectsPath(hardlink.target)) return this.#standInFor(event, position);
    this.#guard(path, () => this.#link(event.name, standIn ?? hardlink.target));
    return undefined;
  }

  #link(name: Buffer, target: Buffer): void {
    const directoryFd = this.#target.descriptor();
    if (directoryFd === undefined) return;
    this.#target.at(target, (fd, targetName) =>
      this.#creating(directoryFd, name, 'hardlinks', () => linkDespiteFlags(fd, targetName, () => linkAt(fd, targetName, directoryFd, name))),
    );
    this.#counts.others += 1;
  }

  /** The file itself was not selected: the first of its links that is becomes it. */
  async #standInFor(event: ScannedEntry, position: number): Promise<void> {
    const path = this.#target.path(event.name);
    let node: PxarNode;
    try {
      node = await this.#archive.linkTarget(event);
    } catch (error) {
      return this.#failed(error, path);
    }
    const { metadata, content } = node.entry;
    await this.#file(event.name, { metadata, position, size: content?.size ?? 0 }, () => this.#archive.contentOfNode(node));
    if (this.#standIns.size < missingTargetsMax) this.#standIns.set(position, path);
  }

  #other(event: ScannedEntry, kind: 'symlink' | 'device' | 'fifo' | 'socket', metadata: PxarMetadata | undefined): void {
    const { name, entry } = event;
    const left = { symlink: undefined, device: 'devices', fifo: 'fifos', socket: 'sockets' } as const;
    const skipped = left[kind];
    if (metadata === undefined || (skipped !== undefined && this.#options.skip.has(skipped))) return;
    const directoryFd = this.#target.descriptor();
    if (directoryFd === undefined) return;
    const path = (): Buffer => this.#target.path(name);
    const { target, device } = entry;
    const make = (): void => {
      if (target !== undefined) symlinkAt(target, directoryFd, name);
      else makeNodeAt(directoryFd, name, metadata.mode, device?.major, device?.minor);
    };
    const isLink = kind === 'symlink';
    this.#guard(path, () => {
      const made = this.#losses.attemptNode(kind, path, () => this.#creating(directoryFd, name, isLink ? 'symlinks' : 'nodes', make));
      if (!made) return;
      this.#metadata.toName(directoryFd, name, metadata, path, isLink);
      this.#counts.others += 1;
    });
  }

  get #target(): TargetTree {
    if (this.#tree === undefined) throw new Error('the root comes first');
    return this.#tree;
  }

  get #keepsModes(): boolean {
    return !this.#options.skip.has('permissions');
  }

  /** What is there already and may be replaced is removed; its content is not touched, as it may have other names. */
  #creating<T>(directoryFd: number, name: Buffer, what: Replacing, create: () => T): T {
    try {
      return create();
    } catch (error) {
      if (codeOf(error) !== 'EEXIST') throw error;
      if (!this.#options.replace.has(what)) throw new StoreError('EXISTS', 'it is there already', { cause: error });
      unlinkAt(directoryFd, name);
      return create();
    }
  }

  #guard<T>(path: () => Buffer, run: () => T): T | undefined {
    try {
      return run();
    } catch (error) {
      this.#failed(error, path());
      return undefined;
    }
  }

  /** Tells of one entry that is not restored. Throws what ends the whole restore. */
  #failed(error: unknown, path: Buffer): void {
    if (fatalCodes.has(codeOf(error) ?? '')) throw withPath(error, path);
    this.#counts.failures += 1;
    this.#observer.failed(`${printableName(path)}: ${messageOf(error)}`);
  }

  #remember(position: number): void {
    if (this.#failedFiles.size < missingTargetsMax) this.#failedFiles.add(position);
  }
}

/** The system's message names the last component only. */
function withPath(error: unknown, path: Buffer): unknown {
  if (!(error instanceof Error) || codeOf(error) === 'INTERRUPTED' || codeOf(error) === 'CLOSED') return error;
  return Object.assign(new Error(`${printableName(path)}: ${error.message}; the restore ends here`, { cause: error }), { code: codeOf(error) });
}
