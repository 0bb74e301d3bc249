/**
 * Glob patterns on bytes: `*`, `?`, `**`, `[...]` and `\`, case-sensitive. A pattern is compiled to the states of a machine which all
 * are followed at once, so that matching takes time in proportion to path times pattern, whatever the pattern is. Format: pxar, section 3.8
 */
import { FormatError } from '../errors.js';
import { parseByteSet } from './glob-set.js';

/** `branch`: an empty step to the next state or to `skip`; the others but `set` loop on what they take. */
type State =
  | { readonly kind: 'set'; readonly bytes: Uint8Array }
  | { readonly kind: 'run' }
  | { readonly kind: 'deepRun' }
  | { readonly kind: 'branch'; readonly skip: number };

const slash = 0x2f;
const star = 0x2a;
const question = 0x3f;
const backslash = 0x5c;
const bracket = 0x5b;

const notSlash = new Uint8Array(256).fill(1);
notSlash[slash] = 0;

export interface Glob {
  /** Whether the path, or a part of it that begins after a slash, is matched up to its end. */
  matchesTail(path: Buffer): boolean;
}

/** Throws BAD_STRUCTURE for a pattern that is none. */
export function parseGlob(text: Buffer): Glob {
  if (text.includes(0)) throw refusal('a zero byte');
  if (!/[*?[\\]/.test(text.toString('latin1'))) return { matchesTail: (path) => endsWithParts(path, text) };
  const suffix = text.subarray(1);
  const plainSuffix = text[0] === star && !/[*?[\\/]/.test(suffix.toString('latin1'));
  if (plainSuffix) return { matchesTail: (path) => endsWithBytes(path, suffix) && !path.subarray(path.length - suffix.length).includes(slash) };
  const states = compile(text);
  return { matchesTail: (path) => run(states, path) };
}

function compile(text: Buffer): State[] {
  const states: State[] = [];
  for (let at = 0; at < text.length; ) {
    const byte = text[at] ?? 0;
    if (byte === star) {
      at = addStars(states, text, at);
    } else if (byte === question) {
      states.push({ kind: 'set', bytes: notSlash });
      at += 1;
    } else if (byte === bracket) {
      const set = parseByteSet(text, at + 1);
      states.push({ kind: 'set', bytes: set.bytes });
      at = set.end;
    } else {
      const escaped = byte === backslash;
      if (escaped && at + 1 === text.length) throw refusal('a backslash at its end');
      states.push({ kind: 'set', bytes: only(escaped ? (text[at + 1] ?? 0) : byte) });
      at += escaped ? 2 : 1;
    }
  }
  return states;
}

/** Two or more stars that fill the place between slashes take slashes too, and with the slash after them may be nothing at all. */
function addStars(states: State[], text: Buffer, from: number): number {
  let end = from;
  while (text[end] === star) end += 1;
  const deep = end - from > 1 && (from === 0 || text[from - 1] === slash) && (end === text.length || text[end] === slash);
  if (deep && end < text.length) states.push({ kind: 'branch', skip: states.length + 3 });
  states.push({ kind: deep ? 'deepRun' : 'run' });
  return end;
}

function run(states: readonly State[], path: Buffer): boolean {
  let current = new Uint8Array(states.length + 1);
  let next = new Uint8Array(states.length + 1);
  enter(states, current, 0);
  for (let at = 0; at < path.length; at += 1) {
    const byte = path[at] ?? 0;
    step(states, current, next, byte);
    if (byte === slash) enter(states, next, 0);
    [current, next] = [next, current];
    next.fill(0);
  }
  return current[states.length] === 1;
}

function step(states: readonly State[], current: Uint8Array, next: Uint8Array, byte: number): void {
  for (let index = 0; index < states.length; index += 1) {
    if (current[index] === 0) continue;
    const state = states[index];
    if (state?.kind === 'set') {
      if (state.bytes[byte] === 1) enter(states, next, index + 1);
    } else if (state?.kind === 'deepRun' || (state?.kind === 'run' && byte !== slash)) {
      enter(states, next, index);
    }
  }
}

/** Marks a state and those that are reached from it by empty steps, which all lie further on. */
function enter(states: readonly State[], marks: Uint8Array, first: number): void {
  const open = [first];
  for (let index = open.pop(); index !== undefined; index = open.pop()) {
    if (marks[index] === 1) continue;
    marks[index] = 1;
    const state = states[index];
    if (state === undefined || state.kind === 'set') continue;
    if (state.kind === 'branch') open.push(state.skip);
    open.push(index + 1);
  }
}

function endsWithBytes(path: Buffer, end: Buffer): boolean {
  return path.length >= end.length && path.compare(end, 0, end.length, path.length - end.length) === 0;
}

function endsWithParts(path: Buffer, end: Buffer): boolean {
  return endsWithBytes(path, end) && (path.length === end.length || path[path.length - end.length - 1] === slash);
}

function only(byte: number): Uint8Array {
  const bytes = new Uint8Array(256);
  bytes[byte] = 1;
  return bytes;
}

function refusal(what: string): FormatError {
  return new FormatError('BAD_STRUCTURE', `a pattern cannot have ${what}`);
}
