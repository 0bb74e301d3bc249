/**
 * What a client makes of its backup session: chunks that are known, indexes that are open, files that are whole. Format: protocol,
 * section 10. Requests run side by side; what they change is changed within one turn of the event loop, or in turns.
 */
import { crc32 } from 'node:zlib';
import { decodeBlob } from '../../../codec/blob-decoder.js';
import { encodeBlob } from '../../../codec/blob-encoder.js';
import { DigestMap } from '../../../codec/digest-map.js';
import { messageOf } from '../../../errors.js';
import { manifestFileName } from '../../../format/archive-name.js';
import { decodeBlobHeader, encodedChunkBytesMax } from '../../../format/blob.js';
import type { ChunkIndex } from '../../../format/chunk-index.js';
import { FixedIndex } from '../../../format/fixed-index.js';
import { encodeManifest, parseManifest, type ChunkUploadStats } from '../../../format/manifest.js';
import type { Zstd } from '../../../os/zstd/zstd.js';
import type { ReceivedBackup } from '../../../store/local/receive-backup.js';
import { Refusal } from '../../refusal.js';
import { DynamicWriter } from './dynamic-writer.js';
import { FixedWriter, fixedChunkBytes } from './fixed-writer.js';
import { IndexMemory } from './index-memory.js';
import { CsumMismatch, type CloseValues, type IndexWriter } from './index-writer.js';
import { Turn } from './turn.js';

/** Of images of 32 TiB in all. */
const knownChunksMax = 1 << 23;
const writersMax = 256;

type State = 'active' | 'finishing' | 'finished' | 'lost';

export interface UploadedChunk {
  readonly wid: number;
  readonly digest: Buffer;
  /** Bytes of content. */
  readonly length: number;
  /** In shared memory, or all of its memory, which is given away. */
  readonly encoded: Uint8Array;
}

export interface UploadOptions {
  readonly backup: ReceivedBackup;
  readonly zstd: Zstd;
  /** Nothing of it stays. */
  readonly isBenchmark: boolean;
  readonly log: (line: string) => void;
}

interface OpenWriter {
  readonly writer: IndexWriter;
  /** Its close has failed for good. */
  isLost: boolean;
}

export class Upload {
  readonly #options: UploadOptions;
  readonly #known = new DigestMap();
  readonly #memory = new IndexMemory();
  readonly #writers = new Map<number, OpenWriter>();
  readonly #stats = { count: 0, size: 0, compressedSize: 0, duplicates: 0 };
  /** Of writing indexes. */
  readonly #turn = new Turn();
  #lastWid = 0;
  #files = 0;
  #state: State = 'active';

  constructor(options: UploadOptions) {
    this.#options = options;
  }

  get isFinished(): boolean {
    return this.#state === 'finished';
  }

  get stats(): ChunkUploadStats {
    return { ...this.#stats };
  }

  /** 400 after finish, and while it runs. */
  checkActive(): void {
    if (this.#state !== 'active') throw new Refusal(400, `the backup is ${this.#state}: it takes nothing more`);
  }

  /** The chunk may be appended from now on. LIMIT_EXCEEDED. */
  addKnown(digest: Buffer, length: number): void {
    this.checkActive();
    if (this.#known.size >= knownChunksMax && this.#known.get(digest) === undefined) {
      throw new Refusal(400, `a backup knows at most ${knownChunksMax} different chunks`);
    }
    this.#known.set(digest, length);
  }

  openDynamic(fileName: string): number {
    return this.#open(new DynamicWriter(fileName, this.#memory));
  }

  openFixed(fileName: string, size: number | undefined): number {
    return this.#open(new FixedWriter(fileName, size, this.#memory));
  }

  /** Begins as a copy of `previous`, whose checksum the client has to know. */
  async openIncremental(fileName: string, size: number, csum: Buffer, previous: ChunkIndex): Promise<number> {
    this.checkActive();
    if (!(previous instanceof FixedIndex) || previous.chunkSize !== fixedChunkBytes) {
      throw new Refusal(400, `the chunks of the previous index ${fileName} have not ${fixedChunkBytes} bytes`);
    }
    if (!previous.computeCsum().equals(csum)) throw new Refusal(400, `the previous index ${fileName} has another checksum than reuse-csum`);
    const count = Math.ceil(size / fixedChunkBytes);
    if (count !== previous.count) throw new Refusal(400, `the previous index ${fileName} has ${previous.count} chunks, not ${count}`);
    const writer = new FixedWriter(fileName, size, this.#memory);
    try {
      await writer.copy(previous);
      return this.#open(writer);
    } catch (error) {
      writer.release();
      throw error;
    }
  }

  /** Gives whether the store had it. */
  async uploadChunk(kind: IndexWriter['kind'], { wid, digest, length, encoded }: UploadedChunk): Promise<boolean> {
    this.checkActive();
    const { writer } = this.#writer(kind, wid);
    writer.checkUpload(length);
    const { added, encodedBytes } = await this.#options.backup.insertChunk({ digest, length, encoded });
    writer.noteUpload(length);
    this.addKnown(digest, length);
    this.#stats.count++;
    this.#stats.size += length;
    this.#stats.compressedSize += encodedBytes;
    if (!added) this.#stats.duplicates++;
    return !added;
  }

  /** In their order: what comes before one that is refused stays. */
  append(kind: IndexWriter['kind'], wid: number, digests: readonly string[], offsets: readonly number[]): void {
    this.checkActive();
    if (digests.length !== offsets.length) throw new Refusal(400, `${digests.length} digests and ${offsets.length} offsets: there have to be as many of both`);
    const { writer, isLost } = this.#writer(kind, wid);
    if (isLost) throw alreadyClosed(wid);
    for (const [i, text] of digests.entries()) {
      const digest = Buffer.from(text, 'hex');
      const length = this.#known.get(digest);
      if (length === undefined) throw new Refusal(400, `chunk ${text} is not known: upload it, or fetch the previous index that has it`);
      writer.append(digest, length, offsets[i] ?? NaN);
    }
  }

  close(kind: IndexWriter['kind'], wid: number, values: CloseValues): Promise<void> {
    return this.#turn.run(async () => {
      this.checkActive();
      const open = this.#writer(kind, wid);
      if (open.isLost) throw alreadyClosed(wid);
      const bytes = encoded(open, values);
      open.isLost = true;
      await this.#options.backup.writeIndex(open.writer.fileName, bytes);
      this.#writers.delete(wid);
      open.writer.release();
      this.#files++;
      this.#options.log(`${open.writer.fileName}: ${values.count} chunks appended`);
    });
  }

  async writeBlob(fileName: string, bytes: Buffer): Promise<void> {
    this.checkActive();
    const header = decodeBlobHeader(bytes);
    if (crc32(bytes.subarray(header.payloadOffset)) !== header.crc) throw new Refusal(400, `the CRC of blob ${fileName} is wrong`);
    const length = bytes.length;
    await this.#options.backup.writeBlob(fileName, bytes);
    this.#files++;
    this.#stats.size += length;
    this.#options.log(`${fileName}: ${length} bytes`);
  }

  /** A refusal for open indexes or missing files changes nothing; after any other the backup is lost. */
  async finish(): Promise<void> {
    this.checkActive();
    if (this.#writers.size > 0) throw new Refusal(400, `${this.#writers.size} indexes are not closed`);
    if (this.#files === 0) throw new Refusal(400, 'the backup has no files');
    this.#state = 'finishing';
    try {
      await this.#publish(await this.#manifest());
      this.#state = 'finished';
    } catch (error) {
      this.#state = 'lost';
      throw error;
    }
  }

  async #publish(manifest: Buffer): Promise<void> {
    const { backup, isBenchmark } = this.#options;
    if (isBenchmark) await backup.abort();
    else await backup.finish(manifest);
  }

  /** The one that was uploaded, with what was counted. */
  async #manifest(): Promise<Buffer> {
    const { backup, zstd } = this.#options;
    try {
      const manifest = parseManifest(decodeBlob(await backup.readBlob(manifestFileName, encodedChunkBytesMax), zstd, undefined));
      return encodeBlob(encodeManifest({ ...manifest, unprotected: { ...manifest.unprotected, chunkUploadStats: this.stats } }), { zstd });
    } catch (cause) {
      throw new Refusal(400, `there is no manifest ${manifestFileName} that can be read: ${messageOf(cause)}`, { cause });
    }
  }

  #open(writer: IndexWriter): number {
    this.checkActive();
    if (this.#lastWid === writersMax) throw new Refusal(400, `a backup has at most ${writersMax} indexes`);
    const wid = ++this.#lastWid;
    this.#writers.set(wid, { writer, isLost: false });
    return wid;
  }

  #writer(kind: IndexWriter['kind'], wid: number): OpenWriter {
    const open = this.#writers.get(wid);
    if (open?.writer.kind !== kind) throw new Refusal(400, `there is no open ${kind} index ${wid}`);
    return open;
  }
}

/** After a wrong checksum, no close can succeed. */
function encoded(open: OpenWriter, values: CloseValues): Buffer {
  try {
    return open.writer.encode(values);
  } catch (error) {
    if (error instanceof CsumMismatch) open.isLost = true;
    throw error;
  }
}

function alreadyClosed(wid: number): Refusal {
  return new Refusal(400, `index ${wid} is closed already`);
}
