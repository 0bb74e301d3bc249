/**
 * The directory of a disk cache: `xx/` and 64 hex digits for each chunk, as its source gave it; `tmp/` for what is being written; and the file
 * that marks it as a cache (https://bford.info/cachedir/), which is locked by whoever uses it.
 */
import * as fs from 'node:fs';
import { readdir, rm, lstat } from 'node:fs/promises';
import { join } from 'node:path';
import { codeOf, StoreError } from '../errors.js';
import { parseChunkName } from '../format/chunk-path.js';
import { tryLock } from '../os/file-locks.js';

const tagName = 'CACHEDIR.TAG';
const tagText = 'Signature: 8a477f597d28d172789f06886806bc55\n# Chunks of backups that pbsfs has read. It may be removed while no mount uses it.\n';
const temporaryName = 'tmp';
const temporaryFilePattern = /^[0-9a-f]{64}\.tmp_[A-Za-z0-9]{6}$/;
const directoryMode = 0o700;
const fileMode = 0o600;
const statsAtOnce = 32;
/** What a new file system has. */
const ignoredNames = new Set(['lost+found']);

export interface FoundFile {
  readonly digest: Buffer;
  readonly bytes: number;
  readonly usedMs: number;
}

export class DiskCacheDirectory {
  readonly path: string;
  readonly temporary: string;
  readonly #lock: number;

  /** Makes it if need be. LOCKED: another process uses it; EXISTS: it holds something else; NO_PERMISSION: it is somebody else's. */
  constructor(path: string) {
    this.path = path;
    this.temporary = join(path, temporaryName);
    checkDirectory(path);
    this.#lock = fs.openSync(join(path, tagName), fs.constants.O_RDWR | fs.constants.O_CREAT | fs.constants.O_NOFOLLOW, fileMode);
    try {
      if (!tryLock(this.#lock, 'exclusive')) {
        throw new StoreError('LOCKED', `disk cache ${path} is used by another mount; give each mount a directory of its own`);
      }
      fs.chmodSync(path, directoryMode);
      if (fs.fstatSync(this.#lock).size === 0) fs.writeSync(this.#lock, tagText);
      fs.mkdirSync(this.temporary, { recursive: true, mode: directoryMode });
    } catch (error) {
      fs.closeSync(this.#lock);
      throw error;
    }
  }

  pathOf(digest: Buffer): string {
    const hex = digest.toString('hex');
    return `${this.path}/${hex.slice(0, 2)}/${hex}`;
  }

  /** What a process left that was killed while it wrote. */
  async removeTemporary(): Promise<void> {
    for (const name of await readdir(this.temporary)) if (temporaryFilePattern.test(name)) await rm(join(this.temporary, name), { force: true });
  }

  /** All chunk files, in no order. */
  async *files(): AsyncGenerator<FoundFile> {
    for (const directory of await readdir(this.path)) {
      if (!/^[0-9a-f]{2}$/.test(directory)) continue;
      const digests = (await readdir(join(this.path, directory))).flatMap((name) => (name.startsWith(directory) ? (parseChunkName(name) ?? []) : []));
      for (let from = 0; from < digests.length; from += statsAtOnce) {
        yield* (await Promise.all(digests.slice(from, from + statsAtOnce).map((digest) => this.#factsOf(digest)))).flat();
      }
    }
  }

  /** Others may use it from now on. */
  release(): void {
    fs.closeSync(this.#lock);
  }

  async #factsOf(digest: Buffer): Promise<FoundFile[]> {
    try {
      const facts = await lstat(this.pathOf(digest));
      return facts.isFile() ? [{ digest, bytes: facts.size, usedMs: facts.mtimeMs }] : [];
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return [];
      throw error;
    }
  }
}

/** Nothing of anybody else's must be taken for a cache, of which files are removed. */
function checkDirectory(path: string): void {
  fs.mkdirSync(path, { recursive: true, mode: directoryMode });
  if (fs.statSync(path).uid !== process.geteuid?.()) {
    throw new StoreError('NO_PERMISSION', `disk cache ${path} belongs to another user, who could read the backups in it; give a directory of your own`);
  }
  const names = fs.readdirSync(path).filter((name) => !ignoredNames.has(name));
  if (names.length > 0 && !names.includes(tagName)) {
    throw new StoreError('EXISTS', `disk cache ${path} is a directory with other files in it; give an empty one, or one that is not there`);
  }
}
