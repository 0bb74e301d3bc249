/** A whole snapshot into a spool: contents as clones, everything else as a restore does it. */
import { ftruncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { openBlob } from '../../archive/blob-opener.js';
import { snapshotContents, type SnapshotContent } from '../../archive/snapshot-contents.js';
import { contentKey, readSnapshotState, type SnapshotState } from '../../archive/snapshot-state.js';
import { openStream } from '../../archive/stream-opener.js';
import type { BackupObserver } from '../../backup/backup-request.js';
import type { EncryptionKey } from '../../crypto/encryption-key.js';
import { FileError, StoreError, codeOf } from '../../errors.js';
import { catalogFileName, logicalName } from '../../format/archive-name.js';
import { chunkBytesMax } from '../../format/blob.js';
import { snapshotPath, type SnapshotName } from '../../format/snapshot-name.js';
import { setXattr } from '../../os/xattrs.js';
import { restoreArchive } from '../../restore/archive-restore.js';
import { throwIfInterrupted, type ContentPlacing, type RestoreOptions } from '../../restore/restore-options.js';
import type { TreeContext } from '../context.js';
import { cloneXattrName, encodeCloneFact } from './clone-fact.js';
import type { CloneOrigins } from './clone-origins.js';
import { isReservedXattr } from './spool-xattrs.js';
import type { GroupSpool } from './spool.js';
import type { StagedImages } from './staged-images.js';
import { stagedKind } from './staged-name.js';

export interface StageRequest {
  readonly context: TreeContext;
  readonly snapshot: SnapshotName;
  /** Empty, and used by nobody else. */
  readonly spool: GroupSpool;
  /** Of that spool. */
  readonly origins: CloneOrigins;
  readonly images: StagedImages;
  /** Of the chunks of images that are written. */
  readonly key: EncryptionKey | undefined;
  readonly observer: BackupObserver;
  readonly signal: AbortSignal;
}

export interface StageResult {
  readonly snapshot: SnapshotName;
  readonly warnings: number;
}

/** What a content has in bytes and files, and how many of the bytes are not in the spool. */
interface Staged {
  readonly bytes: number;
  readonly bytesReused: number;
  readonly files?: number;
}

const everything: RestoreOptions = { skip: new Set(), replace: new Set(), allowExistingDirectories: false, patterns: [] };
const fileMode = 0o600;
/** A commit makes them anew. */
const madeByCommit = new Set([logicalName(catalogFileName), 'rsa-encrypted.key']);

/** UNFINISHED; KEY_REQUIRED, damage and whatever else keeps it from being read; INTERRUPTED. What is in the spool then is of no use. */
export async function stageSnapshot(request: StageRequest): Promise<StageResult> {
  const { context, snapshot, observer, signal } = request;
  const { manifest, refusal, ...rest } = await readSnapshotState(context, snapshot);
  if (refusal !== undefined) throw refusal;
  if (manifest === undefined) throw new StoreError('UNFINISHED', `${snapshotPath(snapshot)} has no manifest: its backup was not finished`);
  const state = { ...rest, manifest, refusal };
  let warnings = 0;
  const warn = (line: string): void => {
    warnings += 1;
    observer.warn(line);
  };
  const work = { ...request, observer: { ...observer, warn } };
  for (const content of snapshotContents(manifest)) {
    throwIfInterrupted(signal, () => 'nothing is staged');
    const begun = performance.now();
    const kind = stagedKind(Buffer.from(content.name));
    if (kind !== content.kind) {
      if (!madeByCommit.has(content.name)) warn(`${content.name} is left out: nothing of that name can be staged`);
      continue;
    }
    const staged = await stageKinds[kind](work, state, content);
    observer.finishedArchive({ name: content.name, kind, bytesStored: 0, ...staged, durationMs: performance.now() - begun });
  }
  return { snapshot, warnings };
}

type StageKind = (request: StageRequest, state: SnapshotState, content: SnapshotContent) => Promise<Staged>;

const stageKinds: Record<'archive' | 'image' | 'blob', StageKind> = { archive: stageArchive, image: stageImage, blob: stageBlob };

async function stageArchive(request: StageRequest, state: SnapshotState, content: SnapshotContent): Promise<Staged> {
  const { context, spool, origins, observer, signal } = request;
  const { name, files } = content;
  const key = contentKey(state, logicalName(files[0].filename), files.map(({ csum }) => csum).join());
  const origin = await origins.adopt({ key, state, files, time: { sec: state.snapshot.time, nsec: 0 } });
  let bytesReused = 0;
  const placing: ContentPlacing = {
    isReserved: isReservedXattr,
    place: (fd, node, size) => {
      if (!setIfPossible(fd, encodeCloneFact({ origin, node }))) return false;
      ftruncateSync(fd, size);
      bytesReused += size;
      return true;
    },
  };
  const result = await restoreArchive({
    context,
    state,
    content,
    target: Buffer.from(join(spool.top, name)),
    options: everything,
    placing,
    observer: {
      progress: ({ bytes, bytesTotal }) => observer.progress(name, { bytes, bytesTotal, bytesReused }),
      warn: (line) => observer.warn(`${name}: ${line}`),
      failed: (line) => observer.warn(`${name}: left out: ${line}`),
    },
    signal,
  });
  return { bytes: result.bytes, bytesReused, files: result.files };
}

/** False where the file system has no such attributes: contents are copied then. */
function setIfPossible(fd: number, fact: Buffer): boolean {
  try {
    setXattr(fd, cloneXattrName, fact);
    return true;
  } catch (error) {
    if (codeOf(error) === 'ENOTSUP' || codeOf(error) === 'EOPNOTSUPP') return false;
    throw error;
  }
}

async function stageImage(request: StageRequest, state: SnapshotState, content: SnapshotContent): Promise<Staged> {
  const { context, spool, images, key, observer, signal } = request;
  const { name, files } = content;
  const [file] = files;
  const { index, stream, fits } = await openStream(context, state, file);
  try {
    const image = await images.image(name);
    const keyFits = fits(key);
    const source = { index, keyFits, readAt: (offset: number, length: number) => stream.pieces(offset, length) };
    for (let at = 0; at < index.size; ) {
      throwIfInterrupted(signal, () => 'nothing is staged');
      const taken = await image.cloneRange(source, at, at, index.size - at);
      if (taken === 0) throw new FileError('INVALID_ARGUMENT', `${name} is shorter than its index says`);
      at += taken;
      observer.progress(name, { bytes: at, bytesTotal: index.size, bytesReused: keyFits ? at : 0 });
    }
    await image.sync();
    writeFileSync(join(spool.top, name), '', { mode: fileMode, flag: 'wx' });
    return { bytes: index.size, bytesReused: keyFits ? index.size : 0 };
  } finally {
    stream.close();
  }
}

async function stageBlob({ context, spool }: StageRequest, state: SnapshotState, { name, files: [file] }: SnapshotContent): Promise<Staged> {
  const { content } = await openBlob(context, state, file.filename, file);
  if (content.length > chunkBytesMax) throw new FileError('TOO_LARGE', `${name} has ${content.length} bytes, more than the 16 MiB of a blob that can be staged`);
  writeFileSync(join(spool.top, name), content, { mode: fileMode, flag: 'wx' });
  return { bytes: content.length, bytesReused: 0 };
}
