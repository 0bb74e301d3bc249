/** An index of a stream that a client writes: chunks of any size, one after the other. Format: protocol, sections 10.5 and 10.6. */
import { chunkBytesMax } from '../../../format/blob.js';
import { encodeDynamicIndex } from '../../../format/dynamic-index.js';
import { Refusal } from '../../refusal.js';
import { DigestTable, type IndexMemory } from './index-memory.js';
import { checkedCsum, newUuid, now, type CloseValues, type IndexWriter } from './index-writer.js';

/** Their memory is taken for so many at once. */
const endsPerPage = 1024;
const endBytes = 8;

export class DynamicWriter implements IndexWriter {
  readonly kind = 'dynamic';
  readonly fileName: string;
  readonly #uuid = newUuid();
  readonly #ctime = now();
  readonly #memory: IndexMemory;
  readonly #digests: DigestTable;
  readonly #ends: number[] = [];
  #pages = 0;

  constructor(fileName: string, memory: IndexMemory) {
    this.fileName = fileName;
    this.#memory = memory;
    this.#digests = new DigestTable(memory);
  }

  checkUpload(length: number): void {
    if (length > chunkBytesMax) throw new Refusal(400, `a chunk has at most ${chunkBytesMax} bytes, not ${length}`);
  }

  noteUpload(length: number): void {
    this.checkUpload(length);
  }

  append(digest: Buffer, length: number, offset: number): void {
    const start = this.#ends.at(-1) ?? 0;
    if (offset !== start) throw new Refusal(400, `the next chunk begins at ${start}, not at ${offset}`);
    const count = this.#ends.length;
    if (count === this.#pages * endsPerPage) {
      this.#memory.take(endsPerPage * endBytes);
      this.#pages++;
    }
    this.#digests.set(count, digest);
    this.#ends.push(start + length);
  }

  encode({ count, size, csum }: CloseValues): Buffer {
    const appended = this.#ends.length;
    if (count !== appended) throw new Refusal(400, `${appended} chunks were appended, not ${count}`);
    const whole = this.#ends.at(-1) ?? 0;
    if (size !== whole) throw new Refusal(400, `the stream has ${whole} bytes, not ${size}`);
    const digests = this.#digests.concat(appended);
    return checkedCsum(encodeDynamicIndex({ uuid: this.#uuid, ctime: this.#ctime, ends: this.#ends, digests }), csum);
  }

  release(): void {
    this.#digests.release();
    this.#memory.give(this.#pages * endsPerPage * endBytes);
    this.#pages = 0;
    this.#ends.length = 0;
  }
}
