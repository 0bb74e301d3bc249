/** What the daemon tells the kernel unasked. Protocol: linux/fuse.h. */
import { setInt64 } from './integers.js';
import { replyHeaderBytes } from './reply.js';

const invalidateInodeCode = 2;
const invalidateEntryCode = 3;

function notification(code: number, payloadBytes: number): { bytes: Buffer; view: DataView } {
  const bytes = Buffer.alloc(replyHeaderBytes + payloadBytes);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  view.setUint32(0, bytes.length, true);
  view.setInt32(4, code, true);
  return { bytes, view };
}

/** The attributes and all cached bytes of a node are old. */
export function invalidateInodeNotification(node: number): Buffer {
  const { bytes, view } = notification(invalidateInodeCode, 24);
  setInt64(view, 16, node);
  return bytes;
}

/** What the kernel knows of `name` in `parent` is old. */
export function invalidateEntryNotification(parent: number, name: Uint8Array): Buffer {
  const { bytes, view } = notification(invalidateEntryCode, 16 + name.length + 1);
  setInt64(view, 16, parent);
  view.setUint32(24, name.length, true);
  bytes.set(name, 32);
  return bytes;
}
