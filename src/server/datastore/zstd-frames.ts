/** A stream in zstd as one frame after the other, which together are a stream. */
import type { Zstd } from '../../os/zstd/zstd.js';

const magic = Buffer.from('28b52ffd', 'hex');
/** One segment, with a content size of four bytes. */
const descriptor = 0xa0;
const blockBytesMax = 128 * 1024;
const lastBlock = 1;

/** Each call gives one frame. */
export function zstdFrames(zstd: Promise<Zstd>): (content: Buffer) => Promise<Buffer> {
  return async (content) => (await zstd).compress(content) ?? storedFrame(content);
}

/** For what does not become shorter: raw blocks. */
export function storedFrame(content: Buffer): Buffer {
  const head = Buffer.alloc(magic.length + 5);
  magic.copy(head);
  head.writeUInt8(descriptor, magic.length);
  head.writeUInt32LE(content.length, magic.length + 1);
  const parts: Buffer[] = [head];
  for (let at = 0; at === 0 || at < content.length; at += blockBytesMax) {
    const block = content.subarray(at, at + blockBytesMax);
    const isLast = at + blockBytesMax >= content.length;
    const blockHead = Buffer.alloc(3);
    blockHead.writeUIntLE((isLast ? lastBlock : 0) | (block.length << 3), 0, 3);
    parts.push(blockHead, block);
  }
  return Buffer.concat(parts);
}
