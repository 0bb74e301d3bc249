/** Memory for what is read from a spool: a piece is good until the turn of the event loop ends, and is used again in a later one. */

const memoryBytes = 8 * 1024 * 1024;

let memory: Buffer | undefined;
let used = 0;
let ending = false;

/** Memory of its own where much was read in this turn already. */
export function memoryOfThisTurn(length: number): Buffer {
  if (used + length > memoryBytes) return Buffer.allocUnsafeSlow(length);
  memory ??= Buffer.allocUnsafeSlow(memoryBytes);
  const piece = memory.subarray(used, used + length);
  used += length;
  if (!ending) {
    ending = true;
    setImmediate(() => {
      used = 0;
      ending = false;
    });
  }
  return piece;
}
