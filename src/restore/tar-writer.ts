/**
 * A pxar archive as a tar stream: with xattrs, ACLs, file capabilities, hard links, devices and times to the nanosecond. What tar has no
 * place for (sockets, flags of chattr, project ids) is left out and told.
 */
import type { PxarContentRange, PxarNode } from '../archive/pxar-tree.js';
import { zeros } from '../archive/zero-chunk.js';
import { messageOf, StoreError } from '../errors.js';
import type { MatchPattern } from '../format/match-pattern.js';
import { fileTypeMask, fileTypes, type PxarMetadata } from '../format/pxar/entry.js';
import { chattrFlags } from '../format/pxar/flags.js';
import type { ScanEvent, ScannedEntry } from '../format/pxar/scanner.js';
import type { MaybePromise } from '../vfs/file-system.js';
import { printableName } from '../vfs/name.js';
import { linkPosition, withArchive, type ArchiveSource, type ArchiveWalk } from './archive-walk.js';
import { dataFrom } from './file-content.js';
import { throwIfInterrupted, type RestoreObserver, type RestoreResult } from './restore-options.js';
import { Selection } from './selection.js';
import { tarEnd, tarHeaders, tarPadding, type TarEntry } from './tar-header.js';
import { TarOutput } from './tar-output.js';

export interface TarRequest extends ArchiveSource {
  readonly patterns: readonly MatchPattern[];
  /** Resolves when more can be taken. */
  readonly write: (bytes: Buffer) => Promise<void>;
  readonly observer: RestoreObserver;
  readonly signal?: AbortSignal;
}

const here = Buffer.from('.');
const slash = Buffer.from('/');
const standInsMax = 1_000_000;

interface Level {
  readonly path: Buffer;
  readonly metadata: PxarMetadata;
  written: boolean;
}

/**
 * A file whose first bytes can't be had is left out (a failure in the result); one that breaks off later ends the stream with an error,
 * as its length has been promised.
 */
export async function writeTar(request: TarRequest): Promise<RestoreResult> {
  return await withArchive(request, async (archive) => await new TarWriter(archive, request).run());
}

class TarWriter {
  readonly #archive: ArchiveWalk;
  readonly #request: TarRequest;
  readonly #output: TarOutput;
  readonly #selection: Selection;
  readonly #levels: Level[] = [];
  readonly #counts = { files: 0, directories: 0, others: 0, bytes: 0, warnings: 0, failures: 0 };
  /** By FILENAME position: files that are not in the stream, and paths of those that stand for one. */
  readonly #missing = new Set<number>();
  readonly #standIns = new Map<number, Buffer>();
  #withFlags = 0;

  constructor(archive: ArchiveWalk, request: TarRequest) {
    this.#archive = archive;
    this.#request = request;
    this.#output = new TarOutput(request.write);
    this.#selection = new Selection(request.patterns);
  }

  async run(): Promise<RestoreResult> {
    await this.#archive.run((event) => this.#use(event));
    if (this.#withFlags > 0) this.#warn(`flags or project ids of ${this.#withFlags} entries are left out: tar has no place for them`);
    const { files, directories, others } = this.#counts;
    if (files + directories + others === 0 && this.#request.patterns.length > 0) throw new StoreError('NOT_FOUND', 'nothing in the archive fits the patterns');
    await this.#output.write(tarEnd);
    await this.#output.flush();
    return { ...this.#counts };
  }

  #use(event: ScanEvent): MaybePromise<void> {
    throwIfInterrupted(this.#request.signal, () => 'the tar stream is not whole');
    this.#request.observer.progress({ bytes: this.#archive.bytes, bytesTotal: this.#archive.bytesTotal });
    if (event.type === 'preamble') return undefined;
    if (event.type === 'directoryEnd') {
      this.#levels.pop();
      if (event.depth > 0) this.#selection.leave();
      return undefined;
    }
    const { kind, metadata } = event.entry;
    if (kind === 'directory') return metadata === undefined ? undefined : this.#enter(event, metadata);
    if (!this.#selection.selects(event.name, metadata?.mode ?? fileTypes.regular)) return undefined;
    return this.#entry(event);
  }

  #enter({ depth, name }: ScannedEntry, metadata: PxarMetadata): MaybePromise<void> {
    // With patterns the root is that of another tree.
    const wanted = depth === 0 ? this.#request.patterns.length === 0 : this.#selection.enter(name);
    this.#levels.push({ path: depth === 0 ? here : this.#path(name), metadata, written: depth === 0 && !wanted });
    return wanted ? this.#writeDirectories() : undefined;
  }

  async #writeDirectories(): Promise<void> {
    for (const level of this.#levels) {
      if (level.written) continue;
      level.written = true;
      this.#counts.directories += 1;
      await this.#head({ type: 'Directory', path: Buffer.concat([level.path, slash]), metadata: level.metadata });
    }
  }

  async #entry(event: ScannedEntry): Promise<void> {
    const { entry, name } = event;
    const { metadata, kind, target, device } = entry;
    const path = this.#path(name);
    await this.#writeDirectories();
    if (kind === 'hardlink') return await this.#hardlink(event, path);
    if (metadata === undefined) return;
    if (kind === 'socket') return this.#warn(`${printableName(path)} is a socket: tar has no place for it`);
    if (kind === 'file') return await this.#file(path, metadata, event.namePosition, () => this.#archive.contentOf(event));
    const isBlock = (metadata.mode & fileTypeMask) === fileTypes.blockDevice;
    const type = kind === 'symlink' ? 'SymbolicLink' : kind === 'fifo' ? 'FIFO' : isBlock ? 'BlockDevice' : 'CharacterDevice';
    this.#counts.others += 1;
    await this.#head({ type, path, metadata, ...(target && { linkPath: target }), ...(device && { device }) });
  }

  async #hardlink(event: ScannedEntry, path: Buffer): Promise<void> {
    const stored = event.entry.hardlink?.target ?? Buffer.alloc(0);
    const position = linkPosition(event);
    if (this.#missing.has(position)) return this.#failed(path, `${printableName(stored)}, which it is a hard link to, is left out`);
    let node: PxarNode;
    try {
      node = await this.#archive.linkTarget(event);
    } catch (error) {
      return this.#failed(path, messageOf(error));
    }
    const { metadata } = node.entry;
    if (metadata === undefined) return;
    const standIn = this.#standIns.get(position);
    if (standIn === undefined && !this.#selection.selectsPath(stored)) {
      if (this.#standIns.size < standInsMax) this.#standIns.set(position, path);
      return await this.#file(path, metadata, position, () => this.#archive.contentOfNode(node));
    }
    this.#counts.others += 1;
    await this.#head({ type: 'Link', path, metadata, linkPath: standIn ?? Buffer.concat([here, slash, stored]) });
  }

  async #file(path: Buffer, metadata: PxarMetadata, position: number, contentOf: () => MaybePromise<PxarContentRange>): Promise<void> {
    let range: PxarContentRange;
    try {
      range = await contentOf();
      await range.stream.window(range.offset, 1);
    } catch (error) {
      if (this.#missing.size < standInsMax) this.#missing.add(position);
      return this.#failed(path, messageOf(error));
    }
    await this.#head({ type: 'File', path, metadata, size: range.size });
    await this.#content(range);
    await this.#output.write(tarPadding(range.size));
    this.#counts.files += 1;
    this.#counts.bytes += range.size;
  }

  async #content({ stream, offset, size }: PxarContentRange): Promise<void> {
    const end = offset + size;
    for (let at = offset; at < end; ) {
      throwIfInterrupted(this.#request.signal, () => 'the tar stream is not whole');
      const data = dataFrom(stream, at, end);
      for (; at < data; at += Math.min(zeros.length, data - at)) await this.#output.write(zeros.subarray(0, Math.min(zeros.length, data - at)));
      if (at >= end) return;
      const window = stream.window(at, 1);
      const piece = (window instanceof Promise ? await window : window).subarray(0, end - at);
      const written = this.#output.write(piece);
      at += piece.length;
      if (written instanceof Promise) await written;
    }
  }

  #head(entry: TarEntry): MaybePromise<void> {
    const { flags, projectId } = entry.metadata;
    if (entry.type !== 'Link' && (chattrFlags(flags) !== 0 || projectId !== undefined)) this.#withFlags += 1;
    return this.#output.write(tarHeaders(entry));
  }

  #path(name: Buffer): Buffer {
    return Buffer.concat([this.#levels.at(-1)?.path ?? here, slash, name]);
  }

  #warn(line: string): void {
    this.#counts.warnings += 1;
    this.#request.observer.warn(line);
  }

  #failed(path: Buffer, reason: string): void {
    this.#counts.failures += 1;
    this.#request.observer.failed(`${printableName(path)}: ${reason}`);
  }
}
