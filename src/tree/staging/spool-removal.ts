/**
 * Removing what was staged, however deep it is and whatever keeps it from being changed. A directory is moved to the top before it is
 * emptied, so that neither paths nor descriptors run out.
 */
import { closeSync, fchmodSync, rmdirSync } from 'node:fs';
import { setImmediate } from 'node:timers/promises';
import { codeOf } from '../../errors.js';
import { AT_FDCWD, changeModeAt, entriesIn, openAt, removeDirectoryAt, renameAt, unlinkAt } from '../../os/directory-calls.js';
import { statAt } from '../../os/file-stat.js';
import { getInodeFlags, setInodeFlags } from '../../os/inode-flags.js';
import { openFlags } from '../../os/open-flags.js';
import { S_IFDIR, S_IFMT, S_IFREG } from '../../vfs/file-system.js';

const { O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK, O_RDONLY } = openFlags;
const immutable = 0x10;
const appendOnly = 0x20;
const ownerMode = 0o700;
/** So many entries at a time: others have their turn in between. */
const turnEntries = 100;

/** What is not removed when the signal is given is for the next time. Nobody else may be at work there. */
export async function removeTree(path: string, signal: AbortSignal): Promise<void> {
  const top = openDirectory(AT_FDCWD, Buffer.from(path));
  try {
    await new Removal(top, signal).run();
  } finally {
    closeSync(top);
  }
  rmdirSync(path);
}

class Removal {
  readonly #top: number;
  readonly #signal: AbortSignal;
  /** Directories at the top. */
  readonly #waiting: Buffer[] = [];
  #moved = 0;
  #entries = 0;

  constructor(top: number, signal: AbortSignal) {
    this.#top = top;
    this.#signal = signal;
  }

  async run(): Promise<void> {
    await this.#empty(this.#top, (name) => this.#waiting.push(name));
    for (let name = this.#waiting.pop(); name !== undefined; name = this.#waiting.pop()) {
      const fd = openDirectory(this.#top, name);
      try {
        await this.#empty(fd, (child) => this.#moveUp(fd, child));
      } finally {
        closeSync(fd);
      }
      removeDirectoryAt(this.#top, name);
    }
  }

  async #empty(fd: number, leave: (directory: Buffer) => void): Promise<void> {
    for (const { name, type } of entriesIn(fd)) {
      const isDirectory = (type === 0 ? statAt(fd, name).mode & S_IFMT : type) === S_IFDIR;
      if (isDirectory) leave(name);
      else freed(fd, name, () => unlinkAt(fd, name));
      this.#entries += 1;
      if (this.#entries % turnEntries === 0) await setImmediate();
      this.#signal.throwIfAborted();
    }
  }

  #moveUp(fd: number, name: Buffer): void {
    for (;;) {
      const target = Buffer.from(`removed-${this.#moved++}`);
      try {
        freed(fd, name, () => renameAt(fd, name, this.#top, target, { noReplace: true }));
        this.#waiting.push(target);
        return;
      } catch (error) {
        // Left by an earlier removal, and waits already.
        if (codeOf(error) !== 'EEXIST') throw error;
      }
    }
  }
}

/** Does it again when flags and modes of both have been taken away, if they were in the way. */
function freed(fd: number, name: Buffer, act: () => void): void {
  try {
    act();
  } catch (error) {
    if (codeOf(error) !== 'EPERM' && codeOf(error) !== 'EACCES') throw error;
    free(fd, name);
    act();
  }
}

function free(fd: number, name: Buffer): void {
  clearFlags(fd);
  fchmodSync(fd, ownerMode);
  const type = statAt(fd, name).mode & S_IFMT;
  if (type !== S_IFDIR && type !== S_IFREG) return;
  const child = type === S_IFDIR ? openDirectory(fd, name) : openAt(fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  try {
    clearFlags(child);
    // A directory that is moved gets another parent, for which it has to be written.
    if (type === S_IFDIR) fchmodSync(child, ownerMode);
  } finally {
    closeSync(child);
  }
}

function clearFlags(fd: number): void {
  const flags = getInodeFlags(fd);
  if ((flags & (immutable | appendOnly)) !== 0) setInodeFlags(fd, flags & ~(immutable | appendOnly));
}

function openDirectory(fd: number, name: Buffer): number {
  try {
    return openAt(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  } catch (error) {
    if (codeOf(error) !== 'EACCES') throw error;
    changeModeAt(fd, name, ownerMode);
    return openAt(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  }
}
