/** Bytes at any place of an image as pieces of its chunks. */
import type { ChunkPiece, ImageChunks } from './image-chunks.js';
import { imageChunkBytes } from './image-record.js';

export function* piecesOf(offset: number, data: Uint8Array): Generator<ChunkPiece> {
  for (let at = 0; at < data.length; ) {
    const chunk = Math.floor((offset + at) / imageChunkBytes);
    const start = offset + at - chunk * imageChunkBytes;
    const bytes = data.subarray(at, at + imageChunkBytes - start);
    yield { chunk, start, bytes, keepSize: false };
    at += bytes.length;
  }
}

export async function writePieces(chunks: ImageChunks, offset: number, data: Uint8Array): Promise<void> {
  for (const piece of piecesOf(offset, data)) await chunks.write(piece);
}
