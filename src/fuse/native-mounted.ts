/** A mount of the driver fuse-native while it lives. The package does not tell that it was unmounted: the mount table does. */
import { type MountTableEntry, isMounted } from '../os/mount-table.js';
import type { Mounted, OperationStatistics } from '../vfs/driver.js';
import type { CrashWatcher } from './crash-watcher.js';
import { deferred } from './deferred.js';
import type { NativeMount } from './native-library.js';
import type { NativeOperations } from './native-operations.js';
import { unmountPath } from './unmount.js';

const checkIntervalMs = 500;

export interface NativeMountParts {
  readonly native: NativeMount;
  readonly operations: NativeOperations;
  readonly entry: MountTableEntry;
  readonly watcher: CrashWatcher;
}

export class NativeMounted implements Mounted {
  readonly done: Promise<void>;
  readonly #parts: NativeMountParts;
  readonly #ending = deferred();
  readonly #timer: NodeJS.Timeout;

  constructor(parts: NativeMountParts) {
    this.#parts = parts;
    this.done = this.#ending.promise;
    this.#timer = setInterval(() => this.#check(), checkIntervalMs);
  }

  async unmount({ lazy = false }: { lazy?: boolean } = {}): Promise<void> {
    await unmountPath(this.#parts.entry.mountPoint, { lazy });
    this.#check();
    if (!lazy) await this.done;
  }

  statistics(): readonly OperationStatistics[] {
    return this.#parts.operations.counters.list();
  }

  invalidateEntry(): void {
    // libfuse 2 offers nothing to the package for this.
  }

  invalidateInode(): void {
    // As above.
  }

  /** A lazy unmount leaves open files, which go on being served. */
  #check(): void {
    const { native, operations, entry, watcher } = this.#parts;
    if (isMounted(entry) || operations.files.size > 0) return;
    clearInterval(this.#timer);
    watcher.dismiss();
    native.unmount(() => this.#ending.resolve());
  }
}
