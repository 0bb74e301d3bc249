/** A writable file system that does nothing but tell what it was asked for, and gives what a test wants it to give. */
import type { Attributes, Entry, MaybePromise, OpenFile } from '../../src/vfs/file-system.js';
import type { WritableFile, WritableFileSystem, WriteOperations } from '../../src/vfs/writable-file-system.js';
import { MemoryFileSystem } from './memory-file-system.js';

const time = { sec: 1, nsec: 2 };

export function someEntry(ino: number, more: Partial<Attributes> = {}): Entry {
  const ids = { uid: 0, gid: 0, rdevMajor: 0, rdevMinor: 0 };
  return {
    attributes: { ino, mode: 0o100644, nlink: 1, ...ids, size: 0, blocks: 0, atime: time, mtime: time, ctime: time, ...more },
    ttlMs: 1000,
  };
}

export class RecordingFileSystem extends MemoryFileSystem implements WritableFileSystem {
  /** Name of the operation, then its arguments; data as a copy. */
  readonly asked: unknown[][] = [];
  readonly forgotten: number[] = [];
  closed = 0;
  /** What the next operations give; each is used once. */
  readonly results: MaybePromise<unknown>[] = [];
  /** Where the data of the last write lay. */
  lastData: Buffer | undefined;

  readonly opened: WritableFile = {
    caching: 'exclusive',
    read: () => [],
    seek: () => 0,
    write: (offset, data, options) => {
      this.lastData = data;
      return this.#ask('write', offset, Buffer.from(data), options) as MaybePromise<number>;
    },
    flush: () => this.#ask('flush') as MaybePromise<void>,
    allocate: (allocation, options) => this.#ask('allocate', allocation, options) as MaybePromise<void>,
    close: () => {
      this.closed += 1;
    },
  };

  readonly writing: WriteOperations = new Proxy({} as WriteOperations, {
    get: (_, name) => {
      if (name === 'forget') return (ino: number) => void this.forgotten.push(ino);
      return (...args: unknown[]) => this.#ask(String(name), ...args.map((arg) => this.#told(arg)));
    },
  });

  /** The number of a file `two` that can be looked up and read. */
  readable(): number {
    return this.file(this.root, 'two', 'content');
  }

  /** The only open file is told by its name. */
  #told(argument: unknown): unknown {
    return argument === (this.opened as OpenFile) ? 'the file' : argument;
  }

  #ask(...asked: unknown[]): unknown {
    this.asked.push(asked);
    return this.results.shift();
  }
}
