/** Which bytes of a copy into a staged image are whole chunks of another index, and so need not be read. */
import type { ChunkIndex } from '../../format/chunk-index.js';
import type { MaybePromise } from '../../vfs/file-system.js';
import { imageChunkBytes, type StoredContent } from './image-record.js';

/** An image of a snapshot. */
export interface ClonableImage {
  readonly index: ChunkIndex;
  /** Its chunks are encrypted with the key of the new ones, or neither are. */
  readonly keyFits: boolean;
  /** As OpenFile.read(). */
  readAt(offset: number, length: number): MaybePromise<readonly Uint8Array[]>;
}

export interface ClonePlan {
  /** Bytes to copy before the chunks. */
  readonly head: number;
  /** Chunks of the source, and the first one of the image that they become. */
  readonly first: number;
  readonly count: number;
  readonly target: number;
  /** All bytes of it: fewer than asked for where the rest is better asked for again. */
  readonly length: number;
}

export interface CloneRequest {
  readonly sourceOffset: number;
  readonly targetOffset: number;
  readonly length: number;
  /** Bytes of the image before. */
  readonly targetSize: number;
}

/** Bytes that are copied at once where there is nothing to clone. */
const copyBytesMax = 16 << 20;

export function planClone({ index, keyFits }: ClonableImage, { sourceOffset, targetOffset, length, targetSize }: CloneRequest): ClonePlan {
  const rest = Math.min(length, Math.max(index.size - sourceOffset, 0));
  const head = (imageChunkBytes - (targetOffset % imageChunkBytes)) % imageChunkBytes;
  const none = { head: Math.min(rest, copyBytesMax), first: 0, count: 0, target: 0, length: Math.min(rest, copyBytesMax) };
  if (!keyFits || !hasImageChunks(index) || (sourceOffset - targetOffset) % imageChunkBytes !== 0 || head >= rest) return none;
  const end = targetOffset + rest;
  // The last chunk of the source may be a short one: it is one of the image if that ends there, too.
  const isTail = sourceOffset + rest === index.size && end >= targetSize;
  const target = (targetOffset + head) / imageChunkBytes;
  const count = (isTail ? Math.ceil(end / imageChunkBytes) : Math.floor(end / imageChunkBytes)) - target;
  if (count <= 0) return none;
  const cloned = Math.min((target + count) * imageChunkBytes, end) - targetOffset;
  return { head, first: (sourceOffset + head) / imageChunkBytes, count, target, length: cloned };
}

function hasImageChunks(index: ChunkIndex): boolean {
  return index.kind === 'fixed' && (index.count === 1 || index.endOf(0) === imageChunkBytes);
}

/** A chunk of an index, of which the digest is not to be kept as it is. */
export function contentAt(index: ChunkIndex, chunk: number): StoredContent {
  return { digest: index.digestAt(chunk), length: index.endOf(chunk) - index.startOf(chunk) };
}

export interface ContentRun {
  /** Number of the first chunk. */
  readonly at: number;
  readonly count: number;
  readonly content: StoredContent;
}

/** Contents that follow themselves, as zeros do, are given once, with how many they are. */
export function* runsOf(index: ChunkIndex, first: number, end: number): Generator<ContentRun> {
  for (let at = first; at < end; ) {
    const content = contentAt(index, at);
    let count = 1;
    // A short last chunk has another content, so another digest.
    while (at + count < end && index.digestAt(at + count).equals(content.digest)) count++;
    yield { at, count, content };
    at += count;
  }
}
