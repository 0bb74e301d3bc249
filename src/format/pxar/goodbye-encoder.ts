/** The mirror of goodbye.ts. Format: pxar, sections 2.3, 2.4 */
import { FormatError } from '../../errors.js';
import { writeInt64 } from '../uint64.js';
import { slotsInOrder } from './binary-tree.js';
import { compareHashes, goodbyeTailMarker } from './goodbye.js';
import { encodeItem, goodbyeEntriesMax, goodbyeItemBytes, itemHeaderBytes } from './item.js';
import { writeU64, type U64 } from './u64.js';

export interface GoodbyeChild {
  readonly hash: U64;
  /** of its FILENAME header */
  readonly position: number;
  readonly size: number;
}

export interface GoodbyeFrame {
  /** of the GOODBYE header to be written */
  readonly goodbyePosition: number;
  /** of the directory's ENTRY header; the root: 0 */
  readonly entryPosition: number;
}

/** A GOODBYE item for children in any order. Those with equal hashes keep the order they are given in. */
export function encodeGoodbye(children: readonly GoodbyeChild[], { goodbyePosition, entryPosition }: GoodbyeFrame): Buffer {
  if (children.length > goodbyeEntriesMax) {
    throw new FormatError('LIMIT_EXCEEDED', `a directory of ${children.length} entries; ${goodbyeEntriesMax} is the limit`);
  }
  const content = Buffer.allocUnsafe(goodbyeItemBytes * (children.length + 1));
  const sorted = children.toSorted((a, b) => compareHashes(a.hash, b.hash));
  let next = 0;
  for (const slot of slotsInOrder(sorted.length)) {
    const child = sorted[next++];
    if (child !== undefined) writeItem(content, slot, child.hash, goodbyePosition - child.position, child.size);
  }
  const tableBytes = itemHeaderBytes + content.length;
  writeItem(content, sorted.length, goodbyeTailMarker, goodbyePosition - entryPosition, tableBytes);
  return encodeItem('GOODBYE', content);
}

function writeItem(content: Buffer, slot: number, hash: U64, distance: number, size: number): void {
  const at = slot * goodbyeItemBytes;
  writeU64(content, hash, at);
  writeInt64(content, distance, at + 8);
  writeInt64(content, size, at + 16);
}
