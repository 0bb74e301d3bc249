/** A file system as the handlers that fuse-native calls. Nothing is ever thrown into the package. */
import { isUtf8 } from 'node:buffer';
import { constants } from 'node:os';
import { errnoOf } from '../vfs/errno.js';
import { S_IFDIR, type DirectoryEntry, type FileSystem, type Ino, type OpenFile } from '../vfs/file-system.js';
import { FailureLog } from './failure-log.js';
import { Handles } from './handles.js';
import {
  type NativeHandlers,
  type NativeSignal,
  type NativeStat,
  type NativeXattrHandlers,
  nativeStat,
  nativeStatfs,
} from './native-library.js';
import { NativePaths } from './native-paths.js';
import { OperationCounters } from './statistics.js';
import { opcode } from './wire/opcode.js';

const { EBADF, EILSEQ, ENODATA, ERANGE } = constants.errno;
/** Handles are 31 bits there. */
const handleMax = 2 ** 31 - 1;
const entriesPerRead = 1024;

class NativeRefusal extends Error {
  /** Negative, as in errors of the system. */
  readonly errno: number;
  readonly code = 'REFUSED';

  constructor(errno: number) {
    super(`errno ${errno}`);
    this.errno = -errno;
  }
}

export class NativeOperations {
  readonly #files = new Handles<OpenFile>(handleMax);
  readonly counters = new OperationCounters();
  readonly #fileSystem: FileSystem;
  readonly #paths: NativePaths;
  readonly #failures: FailureLog;

  constructor(fileSystem: FileSystem, log: (line: string) => void) {
    this.#fileSystem = fileSystem;
    this.#paths = new NativePaths(fileSystem);
    this.#failures = new FailureLog(log);
  }

  handlers(): NativeHandlers {
    return {
      getattr: (path, done) => this.#answer(opcode.GETATTR, this.#getattr(path), done),
      readdir: (path, done) =>
        this.#answer(opcode.READDIR, this.#list(path), (errno, listing) => done(errno, listing?.names, listing?.stats)),
      readlink: (path, done) => this.#answer(opcode.READLINK, this.#readlink(path), done),
      open: (path, _flags, done) => this.#answer(opcode.OPEN, this.#open(path), done),
      read: (_path, handle, target, length, offset, done) =>
        this.#answer(opcode.READ, this.#read(handle, target.subarray(0, length), offset), (errno, read) => done(read ?? errno)),
      release: (_path, handle, done) => this.#answer(opcode.RELEASE, this.#release(handle), done),
      statfs: (_path, done) => this.#answer(opcode.STATFS, this.#statfs(), done),
      getxattr: () => undefined,
      listxattr: () => undefined,
    };
  }

  xattrHandlers(): NativeXattrHandlers {
    const answer = (number: number, value: Promise<Uint8Array>, target: Buffer, signal: NativeSignal): void => {
      const copied = value.then((bytes) => copyXattr(bytes, target));
      this.#answer(number, copied, (errno, length) => signal(length ?? errno, target.buffer));
    };
    return {
      _op_getxattr: (signal, path, name, target) => answer(opcode.GETXATTR, this.#getxattr(path, name), target, signal),
      _op_listxattr: (signal, path, target) => answer(opcode.LISTXATTR, this.#listxattr(path), target, signal),
    };
  }

  /** When the mount has ended. */
  closeFiles(): void {
    this.#files.closeAll((error) => this.#failures.thrown(opcode.RELEASE, error));
  }

  #answer<T>(number: number, value: Promise<T>, done: (errno: number, value?: T) => void): void {
    this.counters.count(number);
    value
      .then(
        (settled) => done(0, settled),
        (error: unknown) => {
          this.counters.countError(number);
          this.#failures.thrown(number, error);
          done(-errnoOf(error));
        },
      )
      .catch((error: unknown) => this.#failures.thrown(number, error));
  }

  async #getattr(path: string): Promise<NativeStat> {
    return nativeStat((await this.#paths.entry(path)).attributes);
  }

  /** Names that are not UTF-8 cannot be told; they are left out. */
  async #list(path: string): Promise<{ names: string[]; stats: NativeStat[] }> {
    const ino = await this.#paths.ino(path);
    const names = ['.', '..'];
    const stats = [typeStat(ino, S_IFDIR), typeStat(ino, S_IFDIR)];
    for (const entry of await this.#entries(ino)) {
      if (!isUtf8(entry.name)) continue;
      names.push(entry.name.toString());
      stats.push(typeStat(entry.ino, entry.type));
    }
    return { names, stats };
  }

  async #entries(ino: Ino): Promise<DirectoryEntry[]> {
    const directory = await this.#fileSystem.openDirectory(ino);
    try {
      const entries: DirectoryEntry[] = [];
      for (;;) {
        const some = await directory.read(entries.length, entriesPerRead);
        if (some.length === 0) return entries;
        for (const entry of some) entries.push(entry);
      }
    } finally {
      directory.close();
    }
  }

  async #readlink(path: string): Promise<string> {
    const target = await this.#fileSystem.readlink(await this.#paths.ino(path));
    if (!isUtf8(target)) throw new NativeRefusal(EILSEQ);
    return target.toString();
  }

  async #open(path: string): Promise<number> {
    const file = await this.#fileSystem.open(await this.#paths.ino(path));
    const handle = this.#files.reserve();
    this.#files.set(handle, file);
    return handle;
  }

  /** Copies in the turn in which the pieces arrive, as they are not valid longer. */
  async #read(handle: number, target: Buffer, offset: number): Promise<number> {
    const file = this.#files.get(handle);
    if (file === undefined) throw new NativeRefusal(EBADF);
    let length = 0;
    for (const piece of await file.read(offset, target.length)) {
      target.set(piece, length);
      length += piece.length;
    }
    return length;
  }

  async #release(handle: number): Promise<void> {
    await Promise.resolve();
    this.#files.close(handle);
  }

  async #statfs(): Promise<ReturnType<typeof nativeStatfs>> {
    return nativeStatfs(await this.#fileSystem.statfs());
  }

  async #getxattr(path: string, name: string): Promise<Uint8Array> {
    const value = await this.#fileSystem.getxattr(await this.#paths.ino(path), Buffer.from(name));
    if (value === undefined) throw new NativeRefusal(ENODATA);
    return value;
  }

  async #listxattr(path: string): Promise<Uint8Array> {
    const names = await this.#fileSystem.listxattr(await this.#paths.ino(path));
    return Buffer.concat(names.flatMap((name) => [name, Buffer.from([0])]));
  }
}

/** Of a listing only the inode and the type are used. */
function typeStat(ino: Ino, type: number): NativeStat {
  return { mode: type, ino, uid: 0, gid: 0, size: 0, nlink: 1, rdev: 0, blocks: 0, atime: 0, mtime: 0, ctime: 0 };
}

/** Without room the caller only asks how long the value is. */
function copyXattr(bytes: Uint8Array, target: Buffer): number {
  if (target.length === 0) return bytes.length;
  if (bytes.length > target.length) throw new NativeRefusal(ERANGE);
  target.set(bytes);
  return bytes.length;
}
