/**
 * A mount of the driver fuse-native while it lives. The package does not tell that it ended, but libfuse closes its descriptor of
 * /dev/fuse then: after an unmount by anybody, and after a lazy one when the last file is closed.
 */
import { readdirSync, readlinkSync } from 'node:fs';
import type { Mounted, OperationStatistics } from '../vfs/driver.js';
import type { CrashWatcher } from './crash-watcher.js';
import { deferred } from './deferred.js';
import type { NativeMount } from './native-library.js';
import type { NativeOperations } from './native-operations.js';
import { unmountPath } from './unmount.js';

const checkIntervalMs = 100;
const descriptors = '/proc/self/fd';

/** Names in /proc/self/fd of what this process has open of /dev/fuse. */
export function openFuseDescriptors(): Set<string> {
  return new Set(readdirSync(descriptors).filter(isFuseDescriptor));
}

function isFuseDescriptor(name: string): boolean {
  try {
    return readlinkSync(`${descriptors}/${name}`) === '/dev/fuse';
  } catch {
    return false;
  }
}

export interface NativeMountParts {
  readonly native: NativeMount;
  readonly operations: NativeOperations;
  readonly mountPoint: string;
  readonly descriptor: string;
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
    await unmountPath(this.#parts.mountPoint, { lazy });
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

  #check(): void {
    const { native, operations, descriptor, watcher } = this.#parts;
    if (isFuseDescriptor(descriptor)) return;
    clearInterval(this.#timer);
    watcher.dismiss();
    // Of files that were open at the end the kernel tells nothing more.
    operations.closeFiles();
    native.unmount(() => this.#ending.resolve());
  }
}
