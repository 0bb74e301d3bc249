/**
 * Reads the content of a file into a stream: exactly as many bytes as were announced, whatever becomes of the file meanwhile.
 * Format: pxar, section 3.3
 */
import { read as readAsync, readSync } from 'node:fs';
import { promisify } from 'node:util';
import { codeOf } from '../errors.js';
import { nextData, nextHole } from '../os/file-extents.js';
import { statAt, type FileStat } from '../os/file-stat.js';
import type { MaybePromise } from '../vfs/file-system.js';
import type { ArchiveStream } from './archive-options.js';

/** The official writer's blocks: with other ones the payload would be cut in other places. */
export const contentBlockBytes = 4 << 20;
/** Larger files are read by other threads, so that what else goes on gets its turn. */
const synchronousBytesMax = 1 << 20;
const sparseBytesMin = 64 << 10;
const statBlockBytes = 512;

const readLater = promisify(readAsync);
const itself = Buffer.alloc(0);

export type ContentChange = 'shrunk' | 'grown' | undefined;

export interface ContentSource {
  readonly fd: number;
  readonly stat: FileStat;
}

export interface ContentTarget {
  readonly stream: Pick<ArchiveStream, 'room' | 'space'>;
  readonly write: (bytes: Buffer) => void;
  /** After each block. */
  readonly wrote: (bytes: number) => MaybePromise<void>;
}

/** Room for the first block is there. Throws system errors without a path. */
export function copyContent(source: ContentSource, target: ContentTarget): MaybePromise<ContentChange> {
  const { size } = source.stat;
  if (size === 0) return undefined;
  return size <= synchronousBytesMax ? copySmall(source, target) : copyLarge(source, target);
}

/** One byte more is asked for than there should be: so one call is enough to see the end. */
function copySmall({ fd, stat: { size } }: ContentSource, { stream, write, wrote }: ContentTarget): MaybePromise<ContentChange> {
  const space = stream.space(size + 1);
  let bytes = readRetrying(fd, space, 0, size + 1, 0);
  while (bytes < size) {
    const more = readRetrying(fd, space, bytes, size + 1 - bytes, bytes);
    if (more === 0) break;
    bytes += more;
  }
  if (bytes < size) space.fill(0, bytes, size);
  write(space.subarray(0, size));
  const change = bytes === size ? undefined : bytes < size ? 'shrunk' : 'grown';
  const done = wrote(size);
  return done instanceof Promise ? done.then(() => change) : change;
}

async function copyLarge(source: ContentSource, { stream, write, wrote }: ContentTarget): Promise<ContentChange> {
  const { fd, stat } = source;
  const { size } = stat;
  const sparse = size >= sparseBytesMin && stat.blocks * statBlockBytes < size;
  let end = size;
  for (let at = 0; at < size; at += contentBlockBytes) {
    const length = Math.min(contentBlockBytes, size - at);
    await stream.room(length);
    const space = stream.space(length);
    if (at < end) {
      const filled = sparse ? await fillSparse(fd, space, at) : await fill(fd, space, at);
      if (filled < length) end = at + filled;
    }
    if (at + length > end) space.fill(0, Math.max(0, end - at));
    write(space);
    await wrote(length);
  }
  const { size: sizeNow } = statAt(fd, itself);
  if (end < size || sizeNow < size) return 'shrunk';
  return sizeNow > size ? 'grown' : undefined;
}

/** Bytes that were read; fewer than there is space for only at the end of the file. */
async function fill(fd: number, space: Buffer, at: number): Promise<number> {
  let filled = 0;
  while (filled < space.length) {
    const { bytesRead } = await readLater(fd, space, filled, space.length - filled, at + filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return filled;
}

/** As fill(), but holes are not read. */
async function fillSparse(fd: number, space: Buffer, at: number): Promise<number> {
  let filled = 0;
  while (filled < space.length) {
    const position = at + filled;
    const data = nextData(fd, position);
    const holeEnd = Math.min(data ?? Infinity, at + space.length);
    space.fill(0, filled, holeEnd - at);
    filled = holeEnd - at;
    if (data === undefined || data >= at + space.length) break;
    const dataEnd = Math.min(Math.max(nextHole(fd, data), data + 1), at + space.length);
    const wanted = dataEnd - data;
    const bytes = await fill(fd, space.subarray(filled, filled + wanted), data);
    filled += bytes;
    if (bytes < wanted) return filled;
  }
  return filled;
}

function readRetrying(fd: number, space: Buffer, offset: number, length: number, position: number): number {
  for (;;) {
    try {
      return readSync(fd, space, offset, length, position);
    } catch (error) {
      if (codeOf(error) !== 'EINTR') throw error;
    }
  }
}
