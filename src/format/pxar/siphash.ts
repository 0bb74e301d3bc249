/**
 * SipHash-2-4 on 32-bit halves: two rounds per 8-byte word, four at the end.
 * Source: Aumasson and Bernstein, "SipHash: a fast short-input PRF".
 */
import type { U64 } from './u64.js';

export interface SipKey {
  readonly k0: U64;
  readonly k1: U64;
}

// v0..v3, each as low half then high half. One scratch area for all calls: hashing never waits for anything.
const state = new Int32Array(8);
const v0 = 0;
const v1 = 2;
const v2 = 4;
const v3 = 6;

export function sipHash24({ k0, k1 }: SipKey, message: Uint8Array): U64 {
  start(v0, k0, 0x736f6d65, 0x70736575);
  start(v1, k1, 0x646f7261, 0x6e646f6d);
  start(v2, k0, 0x6c796765, 0x6e657261);
  start(v3, k1, 0x74656462, 0x79746573);
  const wholeBytes = message.length - (message.length % 8);
  for (let at = 0; at < wholeBytes; at += 8) absorb(halfAt(message, at), halfAt(message, at + 4));
  absorb(halfAt(message, wholeBytes), halfAt(message, wholeBytes + 4) | (message.length << 24));
  state[v2] = word(v2) ^ 0xff;
  for (let count = 0; count < 4; count += 1) round();
  return {
    hi: (word(v0 + 1) ^ word(v1 + 1) ^ word(v2 + 1) ^ word(v3 + 1)) >>> 0,
    lo: (word(v0) ^ word(v1) ^ word(v2) ^ word(v3)) >>> 0,
  };
}

function start(v: number, key: U64, hi: number, lo: number): void {
  state[v] = key.lo ^ lo;
  state[v + 1] = key.hi ^ hi;
}

/** Four bytes, little-endian; those beyond the end are zero. */
function halfAt(message: Uint8Array, at: number): number {
  return (message[at] ?? 0) | ((message[at + 1] ?? 0) << 8) | ((message[at + 2] ?? 0) << 16) | ((message[at + 3] ?? 0) << 24);
}

function absorb(lo: number, hi: number): void {
  state[v3] = word(v3) ^ lo;
  state[v3 + 1] = word(v3 + 1) ^ hi;
  round();
  round();
  state[v0] = word(v0) ^ lo;
  state[v0 + 1] = word(v0 + 1) ^ hi;
}

function round(): void {
  addRotateXor(v0, v1, 13);
  swap(v0);
  addRotateXor(v2, v3, 16);
  addRotateXor(v0, v3, 21);
  addRotateXor(v2, v1, 17);
  swap(v2);
}

/** a += b; b = rotl(b, bits) ^ a, for 0 < bits < 32. */
function addRotateXor(a: number, b: number, bits: number): void {
  const bLo = word(b);
  const bHi = word(b + 1);
  const lo = (word(a) + bLo) | 0;
  const carry = lo >>> 0 < bLo >>> 0 ? 1 : 0;
  const hi = (word(a + 1) + bHi + carry) | 0;
  state[a] = lo;
  state[a + 1] = hi;
  state[b] = ((bLo << bits) | (bHi >>> (32 - bits))) ^ lo;
  state[b + 1] = ((bHi << bits) | (bLo >>> (32 - bits))) ^ hi;
}

/** rotl(v, 32) */
function swap(v: number): void {
  const lo = word(v);
  state[v] = word(v + 1);
  state[v + 1] = lo;
}

function word(index: number): number {
  return state[index] ?? 0;
}
