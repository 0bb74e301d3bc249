/** What a restore is asked for, and what it tells. */
import type { NodeId } from '../archive/pxar-tree.js';
import { StoreError } from '../errors.js';
import type { MatchPattern } from '../format/match-pattern.js';

/** Kinds of metadata and of files that may be left out. `flags`: those of chattr, of FAT, and quota project ids. */
export const restoreClasses = ['owner', 'permissions', 'xattrs', 'acls', 'fcaps', 'flags', 'times', 'devices', 'fifos', 'sockets'] as const;
export type RestoreClass = (typeof restoreClasses)[number];

/** What may take the place of something else that is no directory. `nodes`: devices, fifos and sockets. */
export type Replacing = 'files' | 'symlinks' | 'hardlinks' | 'nodes';

export interface RestoreOptions {
  readonly skip: ReadonlySet<RestoreClass>;
  readonly replace: ReadonlySet<Replacing>;
  /** Directories of the archive may be there already; without it the target has to be missing or empty. */
  readonly allowExistingDirectories: boolean;
  /** None: everything. Else what the last one that fits says, as for excludes. Format: pxar, sections 3.8 and 4.2. */
  readonly patterns: readonly MatchPattern[];
}

/** For an archive whose files are to refer to their contents instead of having them. */
export interface ContentPlacing {
  /** Gives the open, empty file its content, the file `node` of the archive. False: the content has to be written. */
  place(fd: number, node: NodeId, size: number): boolean;
  /** Attributes that may not be set. */
  isReserved(xattr: Buffer): boolean;
}

export interface RestoreObserver {
  /** Bytes of the archive that have been gone through. */
  progress(figures: { readonly bytes: number; readonly bytesTotal: number }): void;
  /** Something could not be restored as it was. */
  warn(line: string): void;
  /** Something could not be restored at all. */
  failed(line: string): void;
}

export interface RestoreResult {
  readonly files: number;
  readonly directories: number;
  readonly others: number;
  /** Content of files. */
  readonly bytes: number;
  /** Attributes and files that could not be restored as they were. */
  readonly warnings: number;
  readonly failures: number;
}

export function throwIfInterrupted(signal: AbortSignal | undefined, what: () => string): void {
  if (signal?.aborted === true) throw new StoreError('INTERRUPTED', `interrupted: ${what()}`);
}
