/** What archiving a tree needs, and what it tells when it is done. */
import type { PxarTree } from '../archive/pxar-tree.js';
import type { CatalogWriter } from '../format/catalog-writer.js';
import type { DynamicIndex } from '../format/dynamic-index.js';
import type { ReusedChunk } from '../store/backup-session.js';
import type { MaybePromise } from '../vfs/file-system.js';
import type { FileStat } from '../os/file-stat.js';
import type { WalkOptions } from './backup-request.js';
import type { ClonedContent } from './cloned-content.js';

/** What a StreamWriter is to those that put bytes into it. */
export interface ArchiveStream {
  /** Bytes of the stream so far. */
  readonly position: number;
  /** Waits until so many bytes, at most 4 MiB + 64 KiB, can be written. */
  room(bytes: number): MaybePromise<void>;
  /** Memory after the last byte; what is read into its beginning need not be copied when it is written. */
  space(bytes: number): Buffer;
  write(bytes: Buffer): void;
}

export interface PayloadStream extends ArchiveStream {
  /** A good place for a cut: where a file begins. */
  suggest(position: number): void;
  /** A cut here, then these chunks. */
  inject(chunks: readonly ReusedChunk[]): void;
}

/** The archive that the previous snapshot has of the same name. */
export interface ReferenceTree {
  readonly tree: PxarTree;
  readonly payloadIndex: DynamicIndex;
  /** Keeps chunks from being removed; positions of those that are missing. */
  reuse(chunks: readonly ReusedChunk[]): Promise<readonly number[]>;
}

export interface ArchiveCatalog {
  readonly writer: CatalogWriter;
  /** Called after every few entries: passes on what the writer has written. */
  flush(): MaybePromise<void>;
}

/** A regular file that is open. */
export interface SourceFileEntry {
  readonly fd: number;
  readonly stat: FileStat;
  /** Absolute within the tree. */
  readonly path: () => Buffer;
}

/** Undefined for files whose content is their own. */
export type ContentOf = (file: SourceFileEntry) => MaybePromise<ClonedContent | undefined>;

export interface ArchiveTreeOptions extends WalkOptions {
  /** A directory; links on the way to it are followed. */
  readonly source: string | Buffer;
  readonly format: 'legacy' | 'split';
  readonly meta: ArchiveStream;
  /** Of a split archive. */
  readonly payload?: PayloadStream;
  /** Of a legacy archive. */
  readonly catalog?: ArchiveCatalog;
  /** As the catalog has it: `root.pxar.didx`. */
  readonly archiveName: string;
  /** For a split archive: unchanged files are not read. */
  readonly reference?: ReferenceTree | undefined;
  /** Of a spool: contents that lie elsewhere. */
  readonly contentOf?: ContentOf | undefined;
  readonly warn: (line: string) => void;
  /** Bytes of file contents so far, and those of them that were not read. */
  readonly progress: (bytes: number, bytesReused: number) => void;
  readonly signal: AbortSignal;
}

export interface ArchiveSummary {
  /** Regular files, hard links not counted twice. */
  readonly files: number;
  readonly directories: number;
  /** Everything else, hard links included. */
  readonly others: number;
  /** Of contents: what was read, holes and padding included. */
  readonly bytesRead: number;
  readonly filesReused: number;
  readonly bytesReused: number;
  /** Unchanged files that were read all the same, as too little of their chunks was of use. */
  readonly filesReencoded: number;
  readonly warnings: number;
}
