/**
 * One index of a new snapshot on a server, and its chunks. The writer is made when there is something to write; what the previous index of the same name
 * has need not be sent, and of an image only what differs is appended. Format: protocol, sections 10.3 to 10.6, 12.1; datastore, section 10.
 */
import type { ContentMemory } from '../../codec/content-memory.js';
import { FileError, FormatError, StoreError, messageOf } from '../../errors.js';
import type { ChunkIndex } from '../../format/chunk-index.js';
import { parseDynamicIndex } from '../../format/dynamic-index.js';
import { parseFixedIndex, type FixedIndex } from '../../format/fixed-index.js';
import type { IndexTarget, ReusedChunk, SessionStatistics, StoredChunk } from '../backup-session.js';
import type { ChunkUploads, SendChunk } from './chunk-uploads.js';
import { ServerRefusal } from './server-refusal.js';
import type { AppendedEntry, IndexKind, UploadedChunk, WriterConnection } from './writer-connection.js';

export interface IndexTargetParts {
  readonly connection: WriterConnection;
  readonly uploads: ChunkUploads;
  readonly kind: IndexKind;
  readonly fileName: string;
  /** Bytes of an image, if they are known. */
  readonly size: number | undefined;
  /** The previous index of that name, if its chunks may stand in this one; read once. */
  readonly previous: () => Promise<ChunkIndex | undefined>;
  /** Chunks that the session does not know, encoded, from elsewhere: undefined if they can't be had. */
  readonly fetch: (chunk: ReusedChunk) => Promise<Uint8Array | undefined>;
  /** All that is done for the session passes through it. */
  readonly run: <T>(work: () => Promise<T>) => Promise<T>;
}

interface Writer {
  readonly wid: number;
  /** What the index begins with on the server. */
  readonly base: FixedIndex | undefined;
}

/** Less than 64 KiB of JSON, which older servers take at most. */
const entriesPerAppendMax = 512;
const appendsAtOnceMax = 4;
const fetchesAtOnceMax = 8;

export class RemoteIndexTarget implements IndexTarget {
  readonly #parts: IndexTargetParts;
  readonly #send: SendChunk;
  #writer: Promise<Writer> | undefined;
  #previous: Promise<ChunkIndex | undefined> | undefined;

  constructor(parts: IndexTargetParts) {
    this.#parts = parts;
    this.#send = async (chunk) => {
      const { wid } = await this.#created();
      await parts.connection.putChunk(parts.kind, wid, chunk);
    };
  }

  get memory(): ContentMemory {
    return this.#parts.uploads.memory;
  }

  get statistics(): SessionStatistics {
    return this.#parts.uploads.statistics;
  }

  putChunk(content: Buffer): Promise<StoredChunk> {
    return this.#parts.run(async () => {
      await this.#created();
      return await this.#parts.uploads.put(content, this.#send);
    });
  }

  putZeros(length: number): Promise<StoredChunk> {
    return this.#parts.run(async () => {
      await this.#created();
      return await this.#parts.uploads.putZeros(length, this.#send);
    });
  }

  reuseChunks(chunks: readonly ReusedChunk[]): Promise<readonly number[]> {
    return this.#parts.run(async () => {
      await this.#prepared();
      return chunks.flatMap(({ digest }, i) => (this.#parts.uploads.has(digest) ? [] : [i]));
    });
  }

  writeIndex(bytes: Buffer): Promise<void> {
    return this.#parts.run(() => this.#write(this.#parts.kind === 'fixed' ? parseFixedIndex(bytes) : parseDynamicIndex(bytes)));
  }

  async #write(index: ChunkIndex): Promise<void> {
    const { connection, uploads, kind, size } = this.#parts;
    if (kind === 'fixed' && size !== undefined && index.size !== size) {
      throw new FileError('INVALID_ARGUMENT', `${this.#parts.fileName}: the image has ${index.size} bytes, not the ${size} that were announced`);
    }
    const { wid, base } = await this.#created(index.size);
    await this.#fetchUnknown(index);
    await uploads.settled();
    const entries = base === undefined ? undefined : changedEntries(index, base);
    const count = await this.#append(wid, index, entries);
    await connection.closeIndex(kind, wid, { count, size: index.size, csum: index.csum });
  }

  /** Gives the number of entries. A stream's come in order, those of an image in any. */
  async #append(wid: number, index: ChunkIndex, chunks: readonly number[] | undefined): Promise<number> {
    const { connection, kind } = this.#parts;
    const count = chunks?.length ?? index.count;
    const entryOf = (n: number): AppendedEntry => {
      const chunk = chunks?.[n] ?? n;
      return { digest: index.digestAt(chunk), offset: index.startOf(chunk) };
    };
    const batches = Math.ceil(count / entriesPerAppendMax);
    await inTurns(batches, kind === 'fixed' ? appendsAtOnceMax : 1, async (batch) => {
      const first = batch * entriesPerAppendMax;
      const length = Math.min(entriesPerAppendMax, count - first);
      await connection.append(kind, wid, Array.from({ length }, (_, i) => entryOf(first + i)));
    });
    return count;
  }

  /** Chunks that were written ahead, or are those of another snapshot. */
  async #fetchUnknown(index: ChunkIndex): Promise<void> {
    const { uploads, fileName } = this.#parts;
    const unknown = new Map<string, number>();
    for (let n = 0; n < index.count; n++) {
      const digest = index.digestAt(n);
      if (!uploads.has(digest)) unknown.set(digest.toString('hex'), n);
    }
    const chunks = [...unknown.values()];
    await inTurns(chunks.length, fetchesAtOnceMax, async (i) => {
      const n = chunks[i] ?? 0;
      const chunk: UploadedChunk = { ...contentAt(index, n), encoded: await this.#fetched(index, n) };
      await uploads.putEncoded(chunk, this.#send);
    }).catch((cause: unknown) => {
      throw cause instanceof StoreError ? new StoreError(cause.code, `${fileName}: ${messageOf(cause)}`, { cause }) : cause;
    });
  }

  async #fetched(index: ChunkIndex, n: number): Promise<Uint8Array> {
    const encoded = await this.#parts.fetch(contentAt(index, n));
    if (encoded !== undefined) return encoded;
    throw new StoreError('CHUNK_MISSING', `the chunk at byte ${index.startOf(n)} is in no snapshot that can be read: write these bytes again`);
  }

  #prepared(): Promise<ChunkIndex | undefined> {
    return (this.#previous ??= this.#parts.previous());
  }

  /** `size`: of the image, now that it is known. */
  #created(size = this.#parts.size): Promise<Writer> {
    return (this.#writer ??= this.#create(size));
  }

  async #create(size: number | undefined): Promise<Writer> {
    const { connection, kind, fileName } = this.#parts;
    const previous = await this.#prepared();
    if (kind === 'fixed' && previous?.kind === 'fixed' && previous.size === size) {
      const base = previous as FixedIndex;
      try {
        return { wid: await connection.createIndex(kind, fileName, { size, reuseCsum: base.computeCsum() }), base };
      } catch (error) {
        if (!(error instanceof ServerRefusal)) throw error;
      }
    }
    try {
      return { wid: await connection.createIndex(kind, fileName, { size }), base: undefined };
    } catch (error) {
      throw kind === 'fixed' && size === undefined && error instanceof ServerRefusal ? unknownSize(fileName, error) : error;
    }
  }
}

/** Servers before 4.1.5 have to know how long an image is before its first chunk. */
function unknownSize(fileName: string, cause: ServerRefusal): FileError {
  const text = `${fileName}: this server takes no image of unknown length (${cause.text}); write it to a file first, and back that up`;
  return new FileError('NOT_SUPPORTED', text, { cause });
}

/** Numbers of the chunks that are other ones than in `base`. */
function changedEntries(index: ChunkIndex, base: FixedIndex): number[] {
  if (base.size !== index.size) throw new FormatError('BAD_STRUCTURE', 'an image has the size of the one that its index begins with');
  const changed: number[] = [];
  for (let n = 0; n < index.count; n++) if (!index.digestAt(n).equals(base.digestAt(n))) changed.push(n);
  return changed;
}

function contentAt(index: ChunkIndex, n: number): ReusedChunk {
  return { digest: index.digestAt(n), length: index.endOf(n) - index.startOf(n) };
}

/** Does `work` for 0 to count - 1, begun in order, some at once; the first failure ends it when what runs is done. */
async function inTurns(count: number, atOnceMax: number, work: (n: number) => Promise<void>): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < count) {
      const n = next++;
      try {
        await work(n);
      } catch (error) {
        next = count;
        throw error;
      }
    }
  };
  const outcomes = await Promise.allSettled(Array.from({ length: Math.min(atOnceMax, count) }, worker));
  for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
}
