/** Reads files and directories of a FileSystem whole. */
import { createHash } from 'node:crypto';
import type { DirectoryEntry, Entry, FileSystem, Ino } from '../../src/vfs/file-system.js';

export async function entryAt(fs: FileSystem, path: readonly Buffer[], from: Ino = fs.root): Promise<Entry> {
  let entry = await fs.getattr(from);
  for (const name of path) {
    const next = await fs.lookup(entry.attributes.ino, name);
    if (next === undefined) throw new Error(`${name.toString('latin1')} not found`);
    entry = next;
  }
  return entry;
}

export function namesOf(path: string): Buffer[] {
  return splitPath(Buffer.from(path));
}

export function splitPath(path: Buffer): Buffer[] {
  const names: Buffer[] = [];
  for (let start = 0; start < path.length; ) {
    const slash = path.indexOf(0x2f, start);
    const end = slash === -1 ? path.length : slash;
    names.push(path.subarray(start, end));
    start = end + 1;
  }
  return names;
}

export async function listAll(fs: FileSystem, ino: Ino): Promise<DirectoryEntry[]> {
  const directory = await fs.openDirectory(ino);
  const entries: DirectoryEntry[] = [];
  for (;;) {
    const more = await directory.read(entries.length, 100);
    if (more.length === 0) break;
    entries.push(...more);
  }
  directory.close();
  return entries;
}

export async function readAll(fs: FileSystem, ino: Ino, stepBytes = 1 << 20): Promise<Buffer> {
  const file = await fs.open(ino);
  const parts: Buffer[] = [];
  for (let offset = 0; ; ) {
    const pieces = await file.read(offset, stepBytes);
    const part = Buffer.concat(pieces);
    if (part.length === 0) break;
    parts.push(part);
    offset += part.length;
  }
  file.close();
  return Buffer.concat(parts);
}

export function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}
