/**
 * Chunks that were put before there is a snapshot for them. A server takes chunks only for a snapshot that is being written, so they wait encoded in a
 * directory, laid out as the chunks of a datastore; a backup session sends those that its indexes name. All go when nothing needs any of them.
 */
import { mkdirSync } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { codeOf, FileError } from '../../errors.js';
import type { EncryptionKey } from '../../crypto/encryption-key.js';
import { chunkPath } from '../../format/chunk-path.js';
import type { ChunkWriter, ChunkWriterOptions, ReusedChunk } from '../chunk-writer.js';
import { CloneSources, type SnapshotHolder } from './clone-sources.js';
import { LocalChunks } from '../local/chunks.js';
import { StoringWriter } from '../local/storing-writer.js';

const memoryBytes = 160 << 20;

/** Those of one spool, for reading. */
export class PendingChunks {
  readonly directory: string;

  constructor(directory: string) {
    this.directory = directory;
  }

  /** A chunk file; undefined if it does not wait here. */
  async get(digest: Buffer): Promise<Uint8Array<ArrayBuffer> | undefined> {
    try {
      const bytes = await readFile(join(this.directory, chunkPath(digest)));
      // An interrupted write leaves no such file, a full disk may.
      return bytes.length === 0 ? undefined : new Uint8Array(bytes);
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return undefined;
      throw error;
    }
  }
}

export interface OpenedPending {
  readonly pending: PendingChunks;
  readonly writer: ChunkWriter;
}

/** `ended`: called when the writer is closed. NOT_SUPPORTED without a directory for them. */
export async function openPendingWriter({ spool, key, warn }: ChunkWriterOptions, holder: SnapshotHolder, ended: () => void): Promise<OpenedPending> {
  if (spool === undefined) throw new FileError('NOT_SUPPORTED', 'a server takes chunks only for a snapshot that is being written; they need a spool to wait in');
  const directory = join(spool, 'pending-chunks');
  const temporaryDirectory = join(directory, 'tmp');
  for (const path of [temporaryDirectory, join(directory, '.chunks')]) mkdirSync(path, { recursive: true, mode: 0o700 });
  const store = { location: directory, owner: undefined, syncLevel: 'filesystem' } as const;
  const sources = new CloneSources(join(directory, 'clone-sources.json'), holder);
  await sources.holdAgain(warn);
  const chunks = new LocalChunks({ store, key, temporaryDirectory, memoryBytes });
  return { pending: new PendingChunks(directory), writer: new PendingWriter(chunks, key, { sources, directory, ended }) };
}

interface WriterParts {
  readonly sources: CloneSources;
  readonly directory: string;
  readonly ended: () => void;
}

class PendingWriter extends StoringWriter implements ChunkWriter {
  constructor(
    chunks: LocalChunks,
    key: EncryptionKey | undefined,
    private readonly parts: WriterParts,
  ) {
    super(chunks, key);
  }

  /** What does not wait here is of a snapshot, which is kept. */
  override async reuseChunks(chunks: readonly ReusedChunk[]): Promise<readonly number[]> {
    const others = await super.reuseChunks(chunks);
    const missing: number[] = [];
    for (const position of others) {
      const digest = chunks[position]?.digest ?? Buffer.alloc(0);
      if (!(await this.parts.sources.keep(digest))) missing.push(position);
    }
    return missing;
  }

  async discard(): Promise<void> {
    await this.close();
    await rm(this.parts.directory, { recursive: true, force: true });
  }

  protected async end(): Promise<void> {
    this.parts.ended();
    this.parts.sources.release();
    await this.chunks.close();
  }
}
