/** All entries of a directory at one moment, packed: a name of n bytes takes about n + 24 bytes. Format: getdents64(2). */
import { check, systemCalls } from './system-calls.js';

export interface ListedName {
  readonly name: Buffer;
  /** As the directory has it: that of what is mounted there, if anything is, differs. */
  readonly ino: bigint;
  /** Type bits of the mode (S_IFMT); 0 where the file system does not tell. */
  readonly type: number;
}

const readBytes = 0x1_0000;
const memory = Buffer.alloc(readBytes);
const lengthAt = 16;
const typeAt = 18;
const nameAt = 19;
const dot = 0x2e;

export class DirectoryListing {
  readonly #blocks: readonly Buffer[];
  /** Where each entry is: which block, and where in it. */
  readonly #places: Uint32Array;

  /** Without `.` and `..`, in the order of the file system. The descriptor is opened for reading. */
  constructor(directoryFd: number) {
    const blocks: Buffer[] = [];
    const places: number[] = [];
    const calls = systemCalls();
    check(calls.lseek(directoryFd, 0, 0), 'lseek');
    for (;;) {
      const length = check(calls.getdents64(directoryFd, memory, readBytes), 'getdents64');
      if (length === 0) break;
      for (let at = 0; at < length; at += memory.readUInt16LE(at + lengthAt)) {
        if (!isDots(at + nameAt)) places.push(blocks.length * readBytes + at);
      }
      blocks.push(Buffer.from(memory.subarray(0, length)));
    }
    this.#blocks = blocks;
    this.#places = Uint32Array.from(places);
  }

  get length(): number {
    return this.#places.length;
  }

  at(index: number): ListedName | undefined {
    const place = this.#places[index];
    if (place === undefined) return undefined;
    const block = this.#blocks[Math.floor(place / readBytes)];
    if (block === undefined) return undefined;
    const at = place % readBytes;
    const name = Buffer.from(block.subarray(at + nameAt, block.indexOf(0, at + nameAt)));
    return { name, ino: block.readBigUInt64LE(at), type: (block[at + typeAt] ?? 0) << 12 };
  }
}

function isDots(at: number): boolean {
  return memory[at] === dot && (memory[at + 1] === 0 || (memory[at + 1] === dot && memory[at + 2] === 0));
}
