/**
 * Left-complete binary search tree in an array: the children of slot i are 2i+1 (not greater) and 2i+2 (not less), and
 * slots 0 to count-1 are all used. Format: pxar, section 2.4
 */

/** The slots in ascending order of what they hold. */
export function* slotsInOrder(count: number): Generator<number> {
  let slot = leftmost(0, count);
  while (slot < count) {
    yield slot;
    const right = 2 * slot + 2;
    if (right < count) slot = leftmost(right, count);
    else {
      while (slot > 0 && slot % 2 === 0) slot = slot / 2 - 1;
      if (slot === 0) return;
      slot = (slot - 1) / 2;
    }
  }
}

function leftmost(from: number, count: number): number {
  let slot = from;
  while (2 * slot + 1 < count) slot = 2 * slot + 1;
  return slot;
}
