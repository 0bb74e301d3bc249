/** Extended attributes of what lies in a spool, and those that pbsfs keeps there for itself. */
import { constants } from 'node:os';
import { capabilityName, fitsArchive, isArchived } from '../../backup/source-metadata.js';
import { FileError, codeOf } from '../../errors.js';
import { changeModeAt } from '../../os/directory-calls.js';
import { getXattrOf, listXattrsOf, removeXattrOf, setXattrOf } from '../../os/named-xattrs.js';
import { systemError } from '../../os/system-calls.js';
import { printableName } from '../../vfs/name.js';
import { accessAclName, defaultAclName } from '../../vfs/posix-acl.js';
import { type Ino, S_IFDIR, S_IFREG } from '../../vfs/file-system.js';
import type { NewXattr } from '../../vfs/writable-file-system.js';
import { isFactXattr } from '../archive-facts.js';
import type { SpoolCore } from './spool-core.js';
import type { SpoolNode } from './spool-node.js';

const reservedPrefix = 'user.pbsfs.';

/** What programs see of attributes that begin with `user.pbsfs.`: undefined for nothing. They are never listed, and never set by them. */
export type ReservedXattrs = (ino: Ino, name: Buffer) => Buffer | undefined;

export class SpoolXattrs {
  readonly #core: SpoolCore;
  readonly #reserved: ReservedXattrs;

  constructor(core: SpoolCore, reserved: ReservedXattrs) {
    this.#core = core;
    this.#reserved = reserved;
  }

  list(ino: Ino): readonly Buffer[] {
    const node = this.#core.begin(ino);
    return listXattrsOf(this.#core.reach(node)).filter((name) => !isReservedXattr(name));
  }

  get(ino: Ino, name: Buffer): Buffer | undefined {
    const node = this.#core.begin(ino);
    return isReservedXattr(name) ? this.#reserved(ino, name) : getXattrOf(this.#core.reach(node), name);
  }

  /** A fact about the snapshot that a file was copied from is none about the copy: it is not kept, and no copying program fails for it. */
  set(ino: Ino, { name, value, mode, killSetGroupId }: NewXattr): void {
    if (isFactXattr(name)) return;
    refuseReserved(name);
    const node = this.#core.begin(ino);
    refuseUnarchived(node, name, value);
    const file = this.#core.reach(node);
    setXattrOf(file, name, value, mode);
    if (name.equals(defaultAclName)) node.hasDefaultAcl = undefined;
    if (!killSetGroupId || !name.equals(accessAclName)) return;
    const { mode: bits } = this.#core.stat(node);
    if ((bits & 0o2000) !== 0) changeModeAt(file.fd, file.name, bits & 0o5777);
  }

  remove(ino: Ino, name: Buffer): void {
    refuseReserved(name);
    const node = this.#core.begin(ino);
    removeXattrOf(this.#core.reach(node), name);
    if (name.equals(defaultAclName)) node.hasDefaultAcl = undefined;
  }

  hasDefaultAcl(node: SpoolNode): boolean {
    node.hasDefaultAcl ??= this.#readDefaultAcl(node);
    return node.hasDefaultAcl;
  }

  /** A reserved attribute as it lies in the spool; `name` is what follows the prefix. */
  fact(ino: Ino, name: string): Buffer | undefined {
    return getXattrOf(this.#core.reach(this.#core.begin(ino)), Buffer.from(reservedPrefix + name));
  }

  /** Undefined removes it, if it is there. */
  setFact(ino: Ino, name: string, value: Buffer | undefined): void {
    const file = this.#core.reach(this.#core.begin(ino));
    const xattr = Buffer.from(reservedPrefix + name);
    if (value !== undefined) setXattrOf(file, xattr, value);
    else if (getXattrOf(file, xattr) !== undefined) removeXattrOf(file, xattr);
  }

  #readDefaultAcl(node: SpoolNode): boolean {
    try {
      return getXattrOf(this.#core.reach(node), defaultAclName) !== undefined;
    } catch (error) {
      if (codeOf(error) === 'ENOTSUP' || codeOf(error) === 'EOPNOTSUPP') return false;
      throw error;
    }
  }
}

export function isReservedXattr(name: Buffer): boolean {
  return name.subarray(0, reservedPrefix.length).toString('latin1') === reservedPrefix;
}

/**
 * What no archive can hold is refused when it is set. Not so what programs set that copy everything: ACLs of special files, which say the mode, and labels of
 * security modules, which a backup leaves out.
 */
function refuseUnarchived({ type }: SpoolNode, name: Buffer, value: Buffer): void {
  const text = name.toString('latin1');
  if (name.equals(accessAclName) || name.equals(defaultAclName) || (text.startsWith('security.') && !isKept(text))) return;
  if ((type !== S_IFREG && type !== S_IFDIR) || !isKept(text)) throw new FileError('NOT_SUPPORTED', `${printableName(name)}: an archive has no such attribute of such a file`);
  if (!fitsArchive(name, value)) throw systemError(constants.errno.E2BIG, 'setxattr', name);
}

function isKept(name: string): boolean {
  return name === capabilityName || isArchived(name);
}

function refuseReserved(name: Buffer): void {
  if (!isReservedXattr(name)) return;
  throw new FileError('NOT_PERMITTED', `${name.toString()}: attributes that begin with ${reservedPrefix} are set by pbsfs only`);
}
