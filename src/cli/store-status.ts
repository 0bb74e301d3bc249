/** How full a datastore is, and what its last garbage collection found. */
import { encodeGcStatus, type GcStatus } from '../format/gc-status.js';
import { isRepositoryText } from '../format/repository.js';
import { stderrLog } from '../mount/log.js';
import type { StoreSpace } from '../store/datastore.js';
import type { OptionValues } from './command.js';
import { openLocation } from './open-location.js';
import { writeOut } from './output.js';
import type { serverOptions } from './source-options.js';
import { sizeText } from './text.js';

export type ServerWords = Pick<OptionValues<typeof serverOptions>, 'fingerprint' | 'timeout'>;

export async function printStoreStatus(location: string, words: ServerWords, json: boolean): Promise<void> {
  const store = await openLocation(location, words, stderrLog(() => 'pbsfs: '));
  try {
    const space = await store.space();
    const gc = isRepositoryText(location) ? undefined : await lastCollectionOf(store.location);
    await writeOut(json ? `${JSON.stringify({ source: store.location, ...space, gc: gc === undefined ? null : (JSON.parse(encodeGcStatus(gc).toString()) as object) })}\n` : textOf(store.location, space, gc));
  } finally {
    await store.close();
  }
}

async function lastCollectionOf(location: string): Promise<GcStatus | undefined> {
  return await (await import('../store/local/garbage/collect.js')).lastCollection(location);
}

function textOf(location: string, { bytes, bytesFree }: StoreSpace, gc: GcStatus | undefined): string {
  const used = bytes - bytesFree;
  const rows = [
    ['datastore', location],
    ['space', `${sizeText(bytes)}, ${sizeText(used)} used (${bytes === 0 ? 0 : Math.round((used / bytes) * 100)} %), ${sizeText(bytesFree)} free`],
    ...(gc === undefined ? [] : collectionRows(gc)),
  ];
  return rows.map(([name = '', value = '']) => `${name.padEnd(13)}${value}\n`).join('');
}

function collectionRows({ indexDataBytes, indexFileCount, diskBytes, diskChunks, pendingBytes, pendingChunks, removedBytes, removedChunks }: GcStatus): string[][] {
  return [
    ['last gc', `${sizeText(removedBytes)} in ${removedChunks} chunks removed, ${sizeText(pendingBytes)} in ${pendingChunks} pending`],
    ['data', `${sizeText(indexDataBytes)} in ${indexFileCount} indexes, ${sizeText(diskBytes)} in ${diskChunks} chunks on disk`],
  ];
}
