/** Images that are staged for a server: chunks wait in the spool, across daemons, and are sent by the session that makes the snapshot. */
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { DamageLog } from '../../../src/archive/damage.js';
import { runBackup } from '../../../src/backup/backup.js';
import { ChunkCache } from '../../../src/codec/chunk-cache.js';
import type { FixedIndex } from '../../../src/format/fixed-index.js';
import type { ChunkWriter } from '../../../src/store/chunk-writer.js';
import { ImageRooms } from '../../../src/tree/staging/image-rooms.js';
import { StagedImage } from '../../../src/tree/staging/image-file.js';
import { noise } from '../../support/random.js';
import { scratchDirectory } from '../../support/scratch.js';
import { readAll } from '../../support/staged-images.js';
import { contentAt, openTree } from '../../support/trees.js';
import { watchedStore, type Watched } from '../../support/watched-sessions.js';

const chunk = 4 << 20;
const group = { namespace: [], type: 'vm', id: '100' } as const;
const encryption = { cryptMode: 'none', key: undefined, encryptedKey: undefined } as const;
const walk = { excludes: [], skipLostAndFound: false, allFileSystems: true, includeDevices: [], skipUnreadable: false, skipE2bigXattr: false, entriesMax: 1 << 20 };

interface Daemon {
  readonly writer: ChunkWriter;
  readonly image: StagedImage;
  readonly close: () => Promise<void>;
}

async function daemon({ store }: Watched, spool: string): Promise<Daemon> {
  const writer = await store.openChunkWriter({ key: undefined, spool, warn: (line) => console.warn(line) });
  const cache = new ChunkCache({ bytesMax: 64 << 20, keys: [], source: store.chunks, workers: 2 });
  const place = { path: 'vm/100/staging/disk.img', directory: join(spool, 'disk.img'), keyNumber: -1, damage: new DamageLog(() => undefined) };
  const image = await StagedImage.open({ ...place, writer, rooms: new ImageRooms(writer.memory), cache });
  let isClosed = false;
  const close = async (): Promise<void> => {
    if (isClosed) return;
    isClosed = true;
    await image.close();
    await writer.close();
    await cache.close();
  };
  onTestFinished(close);
  return { writer, image, close };
}

async function commit({ store }: Watched, time: number, image: StagedImage | string): Promise<void> {
  const isPath = typeof image === 'string';
  await runBackup({
    store,
    group,
    time,
    specs: [{ name: 'disk.img', kind: 'image', source: isPath ? image : '/nonexistent' }],
    mode: undefined,
    encryption,
    owner: undefined,
    notes: undefined,
    walk,
    chunkAverageBytes: chunk,
    changed: new Map(),
    ...(!isPath && { prepared: new Map([['disk.img', image]]) }),
    signal: new AbortController().signal,
    observer: { log: () => undefined, warn: () => undefined, progress: () => undefined, finishedArchive: () => undefined },
  });
}

async function committed({ test: { store } }: Watched, time: string): Promise<Buffer> {
  return await contentAt((await openTree(store)).fs, `vm/100/${time}/disk.img`);
}

function chunkFiles(spool: string): string[] {
  const directory = join(spool, 'pending-chunks/.chunks');
  return existsSync(directory) ? readdirSync(directory, { recursive: true }).map(String).filter((name) => name.length > 64) : [];
}

test('chunks wait in the spool, are read from there, and are sent when the snapshot is made', async () => {
  const watched = await watchedStore();
  const spool = scratchDirectory();
  const bytes = Buffer.concat([noise('a', chunk), Buffer.alloc(chunk), noise('b', chunk), noise('end', 5000)]);
  const first = await daemon(watched, spool);
  for (let at = 0; at < bytes.length; at += 1 << 20) await first.image.write(at, bytes.subarray(at, at + (1 << 20)));
  expect((await readAll(first.image)).equals(bytes)).toBe(true);
  await first.close();
  expect(watched.requests).toEqual([]);
  expect(chunkFiles(spool).length).toBeGreaterThanOrEqual(2);

  const second = await daemon(watched, spool);
  expect((await readAll(second.image)).equals(bytes)).toBe(true);
  await commit(watched, 1_700_000_000, second.image);
  expect((await committed(watched, '2023-11-14T22:13:20Z')).equals(bytes)).toBe(true);
  expect(watched.requests.filter((line) => line.startsWith('POST /fixed_chunk')).length).toBe(4);
  await second.image.close();
  await second.writer.discard();
  expect(readdirSync(spool)).not.toContain('pending-chunks');
});

test.each(['previous', 'older'])('a clone of an image of the %s snapshot sends what was changed, across daemons', async (which) => {
  const watched = await watchedStore();
  const spool = scratchDirectory();
  const bytes = Buffer.concat([noise('a', chunk), noise('b', chunk), noise('c', chunk), noise('d', chunk)]);
  const source = join(scratchDirectory(), 'disk');
  writeFileSync(source, bytes);
  await commit(watched, 1_700_000_000, source);
  if (which === 'older') {
    writeFileSync(source, noise('other', chunk));
    await commit(watched, 1_700_000_001, source);
  }
  const index = (await watched.store.index({ ...group, time: 1_700_000_000 }, 'disk.img.fidx')) as FixedIndex;
  const first = await daemon(watched, spool);
  const readAt = (): never => {
    throw new Error('what is cloned is not read');
  };
  await first.image.cloneRange({ index, keyFits: true, readAt }, 0, 0, bytes.length);
  const change = noise('change', chunk);
  await first.image.write(chunk, change);
  await first.close();

  // A daemon that has read nothing.
  const later = await watchedStore({ directory: watched.test.store });
  const second = await daemon(later, spool);
  const expected = Buffer.concat([bytes.subarray(0, chunk), change, bytes.subarray(2 * chunk)]);
  expect((await readAll(second.image)).equals(expected)).toBe(true);
  await commit(later, 1_700_000_009, second.image);
  expect((await committed(later, '2023-11-14T22:13:29Z')).equals(expected)).toBe(true);
  const sent = later.requests.filter((line) => line.startsWith('POST /fixed_chunk')).length;
  expect(sent).toBe(which === 'previous' ? 1 : 4);
});

test('without a spool nothing is written ahead', async () => {
  const { store } = await watchedStore();
  await expect(store.openChunkWriter({ key: undefined, warn: () => undefined })).rejects.toMatchObject({ code: 'NOT_SUPPORTED' });
});
