/**
 * JSON as the formats use it: read with limits, written with the keys of every object in byte order (which
 * JSON.stringify can't do, since objects put keys like '10' first). Format: datastore, sections 5.1 and 5.3.
 */
import { FormatError } from '../errors.js';
import { decodeText } from './text.js';

export type JsonValue = null | boolean | number | string | readonly JsonValue[] | JsonObject;
export interface JsonObject {
  readonly [key: string]: JsonValue;
}

const jsonDepthMax = 32;

/** `what` begins the message, `bytesMax` bounds the text. Throws LIMIT_EXCEEDED or BAD_STRUCTURE. */
export function parseJson(json: Uint8Array | string, what: string, bytesMax: number): unknown {
  const text = decodeText(typeof json === 'string' ? Buffer.from(json) : json, what, bytesMax);
  checkDepth(text, what);
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new FormatError('BAD_STRUCTURE', `${what} is not JSON`, { cause });
  }
}

/** No spaces at all, or `indent` spaces a level; without a newline at the end. */
export function writeJson(value: JsonValue, indent = 0): string {
  return writeValue(value, indent === 0 ? '' : '\n', ' '.repeat(indent));
}

/** Whether all of its texts have a UTF-8: half a surrogate pair has none, and strict parsers refuse the escape that stands for it. */
export function isWellFormed(value: JsonValue): boolean {
  if (typeof value === 'string') return value.isWellFormed();
  if (value === null || typeof value !== 'object') return true;
  return Object.entries(value).every(([key, member]: [string, JsonValue]) => key.isWellFormed() && isWellFormed(member));
}

/** Before anything is built: a value of a million levels costs much more memory than its text. */
function checkDepth(text: string, what: string): void {
  let depth = 0;
  let quoted = false;
  for (let i = 0; i < text.length; i++) {
    const character = text[i];
    if (character === '"') quoted = !quoted;
    else if (character === '\\') i++;
    else if (!quoted && (character === '[' || character === '{')) depth++;
    else if (!quoted && (character === ']' || character === '}')) depth--;
    if (depth > jsonDepthMax) throw new FormatError('LIMIT_EXCEEDED', `${what} is nested deeper than ${jsonDepthMax} levels`);
  }
}

/** `newline`: what separates the members of this level's parent; empty for the compact form. */
function writeValue(value: JsonValue, newline: string, indent: string): string {
  if (value === null || typeof value !== 'object') return JSON.stringify(value);
  const inner = newline === '' ? '' : newline + indent;
  if (Array.isArray(value)) {
    if (value.length === 0) return '[]';
    return `[${inner}${value.map((item: JsonValue) => writeValue(item, inner, indent)).join(`,${inner}`)}${newline}]`;
  }
  const members = Object.entries(value as JsonObject).sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  if (members.length === 0) return '{}';
  const colon = newline === '' ? ':' : ': ';
  const texts = members.map(([key, member]) => `${JSON.stringify(key)}${colon}${writeValue(member, inner, indent)}`);
  return `{${inner}${texts.join(`,${inner}`)}${newline}}`;
}
