/**
 * Patterns that say which files of a tree are meant, and lists of them in which the last one that matches decides. Paths are absolute within
 * the tree (`/a/b`); a pattern without a leading slash matches from the start of any component on. Format: pxar, section 3.8
 */
import { fileTypeMask, fileTypes } from './pxar/entry.js';
import { parseGlob, type Glob } from './glob.js';

export type MatchType = 'include' | 'exclude';

export interface MatchPattern {
  readonly type: MatchType;
  /** Without a `!` in front and without slashes at the end. */
  readonly text: Buffer;
  readonly directoryOnly: boolean;
  readonly glob: Glob;
}

const slash = 0x2f;
const bang = 0x21;

/** A leading `!` inverts the type, slashes at the end ask for a directory. Throws BAD_STRUCTURE. */
export function parsePattern(text: Buffer, type: MatchType): MatchPattern {
  const inverted = text[0] === bang;
  const body = inverted ? text.subarray(1) : text;
  let end = body.length;
  while (end > 0 && body[end - 1] === slash) end -= 1;
  const stripped = end === 0 ? Buffer.from('/') : Buffer.from(body.subarray(0, end));
  return {
    type: inverted === (type === 'include') ? 'exclude' : 'include',
    text: stripped,
    directoryOnly: end < body.length || end === 0,
    glob: parseGlob(stripped),
  };
}

/** The line that stands for a pattern in an archive, with its LF. */
export function patternLine({ type, text, directoryOnly }: MatchPattern): Buffer {
  return Buffer.concat([Buffer.from(type === 'include' ? '!' : ''), text, Buffer.from(directoryOnly ? '/\n' : '\n')]);
}

/** The mode or file type of what is matched, or how to get it: asked for at most once, and only if a pattern depends on it. */
export type ModeSource = number | (() => number);

export class MatchList {
  readonly #patterns: MatchPattern[];

  constructor(patterns: readonly MatchPattern[] = []) {
    this.#patterns = [...patterns];
  }

  get length(): number {
    return this.#patterns.length;
  }

  get patterns(): readonly MatchPattern[] {
    return this.#patterns;
  }

  push(pattern: MatchPattern): void {
    this.#patterns.push(pattern);
  }

  truncate(length: number): void {
    this.#patterns.length = Math.min(length, this.#patterns.length);
  }

  /** The type of the last pattern that matches. */
  matches(path: Buffer, mode: ModeSource): MatchType | undefined {
    let isDirectory: boolean | undefined;
    for (let index = this.#patterns.length - 1; index >= 0; index -= 1) {
      const pattern = this.#patterns[index];
      if (!pattern?.glob.matchesTail(path)) continue;
      if (pattern.directoryOnly) {
        isDirectory ??= ((typeof mode === 'function' ? mode() : mode) & fileTypeMask) === fileTypes.directory;
        if (!isDirectory) continue;
      }
      return pattern.type;
    }
    return undefined;
  }
}
