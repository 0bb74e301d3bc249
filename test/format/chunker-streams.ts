/** The streams of the chunker's test vectors (section 9.5), and cutting as a writer does it. */
import { createHash } from 'node:crypto';
import { HashChunker } from '../../src/format/chunker.js';
import type { ScanKernel } from '../../src/format/scan-kernel.js';

/** 16 MiB of SHA-256 sums. */
export function streamX(): Buffer {
  return sums('pbs-test-stream-v1', 16 * 1024 * 1024);
}

/** SHA-256 of the label followed by 0, 1, ... as u64, cut to a size. */
export function sums(label: string, bytes: number): Buffer {
  const stream = Buffer.alloc(Math.ceil(bytes / 32) * 32);
  const input = Buffer.concat([Buffer.from(label), Buffer.alloc(8)]);
  for (let index = 0; index * 32 < bytes; index++) {
    input.writeUInt32LE(index, label.length);
    stream.set(createHash('sha256').update(input).digest(), index * 32);
  }
  return stream.subarray(0, bytes);
}

/** Sizes of the chunks of `stream`, which is given in pieces. */
export function cutSizes(stream: Buffer, average: number, pieceBytes: number | (() => number) = stream.length, kernel?: ScanKernel): number[] {
  const chunker = new HashChunker(average, kernel);
  const sizes: number[] = [];
  let chunkStart = 0;
  for (let start = 0; start < stream.length;) {
    const piece = stream.subarray(start, start + (typeof pieceBytes === 'number' ? pieceBytes : pieceBytes()));
    for (let at = chunker.scan(piece); at !== undefined; at = chunker.scan(piece, at)) {
      sizes.push(start + at - chunkStart);
      chunkStart = start + at;
    }
    start += piece.length;
  }
  if (chunker.chunkBytes !== stream.length - chunkStart) throw new Error('the chunker lost count');
  return chunker.chunkBytes > 0 ? [...sizes, chunker.chunkBytes] : sizes;
}

/** SHA-256 of the ends of chunks as u64. */
export function endsDigest(sizes: readonly number[]): string {
  const hash = createHash('sha256');
  const bytes = Buffer.alloc(8);
  let end = 0;
  for (const size of sizes) {
    bytes.writeUInt32LE((end += size));
    hash.update(bytes);
  }
  return hash.digest('hex');
}
