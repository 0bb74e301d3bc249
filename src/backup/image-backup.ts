/** An image of a snapshot: read as a whole, or only what changed since the previous snapshot where that is known. */
import { performance } from 'node:perf_hooks';
import { messageOf } from '../errors.js';
import type { ArchiveSpec } from './archive-spec.js';
import type { ArchiveResult, PreparedImage } from './backup-request.js';
import type { BackupContext } from './snapshot-writer.js';
import { changedBytes, type ChangedBlocks } from './changed-list.js';
import { dirtyBitmapStatus, type PreviousImage } from './dirty-bitmap.js';
import { dirtyBitmapLine, imageSummary } from './image-report.js';
import { openImageSource } from './image-source.js';
import { newFixedIndex, writeImage } from './image-writer.js';
import type { ChangedImage } from './unchanged-chunks.js';

export async function backUpImage(context: BackupContext, spec: ArchiveSpec): Promise<Pick<ArchiveResult, 'bytes' | 'bytesReused' | 'bytesStored'>> {
  const { session, request, observer, manifest } = context;
  const prepared = request.prepared?.get(spec.name);
  if (prepared !== undefined) return await indexPrepared(context, spec, prepared);
  const begun = performance.now();
  const source = await openImageSource(spec.source);
  try {
    const filename = `${spec.name}.fidx`;
    const changed = await changesOf(context, spec, filename, source.size);
    const written = await writeImage({
      target: session.openIndex(filename, source.size),
      filename,
      source,
      changed,
      signal: request.signal,
      warn: (line) => observer.warn(line),
      progress: ({ bytes, bytesReused }) => observer.progress(spec.name, { bytes, bytesReused, bytesTotal: source.size }),
    });
    manifest.addIndex(written);
    for (const line of imageSummary(written.figures, performance.now() - begun)) observer.log(`${spec.name}: ${line}`);
    const { bytes, bytesReused, encodedBytesAdded } = written.figures;
    return { bytes, bytesReused, bytesStored: encodedBytesAdded };
  } finally {
    await source.close();
  }
}

/** Only the index is left to be written. */
async function indexPrepared(
  { session, observer, manifest }: BackupContext,
  { name }: ArchiveSpec,
  prepared: PreparedImage,
): Promise<Pick<ArchiveResult, 'bytes' | 'bytesReused' | 'bytesStored'>> {
  const { size, digests, dirtyBytes, baseCsum } = await prepared.finish();
  const filename = `${name}.fidx`;
  const index = newFixedIndex(size, digests);
  await session.openIndex(filename, size).writeIndex(index);
  manifest.addIndex({ filename, size, csum: index.toString('hex', 32, 64) });
  if (baseCsum !== undefined) observer.log(dirtyBitmapLine(name, 'OK', { dirty: dirtyBytes, total: size }));
  return { bytes: size, bytesReused: size - dirtyBytes, bytesStored: 0 };
}

/** Undefined if the whole image has to be read; says why if a list of changes was given. */
async function changesOf(context: BackupContext, { name }: ArchiveSpec, filename: string, size: number | undefined): Promise<ChangedImage | undefined> {
  const blocks = context.request.changed.get(name);
  if (blocks === undefined) return undefined;
  const previous = await previousImage(context, filename);
  const status = statusOf(context, blocks, previous, size);
  context.observer.log(dirtyBitmapLine(name, status, { dirty: changedBytes(blocks, size ?? 0), total: size ?? 0 }));
  return status === 'OK' && typeof previous !== 'string' ? { blocks, previousIndex: previous.index } : undefined;
}

function statusOf({ request }: BackupContext, changed: ChangedBlocks, previous: PreviousImage | string, size: number | undefined): string {
  const { cryptMode, key } = request.encryption;
  return dirtyBitmapStatus({ changed, size, cryptMode, keyFingerprint: key?.fingerprint, previous });
}

async function previousImage({ previous, session }: BackupContext, filename: string): Promise<PreviousImage | string> {
  if (previous === undefined) return session.previous === undefined ? 'the group has no previous snapshot' : 'nothing of the previous snapshot can be used';
  try {
    return (await previous.image(filename)) ?? 'the previous snapshot has no image of this name';
  } catch (error) {
    return `the previous index can't be read: ${messageOf(error)}`;
  }
}
