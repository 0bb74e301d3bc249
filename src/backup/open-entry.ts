/**
 * Opens what a name stands for now: regular files and directories for reading, anything else with O_PATH. What an entry is is asked of the
 * descriptor, so that a name that means something else a moment later does no harm. Format: pxar, section 3.2
 */
import { closeSync } from 'node:fs';
import { codeOf } from '../errors.js';
import { fileTypeMask, fileTypes } from '../format/pxar/entry.js';
import { openAt } from '../os/directory-calls.js';
import { statAt, type FileStat } from '../os/file-stat.js';
import { openFlags } from '../os/open-flags.js';

export interface OpenEntry {
  readonly fd: number;
  readonly stat: FileStat;
}

const { O_RDONLY, O_NOFOLLOW, O_NOCTTY, O_NOATIME, O_NONBLOCK, O_DIRECTORY, O_PATH } = openFlags;
const itself = Buffer.alloc(0);
const changedCodes: ReadonlySet<string | undefined> = new Set(['ELOOP', 'ENXIO', 'ENOTDIR', 'EMLINK']);

/** Whether opening failed because the name stands for something else than it did before. */
export function isChanged(error: unknown): boolean {
  return changedCodes.has(codeOf(error));
}

/** `type` is that of what the name stood for a moment ago; undefined if it is another one now. Throws system errors without a path. */
export function openEntry(directoryFd: number, name: Buffer, type: number): OpenEntry | undefined {
  const fd = openAs(directoryFd, name, type);
  if (fd === undefined) return undefined;
  try {
    const stat = statAt(fd, itself);
    if ((stat.mode & fileTypeMask) === type) return { fd, stat };
  } catch (error) {
    closeSync(fd);
    throw error;
  }
  closeSync(fd);
  return undefined;
}

/** A directory that must be one; no link is followed. */
export function openDirectoryAt(directoryFd: number, name: Buffer): number {
  return openReading(directoryFd, name, O_DIRECTORY);
}

function openAs(directoryFd: number, name: Buffer, type: number): number | undefined {
  try {
    if (type === fileTypes.regular) return openReading(directoryFd, name, 0);
    if (type === fileTypes.directory) return openReading(directoryFd, name, O_DIRECTORY);
    return openAt(directoryFd, name, O_RDONLY | O_PATH | O_NOFOLLOW);
  } catch (error) {
    if (isChanged(error)) return undefined;
    throw error;
  }
}

/** O_NONBLOCK: a fifo in the place of a file would wait for ever. EAGAIN: it would not wait for whoever holds a lease, but should. */
function openReading(directoryFd: number, name: Buffer, more: number): number {
  let flags = O_RDONLY | O_NOFOLLOW | O_NOCTTY | O_NOATIME | O_NONBLOCK | more;
  for (;;) {
    try {
      return openAt(directoryFd, name, flags);
    } catch (error) {
      const code = codeOf(error);
      if (code === 'EPERM' && (flags & O_NOATIME) !== 0) flags &= ~O_NOATIME;
      else if (code === 'EAGAIN' && (flags & O_NONBLOCK) !== 0) flags &= ~O_NONBLOCK;
      else if (code !== 'EINTR') throw error;
    }
  }
}
