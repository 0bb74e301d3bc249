/** Finds what a person names in a snapshot. */
import { clientLogName, snapshotContents, type SnapshotContent } from '../archive/snapshot-contents.js';
import type { SnapshotState } from '../archive/snapshot-state.js';
import { StoreError } from '../errors.js';
import { clientLogFileName, logicalName, manifestFileName } from '../format/archive-name.js';
import { snapshotPath } from '../format/snapshot-name.js';

export interface FoundManifest {
  readonly name: string;
  readonly kind: 'manifest';
}

/** A blob of which the manifest says nothing. */
export interface UnlistedBlob {
  readonly name: string;
  readonly kind: 'unlisted';
  readonly fileName: string;
}

export type FoundContent = SnapshotContent | FoundManifest | UnlistedBlob;

/**
 * By the name that it has in a mount, or by that of one of its files. UNFINISHED and what makes the manifest useless are thrown; NOT_FOUND
 * lists what is there.
 */
export function findContent({ snapshot, facts, manifest, refusal }: SnapshotState, name: string): FoundContent {
  if (refusal !== undefined) throw refusal;
  const path = snapshotPath(snapshot);
  if (manifest === undefined) throw new StoreError('UNFINISHED', `${path} has no manifest: its backup was not finished`);
  const contents = snapshotContents(manifest);
  const found = contents.find((content) => content.name === name || content.files.some(({ filename }) => [filename, logicalName(filename)].includes(name)));
  if (found !== undefined) return found;
  if (name === logicalName(manifestFileName) || name === manifestFileName) return { name, kind: 'manifest' };
  const hasLog = facts.files.some((file) => file.name === clientLogFileName);
  if (hasLog && (name === clientLogName || name === clientLogFileName)) return { name, kind: 'unlisted', fileName: clientLogFileName };
  const names = [...contents.map((content) => content.name), logicalName(manifestFileName), ...(hasLog ? [clientLogName] : [])];
  throw new StoreError('NOT_FOUND', `there is no '${name}' in ${path}; there are ${names.join(', ')}`);
}
