/** Attributes as people and programs read them. */
import {
  S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG, S_IFSOCK, type Attributes, type Timestamp,
} from '../vfs/file-system.js';
import { nameText } from '../vfs/name.js';

const types: ReadonlyMap<number, readonly [letter: string, name: string]> = new Map([
  [S_IFIFO, ['p', 'fifo']],
  [S_IFCHR, ['c', 'chardev']],
  [S_IFDIR, ['d', 'dir']],
  [S_IFBLK, ['b', 'blockdev']],
  [S_IFREG, ['-', 'file']],
  [S_IFLNK, ['l', 'symlink']],
  [S_IFSOCK, ['s', 'socket']],
]);

export function typeName(mode: number): string {
  return types.get(mode & S_IFMT)?.[1] ?? 'unknown';
}

/** `drwxr-sr-x`. */
export function modeText(mode: number): string {
  const letters = [types.get(mode & S_IFMT)?.[0] ?? '?'];
  const special = [[0o4000, 's', 'S'], [0o2000, 's', 'S'], [0o1000, 't', 'T']] as const;
  special.forEach(([bit, withExecute, without], at) => {
    const bits = mode >> (6 - 3 * at);
    const execute = (bits & 1) === 1 ? 'x' : '-';
    letters.push((bits & 4) === 4 ? 'r' : '-', (bits & 2) === 2 ? 'w' : '-');
    letters.push((mode & bit) === 0 ? execute : execute === 'x' ? withExecute : without);
  });
  return letters.join('');
}

/** `2021-05-24T16:09:24.000000001Z`, nanoseconds only if there are any; `@seconds` outside of the years that have names. */
export function timeText({ sec, nsec }: Timestamp): string {
  const fraction = nsec === 0 ? '' : `.${String(nsec).padStart(9, '0')}`;
  const date = new Date(sec * 1000);
  return Number.isNaN(date.getTime()) ? `@${sec}${fraction}` : date.toISOString().replace('.000Z', `${fraction}Z`);
}

export function isDevice(mode: number): boolean {
  return (mode & S_IFMT) === S_IFCHR || (mode & S_IFMT) === S_IFBLK;
}

/** A path or name for JSON: text, and the bytes as `<key>Base64` where they are no UTF-8. */
export function jsonName(key: string, bytes: Buffer): Record<string, string> {
  const text = nameText(bytes);
  return text === undefined ? { [key]: bytes.toString(), [`${key}Base64`]: bytes.toString('base64') } : { [key]: text };
}

/** What `ls --json` prints for each entry, and `stat --json` begins with. */
export function jsonAttributes(attributes: Attributes): object {
  const { mode, nlink, uid, gid, size, rdevMajor, rdevMinor, mtime, ino } = attributes;
  return {
    type: typeName(mode),
    mode: (mode & 0o7777).toString(8).padStart(4, '0'),
    uid,
    gid,
    size,
    mtime: timeText(mtime),
    nlink,
    ino,
    ...(isDevice(mode) && { device: [rdevMajor, rdevMinor] }),
  };
}
