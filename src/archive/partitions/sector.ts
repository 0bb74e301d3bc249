/** What readers of partition tables are given and what they find. */

export interface Partition {
  /** From 1; logical partitions of an MBR from 5. */
  readonly number: number;
  /** Bytes in the image. */
  readonly start: number;
  readonly length: number;
}

/** Reads `bytes` bytes at `offset`; undefined beyond the end of the image. */
export type SectorReader = (offset: number, bytes: number) => Promise<Buffer | undefined>;

export const sectorBytesKnown = [512, 4096] as const;
