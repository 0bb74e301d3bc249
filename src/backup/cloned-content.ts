/** Contents of files of a spool that do not lie there, but in an archive of an earlier snapshot. */
import { FormatError } from '../errors.js';
import type { MaybePromise } from '../vfs/file-system.js';
import type { ByteRange } from './covering-chunks.js';
import { contentBlockBytes, type ContentTarget } from './source-content.js';

export interface ClonedContent {
  /** Where a payload has it with its header, if it is all of a file there; with the checksum of that payload's index, in hex. */
  readonly payload: (ByteRange & { readonly csum: string }) | undefined;
  /** As OpenFile.read(): pieces that are valid in this turn of the event loop. */
  read(offset: number, length: number): MaybePromise<readonly Uint8Array[]>;
}

/** As copyContent(), of `size` bytes. Room for the first block is there. */
export async function copyCloned(content: ClonedContent, size: number, { stream, write, wrote }: ContentTarget): Promise<undefined> {
  for (let at = 0; at < size; at += contentBlockBytes) {
    const length = Math.min(contentBlockBytes, size - at);
    await stream.room(length);
    const space = stream.space(length);
    for (let filled = 0; filled < length; ) {
      const pieces = await content.read(at + filled, length - filled);
      if (pieces.length === 0) throw new FormatError('TRUNCATED', `the content that a clone refers to ends at ${at + filled} of ${size} bytes`);
      for (const piece of pieces) {
        space.set(piece, filled);
        filled += piece.length;
      }
    }
    write(space);
    await wrote(length);
  }
}
