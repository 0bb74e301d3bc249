/** All index files below a datastore, in snapshots or anywhere else: whatever one names is used. Format: datastore, section 1.3. */
import { existsSync, readdirSync, type Dirent } from 'node:fs';
import { dirname, join } from 'node:path';
import { FileError, codeOf } from '../../../errors.js';

const slash = Buffer.from('/');
const dot = 0x2e;
const chunks = Buffer.from('.chunks');
const systemDirectory = Buffer.from('lost+found');
/** Depth of what is directly in the datastore. */
const topDepth = 1;

/** Paths, names that are no UTF-8 among them. Hidden names and symbolic links are left out; what vanishes meanwhile is ignored. NOT_SUPPORTED if there is a datastore in the datastore. */
export function* indexFiles(location: string): Generator<Buffer> {
  yield* below(Buffer.from(location), topDepth);
}

function* below(directory: Buffer, depth: number): Generator<Buffer> {
  for (const entry of entriesOf(directory, depth)) {
    const name = entry.name;
    if (depth > topDepth && name.equals(chunks) && entry.isDirectory()) throw nested(directory.toString());
    if (name[0] === dot) continue;
    const path = Buffer.concat([directory, slash, name]);
    if (entry.isDirectory()) yield* below(path, depth + 1);
    else if (entry.isFile() && isIndexName(name)) yield path;
  }
}

function entriesOf(directory: Buffer, depth: number): readonly Dirent<Buffer>[] {
  try {
    return readdirSync(directory, { withFileTypes: true, encoding: 'buffer' });
  } catch (error) {
    const code = codeOf(error);
    if (code === 'ENOENT') return [];
    // That of a file system belongs to root, and has nothing of the datastore in it.
    const isForbidden = code === 'EACCES' || code === 'EPERM';
    if (isForbidden && depth === topDepth + 1 && directory.subarray(-systemDirectory.length).equals(systemDirectory)) return [];
    throw error;
  }
}

/** Whose chunks are whose cannot be told then. Format: datastore, section 7.1 (3). */
export function checkNotNested(location: string): void {
  for (let [inner, outer] = [location, dirname(location)]; outer !== inner; [inner, outer] = [outer, dirname(outer)]) {
    if (existsSync(join(outer, chunks.toString()))) throw nested(location, outer);
  }
}

function nested(inner: string, outer = 'another'): FileError {
  return new FileError('NOT_SUPPORTED', `${inner} is a datastore within ${outer}: nothing was removed; move it out of there first`);
}

function isIndexName(name: Buffer): boolean {
  const extension = name.subarray(-5).toString('latin1');
  return extension === '.fidx' || extension === '.didx';
}
