/** Damaged versions of real bytes, and the promise that they lead to nothing but an error of ours. */
import { expect } from 'vitest';
import { PbsfsError } from '../../src/errors.js';
import type { Random } from './random.js';

export interface Damage {
  readonly what: string;
  readonly bytes: Buffer;
}

/** Every kind of damage `rounds` times, beginning in the first `within` bytes. */
export function* damages(original: Buffer, rounds: number, random: Random, within = original.length): Generator<Damage> {
  for (let round = 0; round < rounds; round++) {
    const at = random.below(within);
    const end = at + 1 + random.below(original.length - at);
    const flipped = Buffer.from(original);
    flipped[at] = (original[at] ?? 0) ^ (1 << random.below(8));
    yield { what: `a bit flipped at ${at}`, bytes: flipped };
    yield { what: `cut at ${at}`, bytes: Buffer.from(original.subarray(0, at)) };
    yield { what: `ff from ${at} on`, bytes: Buffer.from(original).fill(0xff, at, Math.min(at + 8, original.length)) };
    yield { what: `without ${at}..${end}`, bytes: Buffer.concat([original.subarray(0, at), original.subarray(end)]) };
    yield { what: `${at}..${end} twice`, bytes: Buffer.concat([original.subarray(0, end), original.subarray(at)]) };
  }
}

/** What `run` gives, or the code of the PbsfsError that it throws; anything else thrown fails the test. */
export function resultOrCode<T>(what: string, run: () => T): { value: T } | { code: string } {
  try {
    return { value: run() };
  } catch (error) {
    if (!(error instanceof PbsfsError)) throw new Error(`${what}: ${String(error)}`, { cause: error });
    expect(error.message, what).not.toBe('');
    return { code: error.code };
  }
}
