/** The `[...]` of a pattern: ranges, `\` escapes and named classes of ASCII; only `^` negates. Format: pxar, section 3.8 */
import { FormatError } from '../errors.js';

const backslash = 0x5c;
const openBracket = 0x5b;
const closeBracket = 0x5d;
const caret = 0x5e;
const dash = 0x2d;
const colon = 0x3a;

type Range = readonly [first: number, last: number];

const lower: Range = [0x61, 0x7a];
const upper: Range = [0x41, 0x5a];
const digit: Range = [0x30, 0x39];

const classes: ReadonlyMap<string, readonly Range[]> = new Map<string, readonly Range[]>([
  ['alnum', [lower, upper, digit]],
  ['alpha', [lower, upper]],
  ['blank', [[0x20, 0x20], [0x09, 0x09]]],
  ['cntrl', [[0x00, 0x1f], [0x7f, 0x7f]]],
  ['digit', [digit]],
  ['graph', [[0x21, 0x7e]]],
  ['lower', [lower]],
  ['print', [[0x20, 0x7f]]],
  ['punct', [[0x21, 0x2f], [0x3a, 0x40], [0x5b, 0x60], [0x7b, 0x7e]]],
  ['space', [[0x20, 0x20], [0x09, 0x0a], [0x0c, 0x0d]]],
  ['upper', [upper]],
  ['xdigit', [digit, [0x61, 0x66], [0x41, 0x46]]],
]);

export interface ByteSet {
  /** 256 flags */
  readonly bytes: Uint8Array;
  /** After the closing bracket. */
  readonly end: number;
}

/** `start`: after the opening bracket. Throws BAD_STRUCTURE for a set that has no end or an unknown class. */
export function parseByteSet(text: Buffer, start: number): ByteSet {
  const bytes = new Uint8Array(256);
  const negated = text[start] === caret;
  let at = negated ? start + 1 : start;
  while (text[at] !== closeBracket) {
    if (at >= text.length) throw refusal('no closing bracket');
    if (text[at] === openBracket && text[at + 1] === colon) {
      at = addClass(bytes, text, at + 2);
      continue;
    }
    const first = byteAt(text, at);
    const ranged = text[first.end] === dash && first.end + 1 < text.length && text[first.end + 1] !== closeBracket;
    const last = ranged ? byteAt(text, first.end + 1) : first;
    bytes.fill(1, Math.min(first.byte, last.byte), Math.max(first.byte, last.byte) + 1);
    at = last.end;
  }
  return { bytes: negated ? bytes.map((flag) => 1 - flag) : bytes, end: at + 1 };
}

function addClass(bytes: Uint8Array, text: Buffer, start: number): number {
  const end = text.indexOf(':]', start, 'latin1');
  const ranges = end === -1 ? undefined : classes.get(text.toString('latin1', start, end));
  if (ranges === undefined) throw refusal('an unknown class of characters in it');
  for (const [first, last] of ranges) bytes.fill(1, first, last + 1);
  return end + 2;
}

function byteAt(text: Buffer, at: number): { readonly byte: number; readonly end: number } {
  const escaped = text[at] === backslash;
  const byte = text[escaped ? at + 1 : at];
  if (byte === undefined) throw refusal('no closing bracket');
  return { byte, end: escaped ? at + 2 : at + 1 };
}

function refusal(what: string): FormatError {
  return new FormatError('BAD_STRUCTURE', `a [...] of a pattern has ${what}`);
}
