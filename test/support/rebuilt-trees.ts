/** Makes a real directory of an archive, by the system calls of src/os and nothing of what restores. Root only, on a file system that has what is archived. */
import { closeSync, fchmodSync, openSync, writeSync } from 'node:fs';
import { aclXattrs } from '../../src/format/pxar/acl.js';
import { fileTypeMask, type PxarEntry, type PxarMetadata } from '../../src/format/pxar/entry.js';
import { chattrFlags } from '../../src/format/pxar/flags.js';
import { changeModeAt, changeOwnerAt, linkAt, makeDirectoryAt, makeNodeAt, openAt, setTimesAt, symlinkAt } from '../../src/os/directory-calls.js';
import { getInodeFlags, setInodeFlags, setProjectId } from '../../src/os/inode-flags.js';
import { openFlags } from '../../src/os/open-flags.js';
import { setXattr } from '../../src/os/xattrs.js';
import { placesOf } from './archives.js';

const { O_RDONLY, O_RDWR, O_CREAT, O_EXCL, O_NOFOLLOW, O_DIRECTORY } = openFlags;
const nothing = Buffer.alloc(0);
/** What must be set before there is content; btrfs changes nocow and compression only of empty files. */
const initialFlags = 0x4 | 0x400 | 0x80_0000;
/** Nothing can be done any more after these. */
const lastFlags = 0x10 | 0x20;

interface OpenDirectory {
  readonly fd: number;
  readonly metadata: PxarMetadata;
  readonly end: number;
}

/** `without`: names in the root that are left out. `sparse`: zeros become holes. */
export function rebuildTree(target: string, meta: Buffer, payload: Buffer | undefined, without: readonly string[] = []): void {
  const rootFd = openSync(target, O_RDONLY | O_DIRECTORY);
  const open: OpenDirectory[] = [];
  const late: (() => void)[] = [];
  const closeUntil = (position: number): void => {
    for (let last = open.at(-1); last !== undefined && last.end <= position; last = open.at(-1)) {
      open.pop();
      const { fd, metadata } = last;
      applyMetadata(fd, metadata, 'directory');
      late.push(() => {
        lastOf(fd, metadata);
        closeSync(fd);
      });
    }
  };
  const all = placesOf(meta);
  for (const { path, event, table } of all) {
    closeUntil(event.namePosition);
    const { entry, name } = event;
    const parent = open.at(-1);
    if (parent === undefined) {
      open.push({ fd: rootFd, metadata: required(entry.metadata), end: Infinity });
      continue;
    }
    if (without.includes(path)) continue;
    if (entry.kind === 'directory') {
      makeDirectoryAt(parent.fd, name, 0o700);
      const fd = openAt(parent.fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
      setInitial(fd, required(entry.metadata));
      open.push({ fd, metadata: required(entry.metadata), end: table?.end ?? 0 });
    } else if (entry.hardlink !== undefined) {
      hardlink(rootFd, entry.hardlink.target, parent.fd, name);
    } else if (entry.content !== undefined) {
      const { where, size } = entry.content;
      const source = where === 'inline' ? meta : payload;
      const start = entry.content.where === 'inline' ? event.endPosition - size : entry.content.offset + 16;
      writeFile(parent.fd, name, required(entry.metadata), required(source).subarray(start, start + size), late);
    } else {
      special(parent.fd, name, entry);
    }
  }
  closeUntil(Infinity);
  // Times of directories last: links were made in them, and some may not be changed any more.
  for (const finish of late) finish();
}

/** By components, as paths may be too long. */
function hardlink(rootFd: number, target: Buffer, fd: number, name: Buffer): void {
  const parts = target.toString('latin1').split('/').map((part) => Buffer.from(part, 'latin1'));
  const last = parts.pop() ?? nothing;
  const fds = [rootFd];
  for (const part of parts) fds.push(openAt(fds.at(-1) ?? rootFd, part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  linkAt(fds.at(-1) ?? rootFd, last, fd, name);
  for (const opened of fds.slice(1)) closeSync(opened);
}

function writeFile(directoryFd: number, name: Buffer, metadata: PxarMetadata, content: Buffer, late: (() => void)[]): void {
  const fd = openAt(directoryFd, name, O_RDWR | O_CREAT | O_EXCL, 0o600);
  setInitial(fd, metadata);
  for (let at = 0; at < content.length; ) at += writeSync(fd, content, at, content.length - at);
  applyMetadata(fd, metadata, 'file');
  if ((chattrFlags(metadata.flags) & lastFlags) === 0) {
    lastOf(fd, metadata);
    closeSync(fd);
    return;
  }
  // Further names are made before it may not be changed.
  late.push(() => {
    lastOf(fd, metadata);
    closeSync(fd);
  });
}

function special(directoryFd: number, name: Buffer, { kind, metadata, target, device }: PxarEntry): void {
  const { mode, uid, gid, mtime } = required(metadata);
  if (kind === 'symlink') symlinkAt(required(target), directoryFd, name);
  else makeNodeAt(directoryFd, name, (mode & fileTypeMask) | 0o600, device?.major, device?.minor);
  changeOwnerAt(directoryFd, name, uid, gid);
  if (kind !== 'symlink') changeModeAt(directoryFd, name, mode & 0o7777);
  setTimesAt(directoryFd, name, mtime);
}

function setInitial(fd: number, { flags, projectId }: PxarMetadata): void {
  const initial = chattrFlags(flags) & initialFlags;
  if (initial !== 0) setInodeFlags(fd, getInodeFlags(fd) | initial);
  if (projectId !== undefined) setProjectId(fd, projectId);
}

function applyMetadata(fd: number, metadata: PxarMetadata, kind: 'file' | 'directory'): void {
  changeOwnerAt(fd, nothing, metadata.uid, metadata.gid);
  for (const { name, value } of metadata.xattrs) if (!name.toString().startsWith('trusted.SGI_ACL')) setXattr(fd, name, value);
  if (metadata.fcaps !== undefined) setXattr(fd, Buffer.from('security.capability'), metadata.fcaps);
  // Before the ACLs: XFS would write them again, and list what it makes of them in another order.
  fchmodSync(fd, metadata.mode & 0o7777);
  const { access, default: defaults } = aclXattrs(metadata);
  if (access !== undefined) setXattr(fd, Buffer.from('system.posix_acl_access'), access);
  if (kind === 'directory' && defaults !== undefined) setXattr(fd, Buffer.from('system.posix_acl_default'), defaults);
}

function lastOf(fd: number, { mtime, flags }: PxarMetadata): void {
  setTimesAt(fd, nothing, mtime);
  const chattr = chattrFlags(flags);
  if (chattr !== 0) setInodeFlags(fd, getInodeFlags(fd) | chattr);
}

function required<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('the archive lacks something');
  return value;
}
