/** The metadata of an open file as an archive has it. Format: pxar, section 3.4 */
import { codeOf, FormatError } from '../errors.js';
import { aclItems } from '../format/pxar/acl.js';
import { fileTypeMask, fileTypes, type PxarAcl, type PxarMetadata, type PxarXattr } from '../format/pxar/entry.js';
import { entryFlags } from '../format/pxar/flags.js';
import { itemKinds } from '../format/pxar/item.js';
import type { U64 } from '../format/pxar/u64.js';
import type { FileStat } from '../os/file-stat.js';
import { getFatAttributes, getInodeFlags, getProjectId } from '../os/inode-flags.js';
import { getXattr, listXattrs } from '../os/xattrs.js';
import { printableName } from '../vfs/name.js';
import { shownPath } from './source-errors.js';
import type { SourceFileSystem } from './source-file-system.js';

export interface SourceFile {
  readonly fd: number;
  readonly stat: FileStat;
  /** Of the directory it is in. */
  readonly fileSystem: SourceFileSystem;
  /** Absolute within the tree, for messages. */
  readonly path: () => Buffer;
}

export interface AttributeOptions {
  readonly skipE2bigXattr: boolean;
  /** As WalkOptions.isSpool. */
  readonly isSpool?: boolean;
  readonly warn: (line: string) => void;
}

interface Attributes {
  xattrs: readonly PxarXattr[];
  acl: PxarAcl | undefined;
  fcaps: Buffer | undefined;
}

const noXattrs: readonly PxarXattr[] = Object.freeze([]);
const noFlags: U64 = Object.freeze({ hi: 0, lo: 0 });
const noAttributes: Attributes = Object.freeze({ xattrs: noXattrs, acl: undefined, fcaps: undefined });

export const capabilityName = 'security.capability';
const accessAclName = 'system.posix_acl_access';
const defaultAclName = 'system.posix_acl_default';
const xattrNameBytesMax = 255;
const xattrBytesMax = itemKinds.XATTR.contentBytesMax;
const unknownToKernel: ReadonlySet<string | undefined> = new Set(['ENOTTY', 'ENOSYS', 'EBADF', 'EOPNOTSUPP', 'ENOTSUP', 'EINVAL']);

/** Throws system errors without a path: who calls says of what. */
export function sourceMetadata(file: SourceFile, options: AttributeOptions): PxarMetadata {
  const { mode, uid, gid, mtime } = file.stat;
  const type = mode & fileTypeMask;
  // Anything else is open with O_PATH, which gives no attributes.
  const full = type === fileTypes.regular || type === fileTypes.directory;
  const { xattrs, acl, fcaps } = full ? attributesOf(file, options) : noAttributes;
  const flags = full ? flagsOf(file) : noFlags;
  const projectId = full ? projectOf(file) : undefined;
  return { mode, flags, uid, gid, mtime, xattrs, acl, fcaps, projectId };
}

function attributesOf(file: SourceFile, options: AttributeOptions): Attributes {
  if (!file.fileSystem.xattrs) return noAttributes;
  try {
    const names = listXattrs(file.fd);
    return names.length === 0 ? noAttributes : readAttributes(file, names, options);
  } catch (error) {
    const code = codeOf(error);
    if (code === 'EBADF') return noAttributes;
    if (code === 'EOPNOTSUPP' || code === 'ENOTSUP') {
      file.fileSystem.xattrs = false;
      return noAttributes;
    }
    if (code !== 'E2BIG' || !options.skipE2bigXattr) throw error;
    options.warn(`${shownPath(file.path())} is archived without extended attributes: they are too many or too large (E2BIG)`);
    return noAttributes;
  }
}

function readAttributes(file: SourceFile, names: readonly Buffer[], options: AttributeOptions): Attributes {
  const xattrs: PxarXattr[] = [];
  let fcaps: Buffer | undefined;
  let hasAcl = false;
  for (const name of names) {
    const text = name.toString('latin1');
    if (text === capabilityName) fcaps = file.fileSystem.fileCapabilities ? getXattr(file.fd, name) : undefined;
    else if (text === accessAclName || text === defaultAclName) hasAcl = true;
    else if (isArchived(text) && !(options.isSpool === true && text.startsWith(spoolPrefix))) addXattr(xattrs, file, name, options);
  }
  const acl = hasAcl && file.fileSystem.acls ? aclOf(file) : undefined;
  return { xattrs, acl, fcaps };
}

const spoolPrefix = 'user.pbsfs.';

/** Of those that have no item of their own. */
export function isArchived(name: string): boolean {
  const kept = name.startsWith('user.') || name.startsWith('trusted.') || name === 'security.NTACL';
  return kept && name.length <= xattrNameBytesMax;
}

/** Whether an archive can hold the attribute, by its size. */
export function fitsArchive(name: Buffer, value: Buffer): boolean {
  return name.length + 1 + value.length <= xattrBytesMax;
}

function addXattr(xattrs: PxarXattr[], file: SourceFile, name: Buffer, { skipE2bigXattr, isSpool, warn }: AttributeOptions): void {
  const value = getXattr(file.fd, name);
  if (value === undefined) return;
  if (fitsArchive(name, value)) {
    xattrs.push({ name, value });
    return;
  }
  const what = `${shownPath(file.path())}: the extended attribute ${printableName(name)} is too large for an archive`;
  if (!skipE2bigXattr) throw new FormatError('LIMIT_EXCEEDED', `${what}; ${isSpool === true ? 'remove it' : '--skip-e2big-xattr leaves such attributes out'}`);
  warn(`${what} and is left out`);
}

function aclOf({ fd, stat }: SourceFile): PxarAcl | undefined {
  const access = getXattr(fd, Buffer.from(accessAclName));
  const isDirectory = (stat.mode & fileTypeMask) === fileTypes.directory;
  const defaults = isDirectory ? getXattr(fd, Buffer.from(defaultAclName)) : undefined;
  return aclItems({ ...(access && { access }), ...(defaults && { default: defaults }) });
}

function flagsOf({ fd, fileSystem }: SourceFile): U64 {
  const chattr = fileSystem.inodeFlags ? known(() => getInodeFlags(fd), () => (fileSystem.inodeFlags = !fileSystem.uniform)) : 0;
  const fat = fileSystem.fatAttributes ? known(() => getFatAttributes(fd)) : 0;
  return chattr === 0 && fat === 0 ? noFlags : entryFlags(chattr, fat);
}

function projectOf({ fd, fileSystem }: SourceFile): number | undefined {
  if (!fileSystem.projects) return undefined;
  const id = known(() => getProjectId(fd), () => (fileSystem.projects = !fileSystem.uniform));
  return id === 0 ? undefined : id;
}

/** 0 where the file system has no such thing; `never` is called if it says that it never has. */
function known(read: () => number, never?: () => void): number {
  try {
    return read();
  } catch (error) {
    const code = codeOf(error);
    if (!unknownToKernel.has(code)) throw error;
    if (code === 'ENOTTY') never?.();
    return 0;
  }
}
