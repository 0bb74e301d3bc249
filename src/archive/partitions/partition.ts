/** The partitions of a disk image, numbered as the Linux kernel numbers them. */
import type { ChunkStream } from '../chunk-stream.js';
import { readGpt } from './gpt.js';
import { readMbr } from './mbr.js';
import type { Partition, SectorReader } from './sector.js';

export type { Partition } from './sector.js';

/** Empty for an image without a partition table. What lies outside the image is cut off or left out. */
export async function readPartitions(image: ChunkStream): Promise<readonly Partition[]> {
  const read: SectorReader = async (offset, bytes) => {
    if (offset < 0 || offset + bytes > image.size) return undefined;
    return Buffer.from((await image.window(offset, bytes)).subarray(0, bytes));
  };
  // A boot record with partitions of its own hides the GPT that was there before, as it does for the kernel.
  const found = (await readMbr(read, image.size)) ?? (await readGpt(read, image.size)) ?? [];
  return found
    .filter(({ start, length }) => start > 0 && start < image.size && length > 0)
    .map((partition) => ({ ...partition, length: Math.min(partition.length, image.size - partition.start) }))
    .sort((a, b) => a.number - b.number);
}
