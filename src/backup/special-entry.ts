/** Entries that are all metadata: symbolic links, devices, fifos, sockets. Format: pxar, section 3.3 */
import { FormatError } from '../errors.js';
import { fileTypeMask, fileTypes, type PxarEntry } from '../format/pxar/entry.js';
import { readLinkAt } from '../os/directory-calls.js';
import type { FoundEntry } from './archive-output.js';
import { shownPath, skipReason } from './source-errors.js';

const itself = Buffer.alloc(0);

/** Undefined, after a warning, if it is left out. Throws BAD_STRUCTURE for a kind that archives do not have. */
export function specialEntry({ stat, metadata, fd, path }: FoundEntry, warn: (line: string) => void): PxarEntry | undefined {
  switch (stat.mode & fileTypeMask) {
    case fileTypes.symlink:
      try {
        return { kind: 'symlink', metadata, target: readLinkAt(fd, itself) };
      } catch (error) {
        warn(skipReason(error, 'attributes', path(), false));
        return undefined;
      }
    case fileTypes.characterDevice:
    case fileTypes.blockDevice:
      return { kind: 'device', metadata, device: { major: stat.rdevMajor, minor: stat.rdevMinor } };
    case fileTypes.fifo:
      return { kind: 'fifo', metadata };
    case fileTypes.socket:
      return { kind: 'socket', metadata };
    default:
      throw new FormatError('BAD_STRUCTURE', `${shownPath(path())} is of a kind (mode 0o${stat.mode.toString(8)}) that cannot be archived`);
  }
}
