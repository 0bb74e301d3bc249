/** 64-bit fields as numbers. Protocol: linux/fuse.h, little endian. */

const wordRange = 2 ** 32;

/** Unsigned; inexact above 2^53 - 1, so the caller checks what may be that large. */
export function getUint64(view: DataView, at: number): number {
  return view.getUint32(at, true) + view.getUint32(at + 4, true) * wordRange;
}

/** Signed; inexact beyond 2^53 - 1 in magnitude. */
export function getInt64(view: DataView, at: number): number {
  return view.getUint32(at, true) + view.getInt32(at + 4, true) * wordRange;
}

/** Signed or unsigned, any integer whose magnitude is at most 2^53 - 1. */
export function setInt64(view: DataView, at: number, value: number): void {
  view.setUint32(at, value >>> 0, true);
  view.setInt32(at + 4, Math.floor(value / wordRange), true);
}

/** Entries of a directory reply start at multiples of 8. */
export function padTo8(length: number): number {
  return (length + 7) & ~7;
}
