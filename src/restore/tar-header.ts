/**
 * Headers of a pax archive. The package tar writes the blocks of ustar; the records before them are made here, as names and values in them
 * are any bytes, and libraries know text only. Format: pax(1), and the SCHILY keywords that GNU tar and libarchive read.
 */
import { Header } from 'tar';
import type { PxarAcl, PxarAclEntry, PxarMetadata } from '../format/pxar/entry.js';

export type TarType = 'File' | 'Link' | 'SymbolicLink' | 'CharacterDevice' | 'BlockDevice' | 'Directory' | 'FIFO';

export interface TarEntry {
  readonly type: TarType;
  /** Any bytes; that of a directory ends with a slash. */
  readonly path: Buffer;
  readonly metadata: PxarMetadata;
  /** Content of a file. */
  readonly size?: number;
  /** Target of a link. */
  readonly linkPath?: Buffer;
  readonly device?: { readonly major: number; readonly minor: number };
}

export const tarBlockBytes = 512;

const permissionBits = 0o7777;
/** What the fields of ustar hold. */
const nameBytesMax = 100;
const idMax = 0o7777777;
const sizeMax = 0o77777777777;
const secMax = 0o77777777777;
const printableText = /^[\x20-\x7e]*$/;

/** The header blocks in front of an entry's content. */
export function tarHeaders(entry: TarEntry): Buffer {
  const records = paxRecords(entry);
  const block = ustarBlock({ ...entry, path: shortText(entry.path), linkPath: shortText(entry.linkPath ?? Buffer.alloc(0)), uid: entry.metadata.uid, gid: entry.metadata.gid });
  if (records.length === 0) return block;
  const body = Buffer.concat(records);
  const pax = encodeHeader({ path: 'PaxHeader', type: 'ExtendedHeader', mode: 0o644, uid: 0, gid: 0, size: body.length, mtime: new Date(0) });
  return Buffer.concat([pax, body, tarPadding(body.length), block]);
}

/** What fills the last block of `size` bytes. */
export function tarPadding(size: number): Buffer {
  return Buffer.alloc((tarBlockBytes - (size % tarBlockBytes)) % tarBlockBytes);
}

/** An end of two zero blocks. */
export const tarEnd = Buffer.alloc(2 * tarBlockBytes);

type HeaderFields = ConstructorParameters<typeof Header>[0];

function encodeHeader(fields: HeaderFields): Buffer {
  const block = Buffer.alloc(tarBlockBytes);
  new Header(fields).encode(block);
  return block;
}

interface UstarFields extends Omit<TarEntry, 'path' | 'linkPath'> {
  readonly path: string;
  readonly linkPath: string;
  readonly uid: number;
  readonly gid: number;
}

function ustarBlock({ type, path, linkPath, metadata, uid, gid, size = 0, device }: UstarFields): Buffer {
  return encodeHeader({
    type,
    path,
    ...(linkPath !== '' && { linkpath: linkPath }),
    mode: metadata.mode & permissionBits,
    uid: uid > idMax ? 0 : uid,
    gid: gid > idMax ? 0 : gid,
    size: size > sizeMax ? 0 : size,
    mtime: new Date(Math.min(Math.max(metadata.mtime.sec, 0), secMax) * 1000),
    ...(device !== undefined && { devmaj: device.major, devmin: device.minor }),
  });
}

/** Readers take the record instead where a name does not fit. */
function shortText(bytes: Buffer): string {
  const isDirectory = bytes.at(-1) === 0x2f;
  const text = bytes.toString('latin1').replace(/[^\x20-\x7e]/g, '_');
  return text.length <= nameBytesMax ? text : `${text.slice(0, nameBytesMax - 1)}${isDirectory ? '/' : ''}`;
}

function paxRecords({ path, linkPath, metadata, size = 0 }: TarEntry): Buffer[] {
  const { uid, gid, mtime, xattrs, fcaps, acl, mode } = metadata;
  const records: Buffer[] = [];
  const add = (keyword: string | Buffer, value: string | Buffer): void => void records.push(paxRecord(Buffer.from(keyword), Buffer.from(value)));
  if (!fits(path)) add('path', path);
  if (linkPath !== undefined && !fits(linkPath)) add('linkpath', linkPath);
  if (size > sizeMax) add('size', String(size));
  if (uid > idMax) add('uid', String(uid));
  if (gid > idMax) add('gid', String(gid));
  if (mtime.nsec !== 0 || mtime.sec < 0 || mtime.sec > secMax) add('mtime', timeText(mtime));
  for (const { name, value } of xattrs) add(Buffer.concat([Buffer.from('SCHILY.xattr.'), name]), value);
  if (fcaps !== undefined) add('SCHILY.xattr.security.capability', fcaps);
  const texts = acl === undefined ? {} : aclTexts(mode, acl);
  if (texts.access !== undefined) add('SCHILY.acl.access', texts.access);
  if (texts.default !== undefined) add('SCHILY.acl.default', texts.default);
  return records;
}

function fits(name: Buffer): boolean {
  return name.length <= nameBytesMax && printableText.test(name.toString('latin1'));
}

/** `LENGTH keyword=value LF`, where the length counts itself. */
function paxRecord(keyword: Buffer, value: Buffer): Buffer {
  const rest = Buffer.concat([Buffer.from(' '), keyword, Buffer.from('='), value, Buffer.from('\n')]);
  let length = rest.length + 1;
  while (String(length).length + rest.length !== length) length = String(length).length + rest.length;
  return Buffer.concat([Buffer.from(String(length)), rest]);
}

/** Seconds with nine decimals; nanoseconds count forward in an archive, away from zero here. */
function timeText({ sec, nsec }: PxarMetadata['mtime']): string {
  if (sec >= 0 || nsec === 0) return `${sec}.${String(nsec).padStart(9, '0')}`;
  return `-${-(sec + 1)}.${String(1_000_000_000 - nsec).padStart(9, '0')}`;
}

/** In the long text form of acl(5), with numbers for users and groups. */
function aclTexts(mode: number, { users, groups, groupObj, default: base, defaultUsers, defaultGroups }: PxarAcl): { access?: string; default?: string } {
  const groupBits = (mode >> 3) & 7;
  const hasMask = groupObj !== undefined || users.length > 0 || groups.length > 0;
  const access = aclText({ userObj: mode >> 6, users, groupObj: groupObj ?? groupBits, groups, mask: groupBits, other: mode });
  if (base === undefined) return hasMask ? { access } : {};
  const { userObj = 7, groupObj: baseGroup = 7, other = 7, mask } = base;
  return { ...(hasMask && { access }), default: aclText({ userObj, users: defaultUsers, groupObj: baseGroup, groups: defaultGroups, mask, other }) };
}

interface FullAcl {
  readonly userObj: number;
  readonly users: readonly PxarAclEntry[];
  readonly groupObj: number;
  readonly groups: readonly PxarAclEntry[];
  readonly mask: number | undefined;
  readonly other: number;
}

function aclText({ userObj, users, groupObj, groups, mask, other }: FullAcl): string {
  const lines = [
    `user::${permissionText(userObj)}`,
    ...users.map(({ id, permissions }) => `user:${id}:${permissionText(permissions)}`),
    `group::${permissionText(groupObj)}`,
    ...groups.map(({ id, permissions }) => `group:${id}:${permissionText(permissions)}`),
    ...(mask === undefined ? [] : [`mask::${permissionText(mask)}`]),
    `other::${permissionText(other)}`,
  ];
  return lines.join('\n');
}

function permissionText(permissions: number): string {
  return `${(permissions & 4) === 0 ? '-' : 'r'}${(permissions & 2) === 0 ? '-' : 'w'}${(permissions & 1) === 0 ? '-' : 'x'}`;
}
