/** Puts the metadata of entries on restored files, in the order in which no step undoes another. Format: pxar, section 4.4. */
import { aclXattrs } from '../format/pxar/acl.js';
import type { PxarMetadata } from '../format/pxar/entry.js';
import { chattrFlags, fatAttributes } from '../format/pxar/flags.js';
import { changeModeAt, changeOwnerAt, setTimesAt } from '../os/directory-calls.js';
import { getInodeFlags, setFatAttributes, setInodeFlags, setProjectId } from '../os/inode-flags.js';
import { setXattr } from '../os/xattrs.js';
import type { Losses } from './losses.js';
import type { ContentPlacing, RestoreClass } from './restore-options.js';

/** Those that have an effect on data that is written, or can't be set after it: NOATIME, COMPR, NOCOW, NOCOMP, PROJINHERIT. */
const initialFlags = 0x80 | 0x04 | 0x80_0000 | 0x400 | 0x2000_0000;
/** All flags that archives know: others of a file stay as they are. */
const knownFlags = initialFlags | 0x20 | 0x40 | 0x1_0000 | 0x10 | 0x08;
const setIdBits = 0o6000;
const permissionBits = 0o7777;
const itself = Buffer.alloc(0);
const names = {
  capability: Buffer.from('security.capability'),
  access: Buffer.from('system.posix_acl_access'),
  default: Buffer.from('system.posix_acl_default'),
} as const;

type PathOf = () => Buffer;

export class MetadataWriter {
  readonly #skip: ReadonlySet<RestoreClass>;
  readonly #losses: Losses;
  readonly #placing: Pick<ContentPlacing, 'isReserved'> | undefined;

  constructor(skip: ReadonlySet<RestoreClass>, losses: Losses, placing?: Pick<ContentPlacing, 'isReserved'>) {
    this.#placing = placing;
    this.#skip = skip;
    this.#losses = losses;
  }

  /** Of a new file, before its content. */
  beforeContent(fd: number, { flags }: PxarMetadata): void {
    const wanted = chattrFlags(flags) & initialFlags;
    if (wanted === 0 || this.#skip.has('flags')) return;
    try {
      setInodeFlags(fd, getInodeFlags(fd) | wanted);
    } catch {
      // What can't be set is told when all flags are.
    }
  }

  /** Of a file or directory that is open, when nothing more is written to it. */
  toDescriptor(fd: number, metadata: PxarMetadata, path: PathOf, isDirectory: boolean): void {
    const owned = this.#owner(fd, itself, metadata, path);
    this.#attributes(fd, metadata, path);
    const { projectId } = metadata;
    if (projectId !== undefined && !this.#skip.has('flags')) this.#losses.attempt('project ids', path, () => setProjectId(fd, projectId));
    this.#permissions(fd, itself, metadata, path, owned || isDirectory);
    this.#times(fd, itself, metadata, path);
    this.#flags(fd, metadata, path);
  }

  /** Of a symbolic link, device, fifo or socket, which is not opened. */
  toName(directoryFd: number, name: Buffer, metadata: PxarMetadata, path: PathOf, isLink: boolean): void {
    const owned = this.#owner(directoryFd, name, metadata, path);
    if (!isLink) this.#permissions(directoryFd, name, metadata, path, owned);
    this.#times(directoryFd, name, metadata, path);
    if (metadata.xattrs.length > 0 && !this.#skip.has('xattrs')) {
      this.#losses.note('extended attributes', path, 'only files and directories can be given some');
    }
  }

  /** Whether the file belongs to whom the archive says. */
  #owner(fd: number, name: Buffer, { uid, gid }: PxarMetadata, path: PathOf): boolean {
    if (this.#skip.has('owner')) return uid === process.geteuid?.() && gid === process.getegid?.();
    return this.#losses.attempt('owner', path, () => changeOwnerAt(fd, name, uid, gid));
  }

  #attributes(fd: number, metadata: PxarMetadata, path: PathOf): void {
    const { xattrs, fcaps, acl } = metadata;
    if (!this.#skip.has('xattrs')) {
      for (const { name, value } of xattrs) {
        if (this.#placing?.isReserved(name) === true) this.#losses.note('extended attributes', path, `the name ${name.toString()} is reserved`);
        else this.#losses.attempt('extended attributes', path, () => setXattr(fd, name, value));
      }
    }
    if (fcaps !== undefined && !this.#skip.has('fcaps')) {
      this.#losses.attempt('file capabilities', path, () => setXattr(fd, names.capability, fcaps));
    }
    if (acl === undefined || this.#skip.has('acls')) return;
    const values = aclXattrs(metadata);
    for (const kind of ['access', 'default'] as const) {
      const value = values[kind];
      if (value !== undefined) this.#losses.attempt('ACLs', path, () => setXattr(fd, names[kind], value));
    }
  }

  /** Set-id bits of a file that belongs to someone else now would give away that one's rights. */
  #permissions(fd: number, name: Buffer, { mode }: PxarMetadata, path: PathOf, keepsSetId: boolean): void {
    if (this.#skip.has('permissions')) return;
    const lost = keepsSetId ? 0 : mode & setIdBits;
    if (lost !== 0) this.#losses.note('set-id bits', path, 'it belongs to someone else now');
    this.#losses.attempt('permissions', path, () => changeModeAt(fd, name, (mode & permissionBits) - lost));
  }

  #times(fd: number, name: Buffer, { mtime }: PxarMetadata, path: PathOf): void {
    if (!this.#skip.has('times')) this.#losses.attempt('times', path, () => setTimesAt(fd, name, mtime));
  }

  #flags(fd: number, { flags }: PxarMetadata, path: PathOf): void {
    if (this.#skip.has('flags')) return;
    const wanted = chattrFlags(flags);
    const fat = fatAttributes(flags);
    if (wanted !== 0) {
      this.#losses.attempt('flags', path, () => {
        const now = getInodeFlags(fd);
        const flagsAfter = (now & ~knownFlags) | wanted;
        if (flagsAfter !== now) setInodeFlags(fd, flagsAfter);
      });
    }
    if (fat !== 0) this.#losses.attempt('flags', path, () => setFatAttributes(fd, fat));
  }
}
