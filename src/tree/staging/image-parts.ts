/** What one staged image works with. */
import { constants } from 'node:fs';
import { mkdir, open, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import type { DamageLog } from '../../archive/damage.js';
import type { ChunkCache } from '../../codec/chunk-cache.js';
import type { ChunkWriter } from '../../store/chunk-writer.js';
import { ImageBase } from './image-base.js';
import { ImageChunks } from './image-chunks.js';
import { ImageData } from './image-data.js';
import { ImageMap, type SpooledRecord } from './image-map.js';
import { ImageOrigin } from './image-origin.js';
import { ImageReader } from './image-reader.js';
import type { ImageRooms } from './image-rooms.js';

export interface StagedImageOptions {
  /** In the tree, for messages. */
  readonly path: string;
  /** State directory in the spool; made if it is not there. Nobody else may have it open. */
  readonly directory: string;
  readonly writer: ChunkWriter;
  /** Of all images of that writer. */
  readonly rooms: ImageRooms;
  /** Of the same datastore. */
  readonly cache: ChunkCache;
  /** Of the writer's key in the cache; -1 if it has none. */
  readonly keyNumber: number;
  readonly damage: DamageLog;
  /** Unfinished chunks of 4 MiB that may take space in the spool. */
  readonly spooledChunksMax?: number;
}

export interface ImageParts {
  readonly map: ImageMap;
  readonly data: ImageData;
  readonly base: ImageBase;
  readonly origin: ImageOrigin;
  readonly chunks: ImageChunks;
  readonly reader: ImageReader;
  readonly writer: ChunkWriter;
  /** The state directory, whatever its name is by now. */
  readonly directory: FileHandle;
}

const spooledChunksMaxDefault = 256;

/** As they were, if the state directory is not new. BAD_STRUCTURE, UNSUPPORTED_VERSION, errors of the spool. */
export async function openParts(options: StagedImageOptions): Promise<ImageParts> {
  const { path, writer, rooms, cache, keyNumber, damage, spooledChunksMax = spooledChunksMaxDefault } = options;
  const { directory, map, data, origin, spooled } = await openState(options.directory);
  const base = new ImageBase({ path, map, cache, keyNumber, damage });
  const chunks = new ImageChunks({ map, data, base, origin, rooms, writer, spooledChunksMax });
  for (const [chunk, record] of spooled) chunks.adopt(chunk, record);
  const reader = new ImageReader({ map, data, base, chunks, rooms });
  return { directory, map, data, base, origin, chunks, reader, writer };
}

interface ImageState extends Pick<ImageParts, 'directory' | 'map' | 'data' | 'origin'> {
  readonly spooled: ReadonlyMap<number, SpooledRecord>;
}

/** Made if it is not there. */
async function openState(path: string): Promise<ImageState> {
  await mkdir(path, { recursive: true, mode: 0o700 });
  const opened: { close: () => Promise<void> }[] = [];
  const noted = <T extends { close: () => Promise<void> }>(part: T): T => {
    opened.push(part);
    return part;
  };
  try {
    const spooled = new Map<number, SpooledRecord>();
    const directory = noted(await open(path, constants.O_RDONLY | constants.O_DIRECTORY));
    const data = noted(await ImageData.open(join(path, 'data')));
    const origin = noted(await ImageOrigin.open(join(path, 'origin')));
    const map = noted(await ImageMap.open(join(path, 'map'), (chunk, record) => spooled.set(chunk, record)));
    return { directory, map, data, origin, spooled };
  } catch (error) {
    await Promise.allSettled(opened.map((part) => part.close()));
    throw error;
  }
}
