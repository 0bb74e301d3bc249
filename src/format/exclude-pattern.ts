/** Patterns as users write them: lines of `.pxarexclude` files and values of `--exclude`. Format: pxar, section 3.8 */
import { parsePattern, type MatchPattern } from './match-pattern.js';

export interface WrittenPattern {
  readonly pattern: MatchPattern;
  /** What the user may not have meant, without a full stop. */
  readonly warnings: readonly string[];
}

const slash = 0x2f;
const bang = 0x21;
const hash = 0x23;
const slashBytes = Buffer.from('/');
const blanks = new Set([0x20, 0x09, 0x0a, 0x0c, 0x0d]);

/**
 * One line of the `.pxarexclude` in `directory` (relative to the root, empty for the root itself); undefined for a blank line or a comment.
 * Throws BAD_STRUCTURE.
 */
export function excludeLine(line: Buffer, directory: Buffer): WrittenPattern | undefined {
  const text = trimmed(line);
  if (text.length === 0 || text[0] === hash) return undefined;
  const type = text[0] === bang ? 'include' : 'exclude';
  const written = type === 'include' ? text.subarray(1) : text;
  const normal = normalized(written);
  const anchored = normal[0] === slash && directory.length > 0;
  const pattern = parsePattern(anchored ? Buffer.concat([slashBytes, directory, normal]) : normal, type);
  return { pattern, warnings: warningsFor(written, normal) };
}

/** A value of `--exclude`; a leading `!` makes it an include. Throws BAD_STRUCTURE. */
export function excludeOption(value: Buffer): WrittenPattern {
  const normal = normalized(value);
  return { pattern: parsePattern(normal, 'exclude'), warnings: warningsFor(value, normal) };
}

function warningsFor(written: Buffer, normal: Buffer): string[] {
  const warnings: string[] = [];
  if (!written.equals(normal)) warnings.push(`was read as '${normal.toString()}'`);
  if (/(^|[^\\])\[!/.test(normal.toString('latin1'))) warnings.push("has '[!', where '!' is an ordinary character: only '[^' negates");
  return warnings;
}

/** Without `.` segments, doubled slashes and `x/..`; a `!` in front and a slash at the end stay. */
function normalized(text: Buffer): Buffer {
  const bangs = text[0] === bang ? 1 : 0;
  const body = text.subarray(bangs);
  const absolute = body[0] === slash;
  const kept: string[] = [];
  const segments = body.toString('latin1').split('/');
  for (const segment of segments) {
    if (segment === '' || segment === '.') continue;
    const collapses = segment === '..' && (absolute || (kept.length > 0 && kept.at(-1) !== '..'));
    if (collapses) kept.pop();
    else kept.push(segment);
  }
  const ended = segments.length > 1 && segments.at(-1) === '' && kept.length > 0;
  const path = `${absolute ? '/' : ''}${kept.join('/')}${ended ? '/' : ''}`;
  return Buffer.concat([text.subarray(0, bangs), Buffer.from(path, 'latin1')]);
}

function trimmed(line: Buffer): Buffer {
  let start = 0;
  let end = line.length;
  while (start < end && blanks.has(line[start] ?? 0)) start += 1;
  while (end > start && blanks.has(line[end - 1] ?? 0)) end -= 1;
  return line.subarray(start, end);
}
