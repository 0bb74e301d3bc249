/** The digests of a staged image that is whole, for an index. */
import { FileError, StoreError } from '../../errors.js';
import { digestBytes } from '../../format/chunk-index.js';
import type { ChunkWriter, ReusedChunk } from '../../store/chunk-writer.js';
import { lost, type ImageBase } from './image-base.js';
import type { ImageChunks } from './image-chunks.js';
import type { ImageMap } from './image-map.js';
import type { ImageOrigin } from './image-origin.js';
import { imageChunkBytes } from './image-record.js';

export interface FinishedImage {
  /** Bytes. */
  readonly size: number;
  /** 32 bytes for each chunk, in order. */
  readonly digests: Buffer;
  /** In chunks that are not as in the index that the image was cloned from; all if there is none. */
  readonly dirtyBytes: number;
  /** Checksum of that index. */
  readonly baseCsum: Buffer | undefined;
}

export interface FinishParts {
  readonly map: ImageMap;
  readonly base: ImageBase;
  readonly chunks: ImageChunks;
  readonly origin: ImageOrigin;
  readonly writer: ChunkWriter;
}

const batchChunks = 4096;
const placesToldMax = 5;

/** CHUNK_MISSING if something is not in the datastore any more, INVALID_ARGUMENT if it is empty, what keeps chunks from being stored. */
export async function finishImage({ map, base, chunks, origin, writer }: FinishParts): Promise<FinishedImage> {
  const { size, count } = map;
  if (size === 0) throw new FileError('INVALID_ARGUMENT', `${base.path} is empty; an image has at least one byte`);
  await chunks.storeAll();
  const last = map.recordOf(count - 1);
  const lastBytes = size - (count - 1) * imageChunkBytes;
  if (last.kind === 'stored' && last.length !== lastBytes) await chunks.restore(count - 1);
  for (const chunk of map.used(0, count - 1)) {
    const record = map.recordOf(chunk);
    // An end of the image that is none any more.
    if (record.kind === 'stored' && record.length !== imageChunkBytes) await chunks.restore(chunk);
  }
  const digests = await collectDigests({ map, base, writer }, lastBytes);
  return { size, digests, dirtyBytes: origin.csum === undefined ? size : origin.dirtyBytes(size), baseCsum: origin.csum };
}

async function collectDigests({ map, base, writer }: Pick<FinishParts, 'map' | 'base' | 'writer'>, lastBytes: number): Promise<Buffer> {
  const { count } = map;
  const digests = Buffer.alloc(count * digestBytes);
  const missing: number[] = [];
  let batch: { readonly chunk: number; readonly content: ReusedChunk }[] = [];
  const check = async (): Promise<void> => {
    const lostOnes = await writer.reuseChunks(batch.map(({ content }) => content));
    missing.push(...lostOnes.flatMap((i) => batch[i]?.chunk ?? []));
    batch = [];
  };
  await fillZeros(map, writer, digests, lastBytes);
  for (const chunk of map.used(0, count)) {
    const record = map.recordOf(chunk);
    if (record.kind === 'lost') throw lost({ path: base.path, map }, chunk);
    if (record.kind === 'hole') continue;
    record.digest.copy(digests, chunk * digestBytes);
    batch.push({ chunk, content: { digest: Buffer.from(record.digest), length: record.length } });
    if (batch.length === batchChunks) await check();
  }
  await check();
  if (missing.length > 0) throw missingError(base.path, missing);
  return digests;
}

/** Holes, which are chunks of zeros in an index. */
async function fillZeros(map: ImageMap, writer: ChunkWriter, digests: Buffer, lastBytes: number): Promise<void> {
  const { count } = map;
  const isHole = (chunk: number): boolean => map.recordOf(chunk).kind === 'hole';
  let zero: Buffer | undefined;
  for (let chunk = 0; chunk < count; chunk++) {
    if (!isHole(chunk)) continue;
    const isShort = chunk === count - 1 && lastBytes < imageChunkBytes;
    if (isShort) (await writer.putZeros(lastBytes)).digest.copy(digests, chunk * digestBytes);
    else (zero ??= (await writer.putZeros(imageChunkBytes)).digest).copy(digests, chunk * digestBytes);
  }
}

function missingError(path: string, chunks: readonly number[]): StoreError {
  const places = chunks.slice(0, placesToldMax).map((chunk) => chunk * imageChunkBytes);
  const more = chunks.length > places.length ? ` and ${chunks.length - places.length} more` : '';
  const what = `${path}: the chunks of 4 MiB at byte ${places.join(', ')}${more} are not in the datastore any more`;
  return new StoreError('CHUNK_MISSING', `${what}: write these bytes again, or all of the image`);
}
