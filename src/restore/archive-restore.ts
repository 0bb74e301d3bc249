/**
 * A pxar archive onto a file system: walked from front to back, written through descriptors only. What concerns one file (it exists, its
 * content is lost) is told and the restore goes on; a full or failing file system and damage of the archive itself end it.
 * Format: pxar, section 4.
 */
import { closeSync, constants, mkdirSync, openSync } from 'node:fs';
import type { ArchiveContext } from '../archive/archive-context.js';
import type { SnapshotContent } from '../archive/snapshot-contents.js';
import type { SnapshotState } from '../archive/snapshot-state.js';
import { StoreError } from '../errors.js';
import { namesIn } from '../os/directory-calls.js';
import { printableName } from '../vfs/name.js';
import { ArchiveRestorer } from './archive-restorer.js';
import { withArchive } from './archive-walk.js';
import type { ContentPlacing, RestoreObserver, RestoreOptions, RestoreResult } from './restore-options.js';

export interface ArchiveRestoreRequest {
  readonly context: ArchiveContext;
  readonly state: SnapshotState;
  /** Of kind `archive`. */
  readonly content: SnapshotContent;
  /** Made if it is missing. The metadata of the archive's root becomes its own. */
  readonly target: Buffer;
  readonly options: RestoreOptions;
  readonly observer: RestoreObserver;
  readonly placing?: ContentPlacing;
  readonly signal?: AbortSignal;
}

const newDirectoryMode = 0o700;

/** EXISTS if the target is not empty and need be. Then INTERRUPTED, ENOSPC and its like, and damage of the archive end it half-way. */
export async function restoreArchive(request: ArchiveRestoreRequest): Promise<RestoreResult> {
  const { context, state, content, target, options, observer, placing, signal } = request;
  return await withArchive({ context, state, content }, async (archive) => {
    const rootFd = openTarget(target, options.allowExistingDirectories);
    try {
      const restorer = new ArchiveRestorer({ archive, rootFd, options, observer, placing, signal });
      return await restorer.run();
    } finally {
      closeSync(rootFd);
    }
  });
}

/** The user's own path: links in it are followed. */
function openTarget(target: Buffer, allowExisting: boolean): number {
  mkdirSync(target, { recursive: true, mode: newDirectoryMode });
  const fd = openSync(target, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    if (!allowExisting && namesIn(fd).length > 0) throw notEmpty(target);
    return fd;
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

function notEmpty(target: Buffer): StoreError {
  const how = '--allow-existing-dirs restores beside what is in it, --overwrite replaces files of the same names';
  return new StoreError('EXISTS', `${printableName(target)} is not empty: ${how}`);
}
