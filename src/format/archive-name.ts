/** Format: datastore, section 1.5. Names of the files in a snapshot, and the names that people know them by. */
import { isSafeId } from './safe-id.js';

export type ArchiveKind = 'fixed' | 'dynamic' | 'blob';

export const manifestFileName = 'index.json.blob';
export const clientLogFileName = 'client.log.blob';
/** Empty; a snapshot that has it is not removed. */
export const protectedFileName = '.protected';
export const catalogFileName = 'catalog.pcat1.didx';

const kindOfExtension: ReadonlyMap<string, ArchiveKind> = new Map([
  ['fidx', 'fixed'],
  ['didx', 'dynamic'],
  ['blob', 'blob'],
]);

/** What a file of a snapshot is by its name; undefined if it is none (`.protected`, temporary files, strange names). */
export function archiveKind(fileName: string): ArchiveKind | undefined {
  if (!isSafeId(fileName)) return undefined;
  const dot = fileName.lastIndexOf('.');
  return dot === -1 ? undefined : kindOfExtension.get(fileName.slice(dot + 1));
}

/** `root.pxar` of `root.pxar.didx`. Only for names that have a kind. */
export function logicalName(fileName: string): string {
  return fileName.slice(0, fileName.lastIndexOf('.'));
}
