/** One backup: all its archives, then the manifest, or nothing. */
import { open } from 'node:fs/promises';
import { performance } from 'node:perf_hooks';
import type { ArchiveContext } from '../archive/archive-context.js';
import { DamageLog } from '../archive/damage.js';
import { encodeBlob } from '../codec/blob-encoder.js';
import { ChunkCache } from '../codec/chunk-cache.js';
import { FileError, StoreError, codeOf } from '../errors.js';
import { clientLogFileName } from '../format/archive-name.js';
import { chunkBytesMax } from '../format/blob.js';
import { snapshotPath } from '../format/snapshot-name.js';
import { loadZstd, type Zstd } from '../os/zstd/zstd.js';
import type { BackupSession } from '../store/backup-session.js';
import type { ArchiveSpec } from './archive-spec.js';
import type { ArchiveResult, BackupObserver, BackupRequest, BackupResult } from './backup-request.js';
import { CatalogStream } from './catalog-stream.js';
import { backUpArchive } from './archive-backup.js';
import { backUpImage } from './image-backup.js';
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

/** For the metadata of the previous snapshot's archives. */
const cacheBytesMax = 64 << 20;
const encryptedKeyFileName = 'rsa-encrypted.key.blob';

/** Rejects with INTERRUPTED when the request's signal is given. Whatever it rejects with, the datastore is as it was, but for chunks. */
export async function runBackup(request: BackupRequest): Promise<BackupResult> {
  const begun = performance.now();
  const { store, encryption, time, group } = request;
  const log = new BackupLog(request.observer);
  const snapshot = { ...group, time };
  const key = encryption.cryptMode === 'encrypt' ? encryption.key : undefined;
  const session = await store.beginBackup({ snapshot, key, owner: request.owner, warn: (line) => log.warn(line) });
  const archives = archiveContext(request, log);
  try {
    const context = await contextOf(request, session, archives, log);
    for (const spec of request.specs) await backUp(context, spec);
    await context.catalog.finish(context);
    await finish(context, log);
    return { snapshot, owner: session.owner, archives: log.archives, warnings: log.warnings, durationMs: performance.now() - begun };
  } catch (error) {
    await session.abort();
    throw request.signal.aborted ? interrupted() : error;
  } finally {
    await archives.cache.close();
  }
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
  const backUpKind = { archive: backUpArchive, image: backUpImage, blob: backUpBlob }[spec.kind];
  const result = await backUpKind(context, spec);
  context.observer.finishedArchive({ ...result, name: spec.name, kind: spec.kind, durationMs: performance.now() - begun });
}

async function backUpBlob(context: BackupContext, { name, source }: ArchiveSpec): Promise<Pick<ArchiveResult, 'bytes' | 'bytesReused' | 'bytesStored'>> {
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
    cache: new ChunkCache({ bytesMax: cacheBytesMax, keys: keys.map(({ encKey }) => encKey), pathOf: (digest) => store.chunkPath(digest) }),
  };
}

/** Keeps what is told, for the log that goes into the snapshot. */
class BackupLog implements BackupObserver {
  readonly archives: ArchiveResult[] = [];
  warnings = 0;
  readonly #observer: BackupObserver;
  readonly #lines: string[] = [];

  constructor(observer: BackupObserver) {
    this.#observer = observer;
  }

  log(line: string): void {
    this.#keep(line);
    this.#observer.log(line);
  }

  warn(line: string): void {
    this.warnings++;
    this.#keep(`warning: ${line}`);
    this.#observer.warn(line);
  }

  progress(...args: Parameters<BackupObserver['progress']>): void {
    this.#observer.progress(...args);
  }

  finishedArchive(result: ArchiveResult): void {
    this.archives.push(result);
    this.#keep(`${result.name}: ${result.bytes} bytes, ${result.bytesReused} reused`);
    this.#observer.finishedArchive(result);
  }

  /** At most what a blob may have. */
  text(): Buffer {
    return Buffer.from(this.#lines.map((line) => `${line}\n`).join('')).subarray(0, chunkBytesMax);
  }

  #keep(line: string): void {
    this.#lines.push(`${new Date().toISOString()} ${line}`);
  }
}

export function interrupted(): StoreError {
  return new StoreError('INTERRUPTED', 'the backup was interrupted; nothing of the snapshot is left, its chunks serve the next one');
}

export function isMissing(error: unknown): boolean {
  return codeOf(error) === 'ENOENT' || codeOf(error) === 'NOT_FOUND';
}
