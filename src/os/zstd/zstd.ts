/**
 * zstd by the fastest way there is: libzstd through koffi, Node's own (22.15 and later), a WebAssembly build.
 * docs/performance.md has them side by side. Each way is tried on a frame whose content is known before it is taken.
 */
import { messageOf } from '../../errors.js';
import type { Zstd } from './frame.js';

export type { Zstd } from './frame.js';

export type ZstdWay = 'library' | 'node' | 'wasm';

/** In order of speed; undefined where the machine lacks what the way needs. */
const ways: Record<ZstdWay, () => Promise<Zstd | undefined>> = {
  library: async () => (await import('./library.js')).zstdOfLibrary(),
  node: async () => (await import('./node.js')).zstdOfNode(),
  wasm: async () => (await import('./wasm.js')).zstdOfWasm(),
};

/** A frame without content size that holds 16 times `0123456789abcdef`. */
const knownFrame = Buffer.from('28b52ffd0048bd000080303132333435363738396162636465660100da43cd25', 'hex');
const knownContent = Buffer.from('0123456789abcdef'.repeat(16));

function works(zstd: Zstd): boolean {
  const target = Buffer.from(new SharedArrayBuffer(knownContent.length));
  return zstd.decompress(knownFrame, target) === knownContent.length && target.equals(knownContent);
}

/** The first way that works, of all or of the named ones. */
export async function loadZstd(names: readonly ZstdWay[] = ['library', 'node', 'wasm']): Promise<Zstd> {
  const refusals: string[] = [];
  for (const name of names) {
    try {
      const zstd = await ways[name]();
      if (zstd !== undefined && works(zstd)) return zstd;
      refusals.push(`${name}: not available`);
    } catch (error) {
      refusals.push(`${name}: ${messageOf(error)}`);
    }
  }
  throw new Error(`no way to decompress zstd works here (${refusals.join('; ')})`);
}

/** Decodes data of unknown length, offering more room until it fits; BAD_STRUCTURE if it is damaged or longer than `bytesMax`. */
export function decompressAtMost(zstd: Zstd, source: Uint8Array, bytesMax: number): Buffer {
  for (let room = Math.min(1 << 16, bytesMax); ; room = Math.min(room * 16, bytesMax)) {
    const target = Buffer.alloc(room);
    try {
      return target.subarray(0, zstd.decompress(source, target));
    } catch (error) {
      if (room === bytesMax) throw error;
    }
  }
}
