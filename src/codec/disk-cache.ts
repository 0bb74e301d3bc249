/**
 * Chunk files that were read once, on a disk of this machine, as the store has them: what is encrypted there is encrypted here. Least recently used
 * ones go first. Which files there are is known here; worker threads write and remove them. No file is believed: whoever decodes one compares
 * its digest, and a damaged one goes and comes again from the store.
 */
import { rm, statfs, utimes } from 'node:fs/promises';
import { codeOf, messageOf } from '../errors.js';
import { encodedChunkBytesMax } from '../format/blob.js';
import { DiskCacheDirectory, type FoundFile } from './disk-cache-directory.js';
import type { KeepOrder, KeepOutcome } from './worker-messages.js';

export interface DiskCacheOptions {
  /** Made if it is not there. */
  readonly directory: string;
  /** Of all files, those that are being written too. */
  readonly bytesMax: number;
  readonly log: (line: string) => void;
}

export interface DiskCacheStatistics {
  readonly directory: string;
  readonly bytesMax: number;
  readonly bytesUsed: number;
  readonly files: number;
  /** Chunks that came from the cache, and that did not. */
  readonly hits: number;
  readonly misses: number;
  readonly kept: number;
  /** Files that were damaged or gone. */
  readonly dropped: number;
  /** Whether chunks are kept now. */
  readonly keeping: boolean;
}

export interface Keeping {
  readonly order: KeepOrder;
  readonly digest: Buffer;
  readonly bytesReserved: number;
}

interface CachedFile {
  readonly bytes: number;
  /** When its times were set last. */
  usedMs: number;
}

const blockBytes = 4096;
/** A hundred bytes of memory each. */
const filesMax = 1 << 20;
/** So exactly the order survives a restart. */
const touchMs = 60_000;
const pauseMs = 60_000;
const spaceMs = 2000;
/** Of the file system that stay free for others. */
const freeShareLeast = 1 / 20;
const freeBytesLeast = 1 << 30;

export class DiskCache {
  readonly #directory: DiskCacheDirectory;
  readonly #bytesMax: number;
  readonly #log: (line: string) => void;
  /** By digest, least recently used first. */
  readonly #files = new Map<string, CachedFile>();
  #fileBytes = 0;
  /** Of files that are being written or removed. */
  #pendingBytes = 0;
  /** What the file system has room for. */
  #bytesAllowed: number;
  /** Not before all files are known. */
  #isReady = false;
  #closed = false;
  #pausedUntilMs = 0;
  #spaceMs = 0;
  #told = false;
  readonly #scanning: Promise<void>;
  readonly #counts = { hits: 0, misses: 0, kept: 0, dropped: 0 };

  /** What is in the directory is found in the background. LOCKED, EXISTS, NO_PERMISSION, or the system's error. */
  constructor({ directory, bytesMax, log }: DiskCacheOptions) {
    this.#directory = new DiskCacheDirectory(directory);
    this.#bytesMax = bytesMax;
    this.#bytesAllowed = bytesMax;
    this.#log = log;
    this.#scanning = this.#scan().catch((error: unknown) => {
      if (!this.#closed) log(`disk cache ${directory} can't be used: ${messageOf(error)}; chunks come from the datastore`);
    });
  }

  /** Resolves when all files of the directory are known. */
  ready(): Promise<void> {
    return this.#scanning;
  }

  /** The file to decode. Whoever asked tells `hit` or `lost` then. */
  find(digest: Buffer): string | undefined {
    const key = keyOf(digest);
    const file = this.#files.get(key);
    if (file !== undefined) {
      this.#files.delete(key);
      this.#files.set(key, file);
      this.#touch(digest, file);
    } else if (this.#isReady) {
      this.#counts.misses++;
      return undefined;
    }
    return this.#directory.pathOf(digest);
  }

  hit(): void {
    this.#counts.hits++;
  }

  /** The file is gone, or was no good and has been removed. */
  lost(digest: Buffer, error: Error): void {
    this.#counts.misses++;
    if (this.#forget(keyOf(digest)) || codeOf(error) !== 'CHUNK_MISSING') this.#counts.dropped++;
  }

  /** How a worker is to keep a chunk file of at most `bytesMax`; undefined if it is not to. Whoever asked tells `settle` how that went. */
  order(digest: Buffer, bytesMax: number): Keeping | undefined {
    const bytes = diskBytes(bytesMax);
    if (!this.#keeping) return undefined;
    if (Date.now() - this.#spaceMs > spaceMs) void this.#measureSpace();
    if (this.#pendingBytes + bytes > this.#bytesAllowed) return undefined;
    const { evict, bytesFreed } = this.#evictFor(bytes);
    const bytesReserved = bytes + bytesFreed;
    // What is evicted counts until a worker has removed it.
    this.#pendingBytes += bytesReserved;
    const order = { path: this.#directory.pathOf(digest), temporaryDirectory: this.#directory.temporary, evict };
    return { order, digest, bytesReserved };
  }

  settle({ digest, bytesReserved }: Keeping, outcome: KeepOutcome | Error | undefined): void {
    this.#pendingBytes -= bytesReserved;
    if (outcome === undefined || outcome instanceof Error) return;
    if (outcome.failure !== undefined) {
      this.#pause(outcome.failure.message);
      return;
    }
    this.#add(keyOf(digest), { bytes: diskBytes(outcome.bytes), usedMs: Date.now() });
    this.#counts.kept++;
    this.#told = false;
  }

  statistics(): DiskCacheStatistics {
    return {
      directory: this.#directory.path,
      bytesMax: this.#bytesMax,
      bytesUsed: this.#fileBytes + this.#pendingBytes,
      files: this.#files.size,
      ...this.#counts,
      keeping: this.#keeping,
    };
  }

  /** Not before workers are done. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#scanning;
    this.#directory.release();
  }

  get #keeping(): boolean {
    return this.#isReady && !this.#closed && Date.now() >= this.#pausedUntilMs;
  }

  async #scan(): Promise<void> {
    await this.#directory.removeTemporary();
    const found: FoundFile[] = [];
    for await (const file of this.#directory.files()) {
      if (this.#closed) return;
      found.push(file);
    }
    found.sort((a, b) => a.usedMs - b.usedMs);
    for (const { digest, bytes, usedMs } of found) this.#add(keyOf(digest), { bytes: diskBytes(bytes), usedMs });
    await this.#measureSpace();
    while ((this.#fileBytes > this.#bytesAllowed || this.#files.size > filesMax) && !this.#closed) {
      const oldest = this.#evictOldest();
      if (oldest !== undefined) await rm(oldest.path, { force: true });
    }
    this.#isReady = true;
  }

  /** The cache takes only what others do not need, and gives back when they need more. */
  async #measureSpace(): Promise<void> {
    this.#spaceMs = Date.now();
    try {
      const { bsize, blocks, bavail } = await statfs(this.#directory.path);
      const bytesLeast = Math.min(bsize * blocks * freeShareLeast, freeBytesLeast);
      const bytesUsed = this.#fileBytes + this.#pendingBytes;
      this.#bytesAllowed = Math.max(0, Math.min(this.#bytesMax, bytesUsed + bsize * bavail - bytesLeast));
      if (this.#bytesAllowed < diskBytes(encodedChunkBytesMax)) this.#tell('its file system is full');
    } catch (error) {
      this.#pause(messageOf(error));
    }
  }

  #evictFor(bytes: number): { evict: readonly string[]; bytesFreed: number } {
    const evict: string[] = [];
    const before = this.#fileBytes;
    while (this.#fileBytes + this.#pendingBytes + bytes > this.#bytesAllowed || this.#files.size >= filesMax) {
      const oldest = this.#evictOldest();
      if (oldest === undefined) break;
      evict.push(oldest.path);
    }
    return { evict, bytesFreed: before - this.#fileBytes };
  }

  #evictOldest(): { readonly path: string } | undefined {
    const [key] = this.#files.keys();
    if (key === undefined) return undefined;
    this.#forget(key);
    return { path: this.#directory.pathOf(Buffer.from(key, 'latin1')) };
  }

  #touch(digest: Buffer, file: CachedFile): void {
    const now = Date.now();
    if (now - file.usedMs < touchMs) return;
    file.usedMs = now;
    // A file that is gone shows when it is decoded.
    utimes(this.#directory.pathOf(digest), now / 1000, now / 1000).catch(() => undefined);
  }

  #add(key: string, file: CachedFile): void {
    this.#forget(key);
    this.#files.set(key, file);
    this.#fileBytes += file.bytes;
  }

  #forget(key: string): boolean {
    this.#fileBytes -= this.#files.get(key)?.bytes ?? 0;
    return this.#files.delete(key);
  }

  #pause(reason: string): void {
    this.#pausedUntilMs = Date.now() + pauseMs;
    this.#spaceMs = 0;
    this.#tell(reason);
  }

  /** Once, until chunks are kept again. */
  #tell(reason: string): void {
    if (!this.#told) this.#log(`disk cache ${this.#directory.path} keeps no more chunks for now: ${reason}; reading goes on`);
    this.#told = true;
  }
}

function keyOf(digest: Buffer): string {
  return digest.toString('latin1');
}

function diskBytes(fileBytes: number): number {
  return Math.ceil(fileBytes / blockBytes) * blockBytes;
}
