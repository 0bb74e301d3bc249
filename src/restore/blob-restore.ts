/** A blob of a snapshot, decoded, to a file, a block device or a pipe. */
import type { ByteTarget } from './byte-target.js';

export async function restoreBytes(content: Buffer, openTarget: (size: number) => ByteTarget): Promise<number> {
  const target = openTarget(content.length);
  try {
    await target.write(content, 0);
    target.finish(content.length);
    return content.length;
  } catch (error) {
    target.abandon();
    throw error;
  }
}
