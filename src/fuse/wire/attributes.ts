/** attr, entry_out and attr_out. Protocol: linux/fuse.h. */
import type { Attributes, Entry } from '../../vfs/file-system.js';
import { setInt64 } from './integers.js';

export const entryBytes = 128;
export const attributesReplyBytes = 104;

const ttlMsMax = 365 * 24 * 3600 * 1000;

/** The device number as the kernel packs it into 32 bits. */
export function encodeDevice(major: number, minor: number): number {
  return ((minor & 0xff) | (major << 8) | ((minor & ~0xff) << 12)) >>> 0;
}

/** The other way round. */
export function decodeDevice(device: number): { readonly major: number; readonly minor: number } {
  return { major: (device & 0xfff00) >>> 8, minor: (device & 0xff) | ((device >>> 12) & 0xfff00) };
}

function writeAttributes(view: DataView, at: number, attributes: Attributes): void {
  setInt64(view, at, attributes.ino);
  setInt64(view, at + 8, attributes.size);
  setInt64(view, at + 16, attributes.blocks);
  setInt64(view, at + 24, attributes.atime.sec);
  setInt64(view, at + 32, attributes.mtime.sec);
  setInt64(view, at + 40, attributes.ctime.sec);
  view.setUint32(at + 48, attributes.atime.nsec, true);
  view.setUint32(at + 52, attributes.mtime.nsec, true);
  view.setUint32(at + 56, attributes.ctime.nsec, true);
  view.setUint32(at + 60, attributes.mode, true);
  view.setUint32(at + 64, attributes.nlink, true);
  view.setUint32(at + 68, attributes.uid, true);
  view.setUint32(at + 72, attributes.gid, true);
  view.setUint32(at + 76, encodeDevice(attributes.rdevMajor, attributes.rdevMinor), true);
  // Block size 0 is a page; no flags.
  view.setUint32(at + 80, 0, true);
  view.setUint32(at + 84, 0, true);
}

/** Entry of a LOOKUP or READDIRPLUS reply: 128 bytes. The ids are permanent, hence generation 0. */
export function writeEntry(view: DataView, at: number, node: number, entry: Entry): void {
  const ttlMs = Math.min(Math.max(entry.ttlMs, 0), ttlMsMax);
  const sec = Math.floor(ttlMs / 1000);
  const nsec = Math.floor((ttlMs % 1000) * 1e6);
  setInt64(view, at, node);
  setInt64(view, at + 8, 0);
  setInt64(view, at + 16, sec);
  setInt64(view, at + 24, sec);
  view.setUint32(at + 32, nsec, true);
  view.setUint32(at + 36, nsec, true);
  writeAttributes(view, at + 40, entry.attributes);
}

/** Reply of GETATTR: 104 bytes. */
export function writeAttributesReply(view: DataView, at: number, entry: Entry): void {
  const ttlMs = Math.min(Math.max(entry.ttlMs, 0), ttlMsMax);
  setInt64(view, at, Math.floor(ttlMs / 1000));
  view.setUint32(at + 8, Math.floor((ttlMs % 1000) * 1e6), true);
  view.setUint32(at + 12, 0, true);
  writeAttributes(view, at + 16, entry.attributes);
}
