/** dirent and direntplus. Protocol: linux/fuse.h. */
import { entryBytes } from './attributes.js';
import { padTo8, setInt64 } from './integers.js';

const direntHeaderBytes = 24;
const typeShift = 12;

export function direntBytes(nameLength: number): number {
  return padTo8(direntHeaderBytes + nameLength);
}

export interface Dirent {
  readonly ino: number;
  /** What the kernel sends to go on after this entry; never 0. */
  readonly cookie: number;
  /** Type bits of the mode. */
  readonly type: number;
  readonly name: Uint8Array;
}

/** Writes `direntBytes` bytes. */
export function writeDirent(bytes: Uint8Array, view: DataView, at: number, dirent: Dirent): void {
  const { name } = dirent;
  const end = at + direntHeaderBytes + name.length;
  setInt64(view, at, dirent.ino);
  setInt64(view, at + 8, dirent.cookie);
  view.setUint32(at + 16, name.length, true);
  view.setUint32(at + 20, dirent.type >>> typeShift, true);
  bytes.set(name, at + direntHeaderBytes);
  bytes.fill(0, end, at + direntBytes(name.length));
}

/** The entry part of a direntplus that says nothing: node 0 makes the kernel look the name up when it needs it. */
export function writeEmptyEntry(bytes: Uint8Array, at: number): void {
  bytes.fill(0, at, at + entryBytes);
}
