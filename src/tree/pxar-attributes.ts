/** What an entry of a pxar archive is to the kernel: attributes, extended attributes, inode flags. Format: pxar, sections 1.3, 1.6, 4.4. */
import type { ChunkStream } from '../archive/chunk-stream.js';
import type { PxarNode, PxarStreams } from '../archive/pxar-tree.js';
import { aclXattrs } from '../format/pxar/acl.js';
import type { PxarEntry, PxarMetadata } from '../format/pxar/entry.js';
import { chattrFlags, fatAttributes } from '../format/pxar/flags.js';
import { itemHeaderBytes } from '../format/pxar/item.js';
import type { Attributes, InodeFlags, Ino } from '../vfs/file-system.js';

const accessAclName = 'system.posix_acl_access';
const defaultAclName = 'system.posix_acl_default';
const capabilityName = 'security.capability';

export function metadataOf(entry: PxarEntry): PxarMetadata {
  if (entry.metadata === undefined) throw new Error('a hard link was not resolved');
  return entry.metadata;
}

export function pxarAttributes(node: PxarNode, ino: Ino, nlink: number, streams: PxarStreams): Attributes {
  const { entry } = node;
  const { mode, uid, gid, mtime } = metadataOf(entry);
  const size = entry.content?.size ?? entry.target?.length ?? 0;
  return {
    ino,
    mode,
    nlink,
    uid,
    gid,
    rdevMajor: entry.device?.major ?? 0,
    rdevMinor: entry.device?.minor ?? 0,
    size,
    blocks: Math.ceil(allocatedBytes(node, streams) / 512),
    atime: mtime,
    mtime,
    ctime: mtime,
  };
}

function allocatedBytes({ entry, dataPosition }: PxarNode, streams: PxarStreams): number {
  const { content } = entry;
  if (content === undefined || content.size === 0) return 0;
  if (content.where === 'inline') return allocatedIn(streams.meta, dataPosition, content.size);
  return streams.payload === undefined ? content.size : allocatedIn(streams.payload, content.offset + itemHeaderBytes, content.size);
}

/** A range that leaves its stream shows as allocated; reading it tells what is wrong. */
function allocatedIn(stream: ChunkStream, start: number, size: number): number {
  return start + size <= stream.size ? stream.allocatedBytes(start, start + size) : size;
}

export function pxarXattrs(entry: PxarEntry): Map<string, Buffer> {
  const metadata = metadataOf(entry);
  const values = new Map<string, Buffer>();
  for (const { name, value } of metadata.xattrs) values.set(name.toString('latin1'), value);
  if (metadata.fcaps !== undefined) values.set(capabilityName, metadata.fcaps);
  const acl = aclXattrs(metadata);
  if (acl.access !== undefined) values.set(accessAclName, acl.access);
  if (acl.default !== undefined) values.set(defaultAclName, acl.default);
  return values;
}

export function pxarInodeFlags(entry: PxarEntry): InodeFlags {
  const { flags, projectId } = metadataOf(entry);
  return { flags: chattrFlags(flags), projectId: projectId ?? 0, fatAttributes: fatAttributes(flags) };
}
