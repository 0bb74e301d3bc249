/**
 * Extended attributes by the descriptor of a directory and a name in it, without opening what has them: also of symbolic links and special
 * files, and of what only an O_PATH descriptor is left of. An empty name stands for what the descriptor is of. Needs /proc.
 */
import { constants } from 'node:os';
import { check, systemCalls, terminated } from './system-calls.js';

/** The kernel's limits for a value, and for the list of a file's names. */
const xattrBytesMax = 0x1_0000;
const memory = Buffer.alloc(xattrBytesMax);

export interface NamedFile {
  readonly fd: number;
  readonly name: Buffer;
}

/** Symbolic links are not followed where there is a name; a link of /proc is what leads to the file where there is none. */
function pathOf({ fd, name }: NamedFile): Buffer {
  const directory = `/proc/self/fd/${fd}`;
  return terminated(name.length === 0 ? Buffer.from(directory) : Buffer.concat([Buffer.from(`${directory}/`), name]));
}

/** In the order of the kernel. */
export function listXattrsOf(file: NamedFile): Buffer[] {
  const calls = systemCalls();
  const list = file.name.length === 0 ? calls.listxattr : calls.llistxattr;
  const length = check(list(pathOf(file), memory, memory.length), 'listxattr', file.name);
  const names: Buffer[] = [];
  for (let at = 0; at < length; ) {
    const end = memory.indexOf(0, at);
    names.push(Buffer.from(memory.subarray(at, end)));
    at = end + 1;
  }
  return names;
}

/** Undefined if there is no such attribute. */
export function getXattrOf(file: NamedFile, xattr: Buffer): Buffer | undefined {
  const calls = systemCalls();
  const get = file.name.length === 0 ? calls.getxattr : calls.lgetxattr;
  const length = get(pathOf(file), terminated(xattr, 'second'), memory, memory.length);
  // Without an error that is thrown and caught: the kernel asks each file for an ACL.
  if (length < 0 && calls.errno() === constants.errno.ENODATA) return undefined;
  check(length, 'getxattr', file.name);
  return Buffer.from(memory.subarray(0, length));
}

const setFlags = { set: 0, create: 1, replace: 2 } as const;

/** `create`: EEXIST if it is there; `replace`: ENODATA if not. */
export function setXattrOf(file: NamedFile, xattr: Buffer, value: Buffer, mode: keyof typeof setFlags = 'set'): void {
  const calls = systemCalls();
  const set = file.name.length === 0 ? calls.setxattr : calls.lsetxattr;
  check(set(pathOf(file), terminated(xattr, 'second'), value, value.length, setFlags[mode]), 'setxattr', file.name);
}

/** ENODATA if there is none. */
export function removeXattrOf(file: NamedFile, xattr: Buffer): void {
  const calls = systemCalls();
  const remove = file.name.length === 0 ? calls.removexattr : calls.lremovexattr;
  check(remove(pathOf(file), terminated(xattr, 'second')), 'removexattr', file.name);
}
