/** What every way to zstd offers. */
import { FormatError } from '../../errors.js';

export interface Zstd {
  readonly name: string;
  /** Decodes all frames of `source` into `target` and gives the decoded length; BAD_STRUCTURE if they are damaged or do not fit. */
  decompress(source: Uint8Array, target: Uint8Array): number;
  /**
   * Level 1, one frame with its content size; undefined if that is not shorter than `source`. The frame may lie in `room`, which is at least as long as
   * the source and may be given to save a buffer for each call.
   */
  compress(source: Uint8Array, room?: Buffer): Buffer | undefined;
}

export function badFrame(source: Uint8Array, target: Uint8Array, cause?: unknown): FormatError {
  const what = `zstd data of ${source.length} bytes is damaged or decodes to more than the expected ${target.length} bytes`;
  return new FormatError('BAD_STRUCTURE', what, { cause });
}
