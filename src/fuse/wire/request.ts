/**
 * One request as the kernel wrote it. Protocol: linux/fuse.h. The object and its buffer are used again for the
 * next request: it is valid only during the call it was given to. Offsets of fields count from the end of the 40-byte header.
 */
import { getInt64, getUint64 } from './integers.js';

export const requestHeaderBytes = 40;

export class Request {
  readonly #buffer: Buffer;
  readonly #view: DataView;
  length = 0;
  opcode = 0;
  uniqueLow = 0;
  uniqueHigh = 0;
  node = 0;
  /** The caller as the file system sees it; 0 if the kernel itself is. */
  uid = 0;
  gid = 0;
  /** Who waits, as this process may know it; 0 if nobody or nobody known. */
  thread = 0;

  constructor(buffer: Buffer) {
    this.#buffer = buffer;
    this.#view = new DataView(buffer.buffer, buffer.byteOffset, buffer.byteLength);
  }

  /** Takes the first `length` bytes of the buffer; false if they are no whole request. */
  parse(length: number): boolean {
    if (length < requestHeaderBytes || this.#view.getUint32(0, true) !== length) return false;
    this.length = length;
    this.opcode = this.#view.getUint32(4, true);
    this.uniqueLow = this.#view.getUint32(8, true);
    this.uniqueHigh = this.#view.getUint32(12, true);
    this.node = getUint64(this.#view, 16);
    this.uid = this.#view.getUint32(24, true);
    this.gid = this.#view.getUint32(28, true);
    this.thread = this.#view.getUint32(32, true);
    return true;
  }

  get payloadBytes(): number {
    return this.length - requestHeaderBytes;
  }

  uint32(at: number): number {
    return this.#view.getUint32(requestHeaderBytes + at, true);
  }

  uint64(at: number): number {
    return getUint64(this.#view, requestHeaderBytes + at);
  }

  int64(at: number): number {
    return getInt64(this.#view, requestHeaderBytes + at);
  }

  /** A file offset; what lies beyond 2^53 - 1 lies beyond the end of every file. */
  offset(at: number): number {
    return Math.min(this.uint64(at), Number.MAX_SAFE_INTEGER);
  }

  /** A copy of the name that starts at `at`, without its NUL; undefined if there is none. */
  name(at: number): Buffer | undefined {
    const start = requestHeaderBytes + at;
    const end = this.#buffer.indexOf(0, start);
    return end > start && end < this.length ? Buffer.from(this.#buffer.subarray(start, end)) : undefined;
  }

  /** The bytes [at, at + length) themselves, which are valid during the call only; undefined if there are fewer. */
  bytes(at: number, length: number): Buffer | undefined {
    const start = requestHeaderBytes + at;
    return start + length <= this.length ? this.#buffer.subarray(start, start + length) : undefined;
  }
}
