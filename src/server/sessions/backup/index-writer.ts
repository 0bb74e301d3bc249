/** What index files that a client writes have in common. Format: protocol, sections 10.4 to 10.6. */
import { randomUUID } from 'node:crypto';
import { Refusal } from '../../refusal.js';

export interface CloseValues {
  /** Entries that the client appended. */
  readonly count: number;
  readonly size: number;
  readonly csum: Buffer;
}

export interface IndexWriter {
  readonly kind: 'fixed' | 'dynamic';
  readonly fileName: string;
  /** Of the content of a chunk that may be uploaded for it. 400. */
  checkUpload(length: number): void;
  noteUpload(length: number): void;
  /** One entry; `length` is that of the chunk's content. 400. */
  append(digest: Buffer, length: number, offset: number): void;
  /** The whole file. 400 if the client has other numbers; it may try again. */
  encode(values: CloseValues): Buffer;
  /** Gives its memory back. */
  release(): void;
}

export function newUuid(): Buffer {
  return Buffer.from(randomUUID().replaceAll('-', ''), 'hex');
}

/** In seconds. */
export function now(): number {
  return Math.floor(Date.now() / 1000);
}

/** `bytes`, an index file. Throws CsumMismatch. */
export function checkedCsum(bytes: Buffer, csum: Buffer): Buffer {
  const found = bytes.subarray(32, 64);
  if (!found.equals(csum)) throw new CsumMismatch(found, csum);
  return bytes;
}

/** The client has other entries than the server. No later close can succeed. */
export class CsumMismatch extends Refusal {
  constructor(found: Buffer, csum: Buffer) {
    super(400, `the index has checksum ${found.toString('hex')}, not ${csum.toString('hex')}`);
  }
}
