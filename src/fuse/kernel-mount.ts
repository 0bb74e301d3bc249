/** A mount of the kernel driver while it lives. */
import { messageOf } from '../errors.js';
import { type MountTableEntry, isMounted } from '../os/mount-table.js';
import type { Mounted, OperationStatistics } from '../vfs/driver.js';
import type { Ino } from '../vfs/file-system.js';
import type { Connection } from './connection.js';
import type { CrashWatcher } from './crash-watcher.js';
import { unmountPath } from './unmount.js';

export class KernelMount implements Mounted {
  readonly done: Promise<void>;
  readonly #connection: Connection;
  readonly #mount: MountTableEntry;
  readonly #log: (line: string) => void;

  constructor(connection: Connection, mount: MountTableEntry, watcher: CrashWatcher, log: (line: string) => void) {
    this.#connection = connection;
    this.#mount = mount;
    this.#log = log;
    this.done = connection.ended.finally(() => this.#clear()).finally(() => watcher.dismiss());
    this.done.catch(() => undefined);
  }

  async unmount({ lazy = false }: { lazy?: boolean } = {}): Promise<void> {
    await unmountPath(this.#mount.mountPoint, { lazy });
    if (!lazy) await this.done;
  }

  statistics(): readonly OperationStatistics[] {
    return this.#connection.counters.list();
  }

  invalidateEntry(parent: Ino, name: Buffer): void {
    this.#connection.invalidateEntry(parent, name);
  }

  invalidateInode(ino: Ino): void {
    this.#connection.invalidateInode(ino);
  }

  /** After an abort, or umount -f with files open, a dead mount is left. */
  async #clear(): Promise<void> {
    const { mountPoint } = this.#mount;
    if (!isMounted(this.#mount)) return;
    await unmountPath(mountPoint, { lazy: true }).catch((error: unknown) => this.#log(messageOf(error)));
  }
}
