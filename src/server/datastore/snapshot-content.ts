/** What is in a snapshot, as listings have it. Format: protocol, sections 8.2 and 8.3. */
import { decodeBlob } from '../../codec/blob-decoder.js';
import { manifestFileName } from '../../format/archive-name.js';
import { parseManifest, type Manifest } from '../../format/manifest.js';
import type { SnapshotName } from '../../format/snapshot-name.js';
import { loadZstd } from '../../os/zstd/zstd.js';
import type { Datastore, SnapshotFacts } from '../../store/datastore.js';

/** In the order of listings; those of what the manifest does not have have only their name. */
export interface ContentItem {
  readonly filename: string;
  readonly 'crypt-mode'?: string;
  readonly size?: number;
  readonly [name: string]: string | number;
}

export interface SnapshotContent {
  readonly facts: SnapshotFacts;
  /** Absent where there is none, or it cannot be read. */
  readonly manifest: Manifest | undefined;
  readonly files: readonly ContentItem[];
}

/** NOT_FOUND if there is no such snapshot. */
export async function readContent(store: Datastore, snapshot: SnapshotName): Promise<SnapshotContent> {
  const facts = await store.snapshotFacts(snapshot);
  const manifest = facts.finished ? await manifestIfAny(store, snapshot) : undefined;
  if (manifest === undefined) return { facts, manifest, files: facts.files.map(({ name }) => ({ filename: name })) };
  const listed = manifest.files.map((file): ContentItem => ({ filename: file.filename, 'crypt-mode': file.cryptMode, size: file.size }));
  const names = new Set([...manifest.files.map(({ filename }) => filename), manifestFileName]);
  const others = facts.files.filter(({ name }) => !names.has(name)).map(({ name }) => ({ filename: name }));
  return { facts, manifest, files: [...listed, manifestItem(manifest, facts), ...others] };
}

function manifestItem({ signature }: Manifest, { files }: SnapshotFacts): ContentItem {
  const size = files.find(({ name }) => name === manifestFileName)?.size ?? 0;
  return { filename: manifestFileName, 'crypt-mode': signature === undefined ? 'none' : 'sign-only', size };
}

async function manifestIfAny(store: Datastore, snapshot: SnapshotName): Promise<Manifest | undefined> {
  try {
    return parseManifest(decodeBlob(await store.blob(snapshot, manifestFileName), await loadZstd(), undefined));
  } catch {
    return undefined;
  }
}
