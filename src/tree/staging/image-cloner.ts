/** Copies of another image's bytes into a staged one, whole chunks without reading them. */
import { zeroDigest } from '../../archive/zero-chunk.js';
import { FileError } from '../../errors.js';
import type { ChunkIndex } from '../../format/chunk-index.js';
import type { ChunkWriter } from '../../store/chunk-writer.js';
import { contentAt, planClone, runsOf, type ClonableImage, type ClonePlan } from './image-clone.js';
import type { ImageParts } from './image-parts.js';
import { writePieces } from './image-pieces.js';
import { imageChunkBytes, type StoredContent } from './image-record.js';

export interface CloneRange {
  readonly sourceOffset: number;
  readonly targetOffset: number;
  readonly length: number;
}

/** Gives how many bytes were taken. `check` throws if the image may not become so large. */
export async function cloneInto(parts: ImageParts, source: ClonableImage, range: CloneRange, check: (end: number) => void): Promise<number> {
  const { sourceOffset, targetOffset } = range;
  const plan = planClone(source, { ...range, targetSize: parts.map.size });
  check(targetOffset + plan.length);
  await copy(parts, source, sourceOffset, targetOffset, Math.min(plan.head, plan.length));
  if (plan.count > 0) await cloneChunks(parts, source, plan, targetOffset + plan.length);
  return plan.length;
}

async function copy(parts: ImageParts, source: ClonableImage, sourceOffset: number, targetOffset: number, length: number): Promise<void> {
  for (let done = 0; done < length; ) {
    const pieces = await source.readAt(sourceOffset + done, Math.min(length - done, imageChunkBytes));
    const bytes = Buffer.concat(pieces);
    if (bytes.length === 0) throw new FileError('INVALID_ARGUMENT', 'the source of a clone is shorter than its index says');
    await writePieces(parts.chunks, targetOffset + done, bytes);
    done += bytes.length;
  }
}

async function cloneChunks(parts: ImageParts, source: ClonableImage, plan: ClonePlan, end: number): Promise<void> {
  const { first, count, target } = plan;
  const { map, chunks, origin, writer } = parts;
  const { index } = source;
  const missing = await missingOf(writer, index, first, first + count);
  for (const chunk of [...chunks.unfinished.keys()]) if (chunk >= target && chunk < target + count) await chunks.drop(chunk);
  for (const { at, count: run, content } of runsOf(index, first, first + count)) {
    const start = at - first + target;
    const isHole = isZero(content, writer);
    if (!isHole && missing.size > 0 && missing.has(content.digest.toString('latin1'))) continue;
    for (let chunk = start; chunk < start + run; chunk++) {
      if (isHole) map.setHole(chunk);
      else map.setStored(chunk, content);
    }
  }
  if (first === target) origin.note(index.csum, target, target + count);
  else for (let chunk = target; chunk < target + count; chunk++) origin.clear(chunk);
  map.grow(end);
  if (missing.size > 0) await copyMissing(parts, source, plan, missing);
}

/** Digests of chunks that are not in the datastore any more; keeps the others in it. */
async function missingOf(writer: ChunkWriter, index: ChunkIndex, first: number, end: number): Promise<ReadonlySet<string>> {
  const contents = new Map<string, StoredContent>();
  for (const { content } of runsOf(index, first, end)) {
    if (!isZero(content, writer)) contents.set(content.digest.toString('latin1'), content);
  }
  const missing = await writer.reuseChunks([...contents.values()]);
  const digests = [...contents.keys()];
  return new Set(missing.flatMap((i) => digests[i] ?? []));
}

/** Reads them: they may be there by now, or have lain in another place; else this fails as any read of them does. */
async function copyMissing(parts: ImageParts, source: ClonableImage, plan: ClonePlan, missing: ReadonlySet<string>): Promise<void> {
  const { first, count, target } = plan;
  for (let i = 0; i < count; i++) {
    const { digest, length } = contentAt(source.index, first + i);
    if (missing.has(digest.toString('latin1'))) await copy(parts, source, (first + i) * imageChunkBytes, (target + i) * imageChunkBytes, length);
  }
}

function isZero({ digest, length }: StoredContent, { key }: ChunkWriter): boolean {
  return digest.equals(zeroDigest(length, key));
}
