/** Extended attributes of an open file (not of O_PATH: EBADF). Names and values are bytes. */
import { codeOf } from '../errors.js';
import { check, systemCalls, terminated } from './system-calls.js';

/** The kernel's limits for a value, and for the list of a file's names. */
const xattrBytesMax = 0x1_0000;
const memory = Buffer.alloc(xattrBytesMax);

/** In the order of the kernel. EOPNOTSUPP where the file system has none, E2BIG where the list is too long for the kernel. */
export function listXattrs(fd: number): Buffer[] {
  const length = check(systemCalls().flistxattr(fd, memory, memory.length), 'flistxattr');
  const names: Buffer[] = [];
  for (let at = 0; at < length; ) {
    const end = memory.indexOf(0, at);
    names.push(Buffer.from(memory.subarray(at, end)));
    at = end + 1;
  }
  return names;
}

/** Undefined if there is no such attribute. */
export function getXattr(fd: number, name: Buffer): Buffer | undefined {
  try {
    const length = check(systemCalls().fgetxattr(fd, terminated(name), memory, memory.length), 'fgetxattr', name);
    return Buffer.from(memory.subarray(0, length));
  } catch (error) {
    if (codeOf(error) === 'ENODATA') return undefined;
    throw error;
  }
}

export function setXattr(fd: number, name: Buffer, value: Buffer): void {
  check(systemCalls().fsetxattr(fd, terminated(name), value, value.length, 0), 'fsetxattr', name);
}
