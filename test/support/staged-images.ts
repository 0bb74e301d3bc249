/** Staged images over a store of this test, with small limits, beside what they should hold. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { DamageLog } from '../../src/archive/damage.js';
import { openImageSource } from '../../src/backup/image-source.js';
import { writeImage } from '../../src/backup/image-writer.js';
import { ChunkCache } from '../../src/codec/chunk-cache.js';
import type { EncryptionKey } from '../../src/crypto/encryption-key.js';
import type { FixedIndex } from '../../src/format/fixed-index.js';
import type { ChunkWriter } from '../../src/store/chunk-writer.js';
import { ImageRooms } from '../../src/tree/staging/image-rooms.js';
import { StagedImage, type ClonableImage, type StagedImageOptions } from '../../src/tree/staging/image-file.js';
import { chunkSession } from './chunk-session.js';
import { emptyStore, openStore } from './new-snapshots.js';
import { scratchDirectory } from './scratch.js';

export const mebibyte = 1 << 20;
export const chunkBytes = 4 << 20;

export interface StagingOptions {
  readonly key?: EncryptionKey | undefined;
  readonly store?: string;
  readonly roomsMax?: number;
}

export interface Staging {
  readonly store: string;
  readonly spool: string;
  readonly writer: ChunkWriter;
  readonly rooms: ImageRooms;
  readonly key: EncryptionKey | undefined;
  readonly damage: DamageLog;
  /** Opened again under the same name it is the same image. Closed when the test ends. */
  open(name?: string, more?: Partial<StagedImageOptions>): Promise<StagedImage>;
}

export async function staging({ key, store = emptyStore(), roomsMax }: StagingOptions = {}): Promise<Staging> {
  const datastore = await openStore(store);
  const writer = await datastore.openChunkWriter({ key, warn: (line) => console.warn(line) });
  onTestFinished(() => writer.close());
  const keys = key === undefined ? [] : [key.encKey];
  const cache = new ChunkCache({ bytesMax: 64 * mebibyte, keys, source: datastore.chunks, workers: 2 });
  onTestFinished(() => cache.close());
  const rooms = new ImageRooms(writer.memory, roomsMax);
  const damage = new DamageLog(() => undefined);
  const spool = scratchDirectory();
  const open = async (name = 'disk.img', more: Partial<StagedImageOptions> = {}): Promise<StagedImage> => {
    const keyNumber = key === undefined ? -1 : 0;
    const place = { path: `host/web/staging/${name}`, directory: join(spool, name) };
    const image = await StagedImage.open({ ...place, writer, rooms, cache, keyNumber, damage, ...more });
    onTestFinished(() => image.close().catch(() => undefined));
    return image;
  };
  return { store, spool, writer, rooms, key, damage, open };
}

export async function readAll(image: StagedImage): Promise<Buffer> {
  return await readRange(image, 0, image.size);
}

/** In pieces, as a driver asks. */
export async function readRange(image: StagedImage, offset: number, length: number): Promise<Buffer> {
  const file = image.openToRead();
  const pieces: Buffer[] = [];
  for (let at = offset; at < offset + length; at += mebibyte) {
    pieces.push(Buffer.concat(await file.read(at, Math.min(mebibyte, offset + length - at))));
  }
  return Buffer.concat(pieces);
}

/** What a backup makes of a file with this content, into the same store. */
export async function backupOf(content: Buffer, { store, key }: Pick<Staging, 'store' | 'key'>): Promise<FixedIndex> {
  const path = join(scratchDirectory(), 'plain');
  writeFileSync(path, content);
  const session = chunkSession({ store, key });
  const source = await openImageSource(path);
  try {
    await writeImage({ target: session.openIndex('plain.img.fidx'), filename: 'plain.img.fidx', source, warn: () => undefined });
    return session.index('plain.img.fidx');
  } finally {
    await source.close();
    await session.close();
  }
}

export function digestsOf(index: FixedIndex): Buffer {
  return Buffer.concat(Array.from({ length: index.count }, (_, i) => index.digestAt(i)));
}

/** An image of a snapshot. */
export async function clonable(content: Buffer, place: Pick<Staging, 'store' | 'key'>, keyFits = true): Promise<ClonableImage> {
  return { index: await backupOf(content, place), keyFits, readAt: (offset, length) => [content.subarray(offset, offset + length)] };
}
