/** What comes new into a spool, with the owner and the mode that its creator would have given it. */
import { closeSync } from 'node:fs';
import { FileError, codeOf } from '../../errors.js';
import {
  AT_FDCWD,
  changeModeAt,
  changeOwnerAt,
  makeDirectoryAt,
  makeNodeAt,
  openAt,
  removeDirectoryAt,
  symlinkAt,
  unlinkAt,
} from '../../os/directory-calls.js';
import { type FileStat, statAt, statIfThere } from '../../os/file-stat.js';
import type { NamedFile } from '../../os/named-xattrs.js';
import { openFlags } from '../../os/open-flags.js';
import { type Entry, type Ino, type MaybePromise, S_IFDIR, S_IFLNK, S_IFMT } from '../../vfs/file-system.js';
import { andThen } from '../../vfs/maybe.js';
import type { Caller, Created, NewFile, NewNode, NewSpecialFile } from '../../vfs/writable-file-system.js';
import { type SpoolCore, locationOf } from './spool-core.js';
import type { SpoolNode } from './spool-node.js';
import type { SpoolOpenFiles } from './spool-open-files.js';
import type { SpoolXattrs } from './spool-xattrs.js';

const { O_CREAT, O_EXCL, O_NOFOLLOW, O_PATH, O_RDWR, O_TMPFILE } = openFlags;
const noName = Buffer.alloc(0);
const self = Buffer.from('.');
const permissionMask = 0o7777;
const setGroupId = 0o2000;
const linkMode: Pick<NewNode, 'mode' | 'umask'> = { mode: 0o777, umask: 0 };

/** Where something is made. */
interface Parent {
  readonly node: SpoolNode;
  readonly fd: number;
  readonly hasDefaultAcl: boolean;
  readonly setsGroup: boolean;
}

export class SpoolCreation {
  readonly #core: SpoolCore;
  readonly #xattrs: SpoolXattrs;
  readonly #files: SpoolOpenFiles;

  constructor(core: SpoolCore, xattrs: SpoolXattrs, files: SpoolOpenFiles) {
    this.#core = core;
    this.#xattrs = xattrs;
    this.#files = files;
  }

  file(parentIno: Ino, name: Buffer, asked: NewFile): MaybePromise<Created> {
    const parent = this.#parent(parentIno);
    const location = locationOf(parent.node, name);
    let fd: number;
    try {
      fd = openAt(parent.fd, name, O_CREAT | O_EXCL | O_RDWR | O_NOFOLLOW, asked.mode & 0o777);
    } catch (error) {
      if (asked.exclusive || codeOf(error) !== 'EEXIST') throw error;
      return this.#existing(parent, name, asked);
    }
    try {
      const entry = this.#core.told(location, settled({ fd, name: noName }, asked, parent));
      return { entry, file: this.#files.adopt(this.#core.nodes.get(entry.attributes.ino), fd) };
    } catch (error) {
      closeSync(fd);
      takeBack(() => unlinkAt(parent.fd, name));
      throw error;
    }
  }

  unnamedFile(parentIno: Ino, asked: NewNode): Created {
    const parent = this.#parent(parentIno);
    const fd = openAt(parent.fd, self, O_TMPFILE | O_RDWR, asked.mode & 0o777);
    let pin: number | undefined;
    try {
      pin = openAt(AT_FDCWD, Buffer.from(`/proc/self/fd/${fd}`), O_PATH);
      const entry = this.#core.told(undefined, settled({ fd, name: noName }, asked, parent));
      const node = this.#core.nodes.get(entry.attributes.ino);
      node.pin = pin;
      return { entry, file: this.#files.adopt(node, fd) };
    } catch (error) {
      if (pin !== undefined) closeSync(pin);
      closeSync(fd);
      throw error;
    }
  }

  directory(parentIno: Ino, name: Buffer, asked: NewNode): Entry {
    return this.#made(parentIno, name, asked, (fd) => makeDirectoryAt(fd, name, asked.mode & 0o777), removeDirectoryAt);
  }

  specialFile(parentIno: Ino, name: Buffer, asked: NewSpecialFile): Entry {
    const { type, mode, rdevMajor, rdevMinor } = asked;
    return this.#made(parentIno, name, asked, (fd) => makeNodeAt(fd, name, type | (mode & 0o777), rdevMajor, rdevMinor), unlinkAt);
  }

  symbolicLink(parentIno: Ino, name: Buffer, target: Buffer, caller: Caller): Entry {
    return this.#made(parentIno, name, { ...linkMode, caller }, (fd) => symlinkAt(target, fd, name), unlinkAt);
  }

  #parent(ino: Ino): Parent {
    const node = this.#core.begin(ino);
    const fd = this.#core.directory(node);
    const { mode } = statAt(fd, noName);
    return { node, fd, hasDefaultAcl: this.#xattrs.hasDefaultAcl(node), setsGroup: (mode & setGroupId) !== 0 };
  }

  /** Makes it, gives it its owner and mode, and takes it back if that fails. */
  #made(parentIno: Ino, name: Buffer, asked: NewNode, make: (parentFd: number) => void, remove: (parentFd: number, name: Buffer) => void): Entry {
    const parent = this.#parent(parentIno);
    const location = locationOf(parent.node, name);
    make(parent.fd);
    try {
      return this.#core.told(location, settled({ fd: parent.fd, name }, asked, parent));
    } catch (error) {
      takeBack(() => remove(parent.fd, name));
      throw error;
    }
  }

  #existing({ node: parent, fd }: Parent, name: Buffer, asked: NewFile): MaybePromise<Created> {
    const stat = statIfThere(fd, name);
    if (stat === undefined) throw new FileError('NOT_SUPPORTED', 'the file went away while it was opened');
    const location = locationOf(parent, name);
    const node = this.#core.nodes.obtain(stat, location);
    const fail = (error: unknown): never => {
      this.#core.nodes.dropIfUnused(node);
      throw error;
    };
    try {
      const created = andThen(this.#files.write(node, asked), (file) => ({ entry: this.#core.told(location, this.#core.stat(node)), file }));
      return created instanceof Promise ? created.catch(fail) : created;
    } catch (error) {
      return fail(error);
    }
  }
}

/**
 * Owner, mode and what else the system has not done. A default ACL is inherited by the system; without one it took off its own umask,
 * not the caller's. What a set-gid directory hands down is there too.
 */
function settled({ fd, name }: NamedFile, asked: NewNode, parent: Parent): FileStat {
  const made = statAt(fd, name);
  const type = made.mode & S_IFMT;
  const { uid } = asked.caller;
  const gid = parent.setsGroup ? made.gid : asked.caller.gid;
  const changesOwner = uid !== made.uid || gid !== made.gid;
  if (changesOwner) changeOwnerAt(fd, name, uid, gid);
  const changesMode = type !== S_IFLNK && wantedMode(made, asked, parent) !== (made.mode & permissionMask);
  if (changesMode) changeModeAt(fd, name, wantedMode(made, asked, parent));
  return changesOwner || changesMode ? statAt(fd, name) : made;
}

function wantedMode(made: FileStat, { mode, umask }: NewNode, { hasDefaultAcl, setsGroup }: Parent): number {
  const inherited = setsGroup && (made.mode & S_IFMT) === S_IFDIR ? setGroupId : 0;
  const permissions = hasDefaultAcl ? made.mode & 0o777 : mode & 0o777 & ~umask;
  return permissions | (mode & 0o7000) | inherited;
}

/** What could not be made whole goes; why it could not is what the caller is told. */
function takeBack(remove: () => void): void {
  try {
    remove();
  } catch {
    // It stays then, as something that its creator may remove.
  }
}
