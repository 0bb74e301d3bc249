/** Finds the children of a directory whose goodbye table is lost by walking through it as far as it is whole. */
import { FormatError } from '../errors.js';
import { PxarScanner } from '../format/pxar/scanner.js';
import type { ChunkStream } from './chunk-stream.js';
import { RebuiltDirectory, type FoundChild } from './pxar-directory.js';
import { scanStream } from './stream-scan.js';

/** A directory in it that the walk did not come out of has no known end: its entry's position stands for it, where no directory can end. */
export async function rebuildDirectory(stream: ChunkStream, entryPosition: number): Promise<RebuiltDirectory> {
  const children: FoundChild[] = [];
  try {
    await scanStream(stream, new PxarScanner({ entryPosition }), (event) => {
      if (event.type === 'entry' && event.depth === 1) {
        const end = event.entry.kind === 'directory' ? event.entryPosition : event.endPosition;
        children.push({ name: event.name, start: event.namePosition, end });
      } else if (event.type === 'directoryEnd' && event.depth === 1) {
        const directory = children.pop();
        if (directory !== undefined) children.push({ ...directory, end: event.endPosition });
      }
    });
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
  }
  return new RebuiltDirectory(children, entryPosition);
}
