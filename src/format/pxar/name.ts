/** Which bytes may be the name of a directory entry. Format: pxar, section 1.5 */
import { FormatError } from '../../errors.js';
import { nameBytesMax } from './item.js';

const slash = 0x2f;
const dot = 0x2e;

/** Throws BAD_NAME unless `name` could be created in a directory: no `.`, `..`, slash or NUL, 1 to `nameBytesMax` bytes. */
export function checkName(name: Buffer): void {
  const dots = name[0] === dot && (name.length === 1 || (name.length === 2 && name[1] === dot));
  if (name.length === 0 || name.length > nameBytesMax || dots || name.includes(slash) || name.includes(0)) {
    throw new FormatError('BAD_NAME', `${printable(name)} cannot be the name of a file`);
  }
}

/** Throws BAD_NAME unless `path` is relative and made of valid names: what a hard link may name as its target. */
export function checkRelativePath(path: Buffer): void {
  let from = 0;
  for (;;) {
    const to = path.indexOf(slash, from);
    checkName(path.subarray(from, to === -1 ? path.length : to));
    if (to === -1) return;
    from = to + 1;
  }
}

function printable(name: Buffer): string {
  return JSON.stringify(name.toString('latin1', 0, 64));
}
