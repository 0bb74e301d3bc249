/** What a person gives as a file, or as `-` for standard input. */
import { createReadStream } from 'node:fs';
import { UsageError } from '../errors.js';

/** USAGE for more than `bytesMax` bytes. */
export async function readInput(path: string, bytesMax: number): Promise<Buffer> {
  const source = path === '-' ? process.stdin : createReadStream(path);
  const pieces: Buffer[] = [];
  let bytes = 0;
  for await (const piece of source as AsyncIterable<Buffer>) {
    bytes += piece.length;
    if (bytes > bytesMax) throw new UsageError(`${path === '-' ? 'standard input' : path} is longer than ${bytesMax} bytes`);
    pieces.push(piece);
  }
  return Buffer.concat(pieces);
}
