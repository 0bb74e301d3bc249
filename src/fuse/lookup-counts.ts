/**
 * How often the kernel was told of each inode of a writable file system, so that this can be told when the kernel has no use for one
 * any more. Protocol: linux/fuse.h: each entry in an answer counts once, FORGET takes back.
 */
import type { Ino } from '../vfs/file-system.js';

export class LookupCounts {
  readonly #counts = new Map<Ino, number>();
  readonly #forget: (ino: Ino) => void;
  #stopped = false;

  /** `forget` is called when the count of an inode is back at 0; never for the root, which the kernel always has. */
  constructor(forget: (ino: Ino) => void) {
    this.#forget = forget;
  }

  get size(): number {
    return this.#counts.size;
  }

  add(ino: Ino): void {
    this.#counts.set(ino, (this.#counts.get(ino) ?? 0) + 1);
  }

  /** `times` 0 is for an inode that the kernel was to be told of and was not. */
  remove(ino: Ino, times: number): void {
    if (this.#stopped) return;
    const left = (this.#counts.get(ino) ?? 0) - times;
    if (left > 0) {
      this.#counts.set(ino, left);
      return;
    }
    this.#counts.delete(ino);
    this.#forget(ino);
  }

  /** The kernel has gone, and forgets nothing more. */
  stop(): void {
    this.#stopped = true;
    this.#counts.clear();
  }
}
