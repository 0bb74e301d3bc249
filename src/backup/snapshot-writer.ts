/** What is in the snapshot of a session: all its archives, the log, then the manifest. */
import { open } from 'node:fs/promises';
import { performance } from 'node:perf_hooks';
import type { ArchiveContext } from '../archive/archive-context.js';
import { DamageLog } from '../archive/damage.js';
import { encodeBlob } from '../codec/blob-encoder.js';
import { ChunkCache } from '../codec/chunk-cache.js';
import { FileError } from '../errors.js';
import { clientLogFileName } from '../format/archive-name.js';
import { chunkBytesMax } from '../format/blob.js';
import { snapshotPath } from '../format/snapshot-name.js';
import { loadZstd, type Zstd } from '../os/zstd/zstd.js';
import type { BackupSession } from '../store/backup-session.js';
import type { ArchiveSpec } from './archive-spec.js';
import type { BackupLog } from './backup-log.js';
import { interrupted, type ArchiveResult, type BackupObserver, type BackupRequest } from './backup-request.js';
import { CatalogStream } from './catalog-stream.js';
import { ManifestBuilder } from './manifest-builder.js';
import { PreviousSnapshot } from './previous-snapshot.js';

/** What the sources of one snapshot share. */
export interface BackupContext {
  readonly request: BackupRequest;
  readonly session: BackupSession;
  readonly zstd: Zstd;
  readonly previous: PreviousSnapshot | undefined;
  readonly manifest: ManifestBuilder;
  readonly catalog: CatalogStream;
  readonly observer: BackupObserver;
}

type KindResult = Omit<ArchiveResult, 'name' | 'kind' | 'durationMs'>;

/** For the metadata of the previous snapshot's archives, which is read from front to back. */
const cacheBytesMax = 64 << 20;
/** One decodes faster than the walk beside it goes on, and each takes time to start. */
const cacheWorkers = 1;
const encryptedKeyFileName = 'rsa-encrypted.key.blob';

/** Finishes the session. Rejects with INTERRUPTED when the request's signal is given; the session is to be aborted then, as for any error. */
export async function writeSnapshot(request: BackupRequest, session: BackupSession, log: BackupLog): Promise<void> {
  const archives = archiveContext(request, log);
  try {
    if (session.previous !== undefined && readsPrevious(request)) archives.cache.start();
    const context = await contextOf(request, session, archives, log);
    for (const spec of request.specs) await backUp(context, spec);
    // Its threads end while the rest is written.
    const closing = archives.cache.close();
    await context.catalog.finish(context);
    await finish(context, log);
    await closing;
  } finally {
    await archives.cache.close();
  }
}

/** Whether there may be an archive that the previous snapshot's metadata is read for. */
function readsPrevious({ mode, specs }: BackupRequest): boolean {
  return (mode === undefined || mode === 'metadata') && specs.some(({ kind }) => kind === 'archive');
}

async function contextOf(request: BackupRequest, session: BackupSession, archives: ArchiveContext, log: BackupLog): Promise<BackupContext> {
  log.log(`backup ${snapshotPath(session.snapshot)} to ${request.store.location}, group of ${session.owner}`);
  const previous =
    session.previous && (await PreviousSnapshot.open(archives, session.previous, request.encryption, (line) => log.log(line)));
  const zstd = await archives.zstd;
  const manifest = new ManifestBuilder(session.snapshot, request.encryption);
  return { request, session, zstd, previous, manifest, catalog: new CatalogStream(session), observer: log };
}

async function backUp(context: BackupContext, spec: ArchiveSpec): Promise<void> {
  if (context.request.signal.aborted) throw interrupted();
  const begun = performance.now();
  const backUpKind = await programOf(spec.kind);
  const result = await backUpKind(context, spec);
  context.observer.finishedArchive({ ...result, name: spec.name, kind: spec.kind, durationMs: performance.now() - begun });
}

/** Only what is used is loaded. */
async function programOf(kind: ArchiveSpec['kind']): Promise<(context: BackupContext, spec: ArchiveSpec) => Promise<KindResult>> {
  if (kind === 'archive') return (await import('./archive-backup.js')).backUpArchive;
  if (kind === 'image') return (await import('./image-backup.js')).backUpImage;
  return backUpBlob;
}

async function backUpBlob(context: BackupContext, { name, source }: ArchiveSpec): Promise<KindResult> {
  const content = await readSource(source);
  const encoded = await writeBlob(context, `${name}.blob`, content);
  return { bytes: content.length, bytesReused: 0, bytesStored: encoded.length };
}

async function writeBlob({ session, zstd, request, manifest }: BackupContext, fileName: string, content: Buffer): Promise<Buffer> {
  const { cryptMode, key } = request.encryption;
  const encoded = encodeBlob(content, { zstd, key: cryptMode === 'encrypt' ? key : undefined });
  await session.writeBlob(fileName, encoded);
  manifest.addBlob(fileName, encoded);
  return encoded;
}

/** The key for the owner of the master key, the log of this backup, the manifest. */
async function finish({ request, session, zstd, manifest }: BackupContext, log: BackupLog): Promise<void> {
  const { encryptedKey, cryptMode, key } = request.encryption;
  if (encryptedKey !== undefined) {
    const encoded = encodeBlob(encryptedKey, {});
    await session.writeBlob(encryptedKeyFileName, encoded);
    manifest.addBlob(encryptedKeyFileName, encoded);
  }
  if (request.signal.aborted) throw interrupted();
  // Not in the manifest, as a log that clients send when everything else is done.
  await session.writeBlob(clientLogFileName, encodeBlob(log.text(), { zstd, key: cryptMode === 'encrypt' ? key : undefined }));
  const encoded = encodeBlob(manifest.encode(session.statistics, request.notes), { zstd });
  await request.beforeFinish?.(encoded);
  await session.finish(encoded);
}

/** A file, or standard input, that becomes a blob. */
async function readSource(source: string): Promise<Buffer> {
  const handle = source === '-' ? undefined : await open(source, 'r');
  try {
    if (handle !== undefined && !(await handle.stat()).isFile()) {
      throw new FileError('INVALID_ARGUMENT', `${source} is not a regular file, which a .conf or .log is made of`);
    }
    const pieces: Buffer[] = [];
    let bytes = 0;
    for await (const piece of handle?.createReadStream({ autoClose: false }) ?? process.stdin) {
      pieces.push(piece as Buffer);
      bytes += (piece as Buffer).length;
      if (bytes > chunkBytesMax) {
        throw new FileError('INVALID_ARGUMENT', `${source} is larger than 16 MiB, too large for a blob; back it up as NAME.img, or in a directory as NAME.pxar`);
      }
    }
    return Buffer.concat(pieces);
  } finally {
    await handle?.close();
  }
}

function archiveContext({ store, encryption }: BackupRequest, log: BackupLog): ArchiveContext {
  const keys = encryption.key === undefined ? [] : [encryption.key];
  return {
    store,
    keys,
    salvage: false,
    damage: new DamageLog((line) => log.log(line)),
    zstd: loadZstd(),
    cache: new ChunkCache({
      bytesMax: cacheBytesMax,
      keys: keys.map(({ encKey }) => encKey),
      source: store.chunks,
      workers: cacheWorkers,
    }),
  };
}
