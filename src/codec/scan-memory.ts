/**
 * Shared memory in which WebAssembly looks for the ends of chunks (chunk-scan.wat), so that nothing is copied for it. Where there is no WebAssembly,
 * or no address space for it, the loop in JavaScript does the same, more slowly.
 */
import { readFileSync } from 'node:fs';
import { chunkerTable } from '../format/chunker-table.js';
import { javaScriptKernel, scanWindowBytes, type ScanKernel } from '../format/scan-kernel.js';
import { webAssembly, type SharedMemory } from './web-assembly.js';

export interface ScanMemory {
  /** At least as long as asked for. */
  readonly buffer: SharedArrayBuffer;
  readonly kernel: ScanKernel;
}

const pageBytes = 1 << 16;
/** Most bytes beside the table: addresses have 32 bits. */
export const scanBytesMax = 2 ** 32 - pageBytes;

interface ScanExports {
  readonly hash: { value: number };
  /** Addresses; the end of a chunk, or 0. */
  readonly roll: (at: number, last: number, mask: number, words: number) => number;
}

/** `bytes`: whole pages of 64 KiB. */
export function newScanMemory(bytes: number): ScanMemory {
  const memory = newMemory(bytes / pageBytes + 1);
  if (memory === undefined) return { buffer: new SharedArrayBuffer(bytes), kernel: javaScriptKernel() };
  new Int32Array(memory.buffer, bytes, chunkerTable.length).set(chunkerTable);
  return { buffer: memory.buffer, kernel: kernelOn(memory, bytes) };
}

function newMemory(pages: number): SharedMemory | undefined {
  try {
    return webAssembly && new webAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  } catch {
    return undefined;
  }
}

/** `words`: the address of the table. */
function kernelOn(memory: SharedMemory, words: number): ScanKernel {
  const { hash, roll } = loadScan(memory);
  const elsewhere = javaScriptKernel();
  return {
    hash: 0,
    roll(piece, at, last, mask) {
      if (piece.buffer !== memory.buffer) {
        elsewhere.hash = this.hash;
        const end = elsewhere.roll(piece, at, last, mask);
        this.hash = elsewhere.hash;
        return end;
      }
      if (!(at >= scanWindowBytes && at <= last && last <= piece.length)) throw new RangeError(`bytes ${at} to ${last} of ${piece.length} can't be scanned`);
      hash.value = this.hash;
      const start = piece.byteOffset;
      const end = roll(start + at, start + last, mask, words) >>> 0;
      this.hash = hash.value;
      return end === 0 ? -1 : end - start;
    },
  };
}

function loadScan(memory: SharedMemory): ScanExports {
  if (webAssembly === undefined) throw new Error('there is no WebAssembly');
  const module = new webAssembly.Module(readFileSync(new URL('./chunk-scan.wasm', import.meta.url)));
  return new webAssembly.Instance(module, { content: { memory } }).exports as ScanExports;
}
