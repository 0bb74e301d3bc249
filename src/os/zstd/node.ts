/** zstd of node:zlib, there since Node 22.15. It returns buffers of its own, so that decoding costs a copy. */
import zlib from 'node:zlib';
import { badFrame, type Zstd } from './frame.js';

interface ZstdFunctions {
  zstdDecompressSync: (source: Uint8Array, options: { maxOutputLength: number; chunkSize: number; info: true }) => { buffer: Buffer; engine: { bytesWritten: number } };
  zstdCompressSync: (source: Uint8Array, options: { params: Record<number, number> }) => Buffer;
}

/** ZSTD_c_compressionLevel */
const compressionLevel = 100;
const chunkBytesMin = 1 << 10;

export function zstdOfNode(): Zstd | undefined {
  if (!('zstdDecompressSync' in zlib)) return undefined;
  const { zstdDecompressSync, zstdCompressSync } = zlib as unknown as ZstdFunctions;
  const decompressFrame = (source: Uint8Array, room: number): { content: Buffer; sourceBytes: number } | undefined => {
    const bytes = Math.max(room, chunkBytesMin);
    try {
      const { buffer, engine } = zstdDecompressSync(source, { maxOutputLength: bytes, chunkSize: bytes, info: true });
      return buffer.length <= room && engine.bytesWritten > 0 ? { content: buffer, sourceBytes: engine.bytesWritten } : undefined;
    } catch {
      return undefined;
    }
  };
  return {
    name: 'node:zlib',
    decompress(source, target) {
      let length = 0;
      // Before Node 26 a call decodes one frame, and tells how much of the source that was.
      for (let offset = 0; offset < source.length; ) {
        const frame = decompressFrame(source.subarray(offset), target.length - length);
        if (frame === undefined) throw badFrame(source, target);
        target.set(frame.content, length);
        length += frame.content.length;
        offset += frame.sourceBytes;
      }
      return length;
    },
    compress(source) {
      const frame = zstdCompressSync(source, { params: { [compressionLevel]: 1 } });
      return frame.length < source.length ? frame : undefined;
    },
  };
}
