/** zstd of node:zlib, there since Node 22.15. It returns buffers of its own, so that decoding costs a copy. */
import zlib from 'node:zlib';
import { badFrame, type Zstd } from './frame.js';

interface ZstdFunctions {
  zstdDecompressSync: (source: Uint8Array, options: { maxOutputLength: number; chunkSize: number }) => Buffer;
  zstdCompressSync: (source: Uint8Array, options: { params: Record<number, number> }) => Buffer;
}

/** ZSTD_c_compressionLevel */
const compressionLevel = 100;
const chunkBytesMin = 1 << 10;

export function zstdOfNode(): Zstd | undefined {
  if (!('zstdDecompressSync' in zlib)) return undefined;
  const { zstdDecompressSync, zstdCompressSync } = zlib as unknown as ZstdFunctions;
  return {
    name: 'node:zlib',
    decompress(source, target) {
      const room = Math.max(target.length, chunkBytesMin);
      let content;
      try {
        content = zstdDecompressSync(source, { maxOutputLength: room, chunkSize: room });
      } catch (error) {
        throw badFrame(source, target, error);
      }
      if (content.length > target.length) throw badFrame(source, target);
      target.set(content);
      return content.length;
    },
    compress(source) {
      const frame = zstdCompressSync(source, { params: { [compressionLevel]: 1 } });
      return frame.length < source.length ? frame : undefined;
    },
  };
}
