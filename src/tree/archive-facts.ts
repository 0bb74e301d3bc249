/** Facts about snapshots and archives that have no file of their own, as extended attributes `user.pbsfs.*`. */
import { stat } from 'node:fs/promises';
import { codeOf } from '../errors.js';
import type { ChunkIndex } from '../format/chunk-index.js';
import { formatFingerprint } from '../format/fingerprint.js';
import type { ManifestFile } from '../format/manifest.js';
import type { GroupFacts } from '../store/datastore.js';
import type { MaybePromise } from '../vfs/file-system.js';
import type { TreeContext } from './context.js';
import type { Xattrs } from './node.js';
import type { SnapshotState } from './snapshot-state.js';
import type { OpenStream } from './stream-opener.js';

type Facts = Record<string, string | number | undefined>;

function attributes(facts: Facts): Map<string, MaybePromise<Buffer> | (() => MaybePromise<Buffer>)> {
  const known = Object.entries(facts).filter(([, value]) => value !== undefined);
  return new Map(known.map(([name, value]) => [`user.pbsfs.${name}`, Buffer.from(String(value))]));
}

export function groupXattrs({ owner, notes }: GroupFacts): Xattrs {
  return attributes({ owner, notes });
}

export function snapshotXattrs(state: SnapshotState, owner: string | undefined): Xattrs {
  const { facts, manifest } = state;
  const modes = new Set(manifest?.files.map(({ cryptMode }) => cryptMode));
  const fingerprint = manifest?.unprotected.keyFingerprint;
  return attributes({
    owner,
    notes: manifest?.unprotected.notes,
    protected: String(facts.protected),
    finished: String(facts.finished),
    'verify-state': manifest?.unprotected.verifyState?.state,
    'crypt-mode': manifest && ((['encrypt', 'sign-only'] as const).find((mode) => modes.has(mode)) ?? 'none'),
    fingerprint: fingerprint && formatFingerprint(fingerprint),
    size: manifest?.files.reduce((sum, { size }) => sum + size, 0),
    'encoded-size': manifest?.unprotected.chunkUploadStats?.compressedSize,
  });
}

export interface ArchiveFacts {
  /** One, or the metadata and payload of a split archive. */
  readonly files: readonly ManifestFile[];
  readonly fingerprint: Buffer | undefined;
}

/** `encoded-size` asks for the size of every chunk file and is therefore worked out only when it is read. */
export function archiveXattrs(
  context: TreeContext,
  { files, fingerprint }: ArchiveFacts,
  take: () => MaybePromise<OpenStream>,
  part?: { readonly start: number; readonly length: number },
): MaybePromise<Xattrs> {
  const known = attributes({
    'crypt-mode': files[0]?.cryptMode,
    fingerprint: files[0]?.cryptMode === 'none' || fingerprint === undefined ? undefined : formatFingerprint(fingerprint),
    digest: files.map(({ csum }) => csum).join(' '),
    size: files.reduce((sum, { size }) => sum + size, 0),
  });
  const withSize = (opened: OpenStream): Xattrs => {
    known.set('user.pbsfs.encoded-size', async () => Buffer.from(String(await encodedBytes(context, opened.index))));
    const damage = damageOf(opened, part);
    return damage === '' ? known : known.set('user.pbsfs.damaged', Buffer.from(damage));
  };
  try {
    const opened = take();
    return opened instanceof Promise ? opened.then(withSize, () => known) : withSize(opened);
  } catch {
    return known;
  }
}

function damageOf({ stream, doubt }: OpenStream, part = { start: 0, length: stream.size }): string {
  const lost = stream.lostRanges(part.start, part.start + part.length).map(({ start, end }) => `${start - part.start}-${end - part.start - 1}`);
  return [...(doubt === undefined ? [] : [doubt]), ...lost].join(' ');
}

const statsAtOnce = 64;

async function encodedBytes(context: TreeContext, index: ChunkIndex): Promise<number> {
  const digests = new Map<string, Buffer>();
  for (let n = 0; n < index.count; n++) digests.set(index.digestAt(n).toString('latin1'), index.digestAt(n));
  const paths = [...digests.values()].map((digest) => context.store.chunkPath(digest));
  let bytes = 0;
  for (let i = 0; i < paths.length; i += statsAtOnce) {
    const sizes = await Promise.all(paths.slice(i, i + statsAtOnce).map(fileBytes));
    bytes += sizes.reduce((sum, size) => sum + size, 0);
  }
  return bytes;
}

async function fileBytes(path: string): Promise<number> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return 0;
    throw error;
  }
}

