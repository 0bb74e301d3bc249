/** Attributes and inode flags of what lies in a spool. */
import { closeSync, ftruncateSync } from 'node:fs';
import { FileError, codeOf } from '../../errors.js';
import { changeModeAt, changeOwnerAt } from '../../os/directory-calls.js';
import { setFileTimes } from '../../os/file-times.js';
import { getInodeFlags, getProjectId, setInodeFlags, setProjectId } from '../../os/inode-flags.js';
import { openFlags } from '../../os/open-flags.js';
import { type Entry, type Ino, type InodeFlags, type MaybePromise, type OpenFile, S_IFDIR, S_IFREG } from '../../vfs/file-system.js';
import { andThen } from '../../vfs/maybe.js';
import { type AttributeChanges, type InodeFlagChanges, withoutPrivileges } from '../../vfs/writable-file-system.js';
import type { SpoolClones } from './spool-clones.js';
import type { SpoolCore } from './spool-core.js';
import { SpoolWriter } from './spool-file.js';
import type { SpoolNode } from './spool-node.js';

const { O_RDONLY, O_WRONLY } = openFlags;
const permissionMask = 0o7777;
/** uid_t and gid_t of chown(2) that stay. */
const unchanged = 0xffff_ffff;
const noInodeFlags: InodeFlags = { flags: 0, projectId: 0, fatAttributes: 0 };

export class SpoolAttributes {
  readonly #core: SpoolCore;
  readonly #clones: SpoolClones;

  constructor(core: SpoolCore, clones: SpoolClones) {
    this.#core = core;
    this.#clones = clones;
  }

  /** ctime is the system's: kernels that keep it themselves are not asked to. */
  set(ino: Ino, changes: AttributeChanges, file: OpenFile | undefined): MaybePromise<Entry> {
    const node = this.#core.begin(ino);
    const { size } = changes;
    if (size === undefined) return this.#set(node, changes);
    return andThen(this.#resize(node, size, file), () => this.#set(this.#core.begin(ino), changes));
  }

  #set(node: SpoolNode, { uid, gid, mode, killPrivileges, atime, mtime }: AttributeChanges): Entry {
    const { fd, name } = this.#core.reach(node);
    if (uid !== undefined || gid !== undefined) changeOwnerAt(fd, name, uid ?? unchanged, gid ?? unchanged);
    if (mode !== undefined) changeModeAt(fd, name, mode & permissionMask);
    if (killPrivileges) this.#dropPrivileges(node);
    if (atime !== undefined || mtime !== undefined) {
      setFileTimes(fd, name, { ...(atime === undefined ? {} : { atime }), ...(mtime === undefined ? {} : { mtime }) });
    }
    return this.#core.entry(node);
  }

  flags(ino: Ino): InodeFlags {
    const node = this.#core.begin(ino);
    if (!hasInodeFlags(node)) return noInodeFlags;
    return this.#opened(node, (fd) => ({ flags: getInodeFlags(fd), projectId: projectIdIfAny(fd), fatAttributes: 0 }));
  }

  setFlags(ino: Ino, { set, clear, projectId }: InodeFlagChanges): void {
    const node = this.#core.begin(ino);
    if (!hasInodeFlags(node)) throw new FileError('NOT_SUPPORTED', 'only files and directories have inode flags');
    this.#opened(node, (fd) => {
      const before = getInodeFlags(fd);
      const flags = ((before & ~clear) | set) >>> 0;
      if (projectId !== undefined && projectId !== projectIdIfAny(fd)) setProjectId(fd, projectId);
      if (flags !== before) setInodeFlags(fd, flags);
    });
  }

  #resize(node: SpoolNode, size: number, file: OpenFile | undefined): MaybePromise<void> {
    if (node.type === S_IFDIR) throw new FileError('IS_A_DIRECTORY', 'a directory has no size to be set');
    if (node.type !== S_IFREG) throw new FileError('INVALID_ARGUMENT', 'only regular files have a size to be set');
    if (file instanceof SpoolWriter && file.node === node) {
      return this.#clones.resize(node, size, () => ftruncateSync(file.fd, size), file);
    }
    return this.#clones.resize(node, size, () => this.#truncate(node, size));
  }

  #truncate(node: SpoolNode, size: number): void {
    this.#core.begin(node.ino);
    const fd = this.#core.open(node, O_WRONLY);
    try {
      ftruncateSync(fd, size);
    } finally {
      closeSync(fd);
    }
  }

  #dropPrivileges(node: SpoolNode): void {
    const { mode } = this.#core.stat(node);
    const left = withoutPrivileges({ mode });
    const { fd, name } = this.#core.reach(node);
    if (left !== mode && node.type !== S_IFDIR) changeModeAt(fd, name, left & permissionMask);
  }

  #opened<T>(node: SpoolNode, use: (fd: number) => T): T {
    const fd = this.#core.open(node, O_RDONLY);
    try {
      return use(fd);
    } finally {
      closeSync(fd);
    }
  }
}

function hasInodeFlags({ type }: SpoolNode): boolean {
  return type === S_IFREG || type === S_IFDIR;
}

/** Many file systems have flags and no projects. */
function projectIdIfAny(fd: number): number {
  try {
    return getProjectId(fd);
  } catch (error) {
    if (['ENOTTY', 'EOPNOTSUPP', 'ENOTSUP', 'EINVAL', 'ENOSYS'].includes(codeOf(error) ?? '')) return 0;
    throw error;
  }
}
