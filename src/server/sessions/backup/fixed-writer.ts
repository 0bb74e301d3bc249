/** An index of an image that a client writes: chunks of 4 MiB in any order. Format: protocol, sections 10.3 to 10.6 and 16 (4.1.5). */
import { digestBytes, indexBytesMax, indexHeaderBytes, type ChunkIndex } from '../../../format/chunk-index.js';
import { encodeFixedIndex } from '../../../format/fixed-index.js';
import { Refusal } from '../../refusal.js';
import { eachEntry } from '../snapshot-file.js';
import { DigestTable, hasUnset, type IndexMemory } from './index-memory.js';
import { checkedCsum, newUuid, now, type CloseValues, type IndexWriter } from './index-writer.js';

export const fixedChunkBytes = 4 * 1024 * 1024;
export const imageBytesMax = ((indexBytesMax - indexHeaderBytes) / digestBytes) * fixedChunkBytes;

export class FixedWriter implements IndexWriter {
  readonly kind = 'fixed';
  readonly fileName: string;
  readonly #uuid = newUuid();
  readonly #ctime = now();
  readonly #digests: DigestTable;
  /** Of the image; undefined as long as it may grow. */
  #size: number | undefined;
  #grown = 0;
  #appended = 0;
  #smallUploads = 0;
  #isIncremental = false;

  constructor(fileName: string, size: number | undefined, memory: IndexMemory) {
    this.fileName = fileName;
    this.#size = size;
    this.#digests = new DigestTable(memory);
  }

  /** Begins as a copy of `index`, which has as many chunks. */
  async copy(index: ChunkIndex): Promise<void> {
    this.#isIncremental = true;
    let position = 0;
    await eachEntry(index, (digest) => {
      this.#digests.set(position++, digest);
    });
  }

  checkUpload(length: number): void {
    if (length > fixedChunkBytes) throw new Refusal(400, `a chunk of an image has at most ${fixedChunkBytes} bytes, not ${length}`);
    if (length < fixedChunkBytes && this.#smallUploads > 0) {
      throw new Refusal(400, `only one chunk of an image may be shorter than ${fixedChunkBytes} bytes, and one was sent before`);
    }
  }

  noteUpload(length: number): void {
    this.checkUpload(length);
    if (length < fixedChunkBytes) this.#smallUploads++;
  }

  append(digest: Buffer, length: number, offset: number): void {
    const end = offset + length;
    if (!(offset >= 0 && offset % fixedChunkBytes === 0)) throw new Refusal(400, `offset ${offset} is no multiple of ${fixedChunkBytes}`);
    if (length > fixedChunkBytes) throw new Refusal(400, `a chunk of ${length} bytes can't be part of an image`);
    if (this.#size === undefined) this.#checkGrowing(length, end);
    else checkKnown(length, end, this.#size);
    this.#digests.set(offset / fixedChunkBytes, digest);
    if (this.#size === undefined && length < fixedChunkBytes) this.#size = end;
    this.#grown = Math.max(this.#grown, end);
    this.#appended++;
  }

  encode({ count, size, csum }: CloseValues): Buffer {
    if (count !== this.#appended) throw new Refusal(400, `${this.#appended} chunks were appended, not ${count}`);
    const whole = this.#size ?? this.#grown;
    if (!this.#isIncremental) this.#checkWhole(whole, size);
    const chunks = Math.ceil(whole / fixedChunkBytes);
    const digests = this.#digests.concat(chunks);
    if (hasUnset(digests)) throw new Refusal(400, 'parts of the image have no chunk');
    const bytes = encodeFixedIndex({ uuid: this.#uuid, ctime: this.#ctime, size: whole, chunkSize: fixedChunkBytes, digests });
    return checkedCsum(bytes, csum);
  }

  release(): void {
    this.#digests.release();
  }

  #checkGrowing(length: number, end: number): void {
    if (end > imageBytesMax) throw new Refusal(400, `an image has at most ${imageBytesMax} bytes`);
    if (length < fixedChunkBytes && end < this.#grown) throw new Refusal(400, 'only the last chunk of an image may be short');
  }

  #checkWhole(whole: number, size: number): void {
    if (whole === 0) throw new Refusal(400, 'an image has at least one chunk');
    if (size !== whole) throw new Refusal(400, `the image has ${whole} bytes, not ${size}`);
    const chunks = Math.ceil(whole / fixedChunkBytes);
    if (chunks !== this.#appended) throw new Refusal(400, `${this.#appended} chunks were appended, the image has ${chunks}`);
  }
}

function checkKnown(length: number, end: number, size: number): void {
  if (end > size) throw new Refusal(400, `the chunk ends at ${end}, after the image's ${size} bytes`);
  if (length < fixedChunkBytes && end !== size) throw new Refusal(400, `a chunk of ${length} bytes is not the last one of the image`);
}
