/** Random numbers that a seed repeats. The seed is in the name of every test that uses one, so that a failure tells it. */
import { createHash } from 'node:crypto';

export const seed = Number(process.env['PBSFS_TEST_SEED'] ?? Date.now() & 0x7fffffff);

export class Random {
  #state: number;

  constructor(from: number) {
    this.#state = from >>> 0 || 1;
  }

  /** 0 to `limit` - 1; of numbers beyond 2^32 only the upper bits are random. */
  below(limit: number): number {
    // xorshift32
    this.#state ^= this.#state << 13;
    this.#state ^= this.#state >>> 17;
    this.#state ^= this.#state << 5;
    return Math.floor(((this.#state >>> 0) / 2 ** 32) * limit);
  }

  pick<T>(values: readonly T[]): T {
    if (values.length === 0) throw new Error('nothing to pick from');
    return values[this.below(values.length)] as T;
  }
}

/** Bytes that do not compress, always the same ones for one label. */
export function noise(label: string, bytes: number): Buffer {
  return createHash('shake256', { outputLength: bytes }).update(label).digest();
}

/** Bytes that compress well, other ones for each label at every offset. */
export function text(label: string, bytes: number): Buffer {
  return Buffer.alloc(bytes, createHash('sha256').update(label).digest('hex') + label);
}
