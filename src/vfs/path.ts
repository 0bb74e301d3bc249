/** Walks paths over a FileSystem as the kernel does: links are followed, and nothing leads out of the directory it started from. */
import { FileError, FormatError, StoreError } from '../errors.js';
import { printableName } from './name.js';
import { S_IFDIR, S_IFLNK, S_IFMT, type Entry, type FileSystem, type Ino } from './file-system.js';

/** As many as Linux follows in one path. */
export const linksMax = 40;
export const pathBytesMax = 4096;

const slash = 0x2f;
const self = Buffer.from('.');
const parent = Buffer.from('..');

export interface WalkOptions {
  /** How many names lead to the directory that absolute links and `..` do not leave; 0 for the root. */
  readonly rootDepth?: number;
  /** Whether a link that the path ends in is followed. */
  readonly followLast: boolean;
}

/** The names of a path without empty ones and `.`; a `..` stays. */
export function pathComponents(path: Buffer): Buffer[] {
  const components: Buffer[] = [];
  for (let start = 0; start <= path.length; ) {
    const at = path.indexOf(slash, start);
    const end = at === -1 ? path.length : at;
    const name = path.subarray(start, end);
    if (name.length > 0 && !name.equals(self)) components.push(name);
    start = end + 1;
  }
  return components;
}

/** The entry that `path` names. NOT_FOUND, NOT_A_DIRECTORY, and LIMIT_EXCEEDED for links that go in circles. */
export async function walkPath(fileSystem: FileSystem, path: Buffer, { rootDepth = 0, followLast }: WalkOptions): Promise<Entry> {
  if (path.length > pathBytesMax) throw new FormatError('LIMIT_EXCEEDED', `a path of ${path.length} bytes is too long: at most ${pathBytesMax}`);
  /** Directories on the way to where the walk is; the next name is looked up in the last. */
  const way: Ino[] = [fileSystem.root];
  const current = (): Ino => way.at(-1) ?? fileSystem.root;
  /** What is still to go, the next name last. */
  const names = pathComponents(path).reverse();
  const namesBelowRoot = names.length - rootDepth;
  let rootLength: number | undefined;
  let mustBeDirectory = path.at(-1) === slash;
  let entry = await fileSystem.getattr(fileSystem.root);
  let links = 0;

  for (;;) {
    if (names.length <= namesBelowRoot) rootLength ??= way.length;
    const name = names.pop();
    if (name === undefined) break;
    if (!isDirectory(entry)) throw notADirectory(path);
    if (name.equals(parent)) {
      if (way.length > (rootLength ?? 1)) way.pop();
      entry = await fileSystem.getattr(current());
      continue;
    }
    const found = await fileSystem.lookup(current(), name);
    if (found === undefined) throw new StoreError('NOT_FOUND', `there is no '${printableName(name)}' in ${placeOf(path, name)}`);
    const isLast = names.length === 0 && !mustBeDirectory;
    if (isLink(found) && (followLast || !isLast)) {
      if (++links > linksMax) throw new FormatError('LIMIT_EXCEEDED', `'${printableName(path)}' goes through more than ${linksMax} links`);
      const target = await fileSystem.readlink(found.attributes.ino);
      if (target[0] === slash) way.length = rootLength ?? 1;
      mustBeDirectory ||= isLast && target.at(-1) === slash;
      names.push(...pathComponents(target).reverse());
      entry = await fileSystem.getattr(current());
    } else {
      entry = found;
      if (isDirectory(entry)) way.push(entry.attributes.ino);
    }
  }
  if (mustBeDirectory && !isDirectory(entry)) throw notADirectory(path);
  return entry;
}

function isDirectory(entry: Entry): boolean {
  return (entry.attributes.mode & S_IFMT) === S_IFDIR;
}

function isLink(entry: Entry): boolean {
  return (entry.attributes.mode & S_IFMT) === S_IFLNK;
}

function notADirectory(path: Buffer): FileError {
  return new FileError('NOT_A_DIRECTORY', `'${printableName(path)}' goes through something that is not a directory`);
}

/** The part of the typed path before `name`; the whole path where the name comes from a link's target. */
function placeOf(path: Buffer, name: Buffer): string {
  const at = path.indexOf(name);
  if (at === -1) return `what '${printableName(path)}' leads to`;
  return at <= 1 ? 'the root of the tree' : `'${printableName(path.subarray(0, at - 1))}'`;
}
