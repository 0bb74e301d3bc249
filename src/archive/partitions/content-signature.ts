/** Whether a known file system, swap space or volume begins at some place of an image, by the magic numbers of each. */
import type { SectorReader } from './sector.js';

interface Signature {
  readonly offset: number;
  readonly bytes: Buffer;
}

const signatures: readonly Signature[] = [
  { offset: 1080, bytes: Buffer.from([0x53, 0xef]) }, // ext2, ext3, ext4
  { offset: 510, bytes: Buffer.from([0x55, 0xaa]) }, // FAT, NTFS
  { offset: 0, bytes: Buffer.from('XFSB') },
  { offset: 4086, bytes: Buffer.from('SWAPSPACE2') },
  { offset: 512, bytes: Buffer.from('LABELONE') }, // LVM
  { offset: 0, bytes: Buffer.from('LUKS\xba\xbe', 'latin1') },
  { offset: 65600, bytes: Buffer.from('_BHRfS_M') }, // btrfs
];

export async function looksFormatted(read: SectorReader, start: number): Promise<boolean> {
  for (const { offset, bytes } of signatures) {
    const found = await read(start + offset, bytes.length);
    if (found?.equals(bytes) === true) return true;
  }
  return false;
}
