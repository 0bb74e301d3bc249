/** The patterns in force: those of the command line, and above them those of the `.pxarexclude` files on the way. Format: pxar, sections 3.1, 3.8 */
import { closeSync, readFileSync } from 'node:fs';
import { FormatError, UsageError, codeOf, messageOf } from '../errors.js';
import { excludeLine, excludeOption } from '../format/exclude-pattern.js';
import { MatchList, parsePattern, patternLine, type ModeSource } from '../format/match-pattern.js';
import { fileTypeMask, fileTypes } from '../format/pxar/entry.js';
import { nameText, printableName } from '../vfs/name.js';
import type { WalkOptions } from './backup-request.js';
import { openEntry } from './open-entry.js';
import { shownPath } from './source-errors.js';
import { statAt } from '../os/file-stat.js';

export const excludeFileName = Buffer.from('.pxarexclude');

const excludeFileBytesMax = 1 << 20;
const patternsMax = 100_000;
const lf = 0x0a;

export class ExcludeStack {
  readonly #list = new MatchList();
  readonly #warn: (line: string) => void;
  /** What an archive records: the patterns of the command line, a line each; empty if there are none. */
  readonly recorded: Buffer;

  /** Throws USAGE for a bad pattern. */
  constructor({ excludes, skipLostAndFound }: Pick<WalkOptions, 'excludes' | 'skipLostAndFound'>, warn: (line: string) => void) {
    this.#warn = warn;
    for (const value of excludes) this.#pushOption(value);
    if (skipLostAndFound) this.#list.push(parsePattern(Buffer.from('lost+found'), 'exclude'));
    this.recorded = Buffer.concat(this.#list.patterns.map(patternLine));
  }

  get length(): number {
    return this.#list.length;
  }

  truncate(length: number): void {
    this.#list.truncate(length);
  }

  excludes(path: Buffer, mode: ModeSource): boolean {
    return this.#list.matches(path, mode) === 'exclude';
  }

  /** Adds what the `.pxarexclude` of an open directory says; what is wrong with it is warned of and ignored. */
  pushFile(directoryFd: number, directory: Buffer): void {
    const path = Buffer.concat([directory, Buffer.from('/'), excludeFileName]);
    const content = this.#readFile(directoryFd, path);
    if (content === undefined) return;
    for (let start = 0; start < content.length; ) {
      const lineEnd = content.indexOf(lf, start);
      const end = lineEnd === -1 ? content.length : lineEnd;
      this.#pushLine(content.subarray(start, end), directory.subarray(1), path);
      start = end + 1;
    }
  }

  #pushLine(line: Buffer, directory: Buffer, path: Buffer): void {
    const what = (): string => `${shownPath(path)}: the pattern '${printableName(line)}'`;
    try {
      const written = excludeLine(line, directory);
      if (written === undefined) return;
      if (this.#list.length >= patternsMax) throw new FormatError('LIMIT_EXCEEDED', `more than ${patternsMax} patterns`);
      for (const warning of written.warnings) this.#warn(`${what()} ${warning}`);
      this.#list.push(written.pattern);
    } catch (error) {
      if (!(error instanceof FormatError)) throw error;
      this.#warn(`${what()} is ignored: ${messageOf(error)}`);
    }
  }

  #pushOption(value: Buffer): void {
    const what = `the pattern '${printableName(value)}' to exclude`;
    try {
      const { pattern, warnings } = excludeOption(value);
      for (const warning of warnings) this.#warn(`${what} ${warning}`);
      this.#list.push(pattern);
    } catch (error) {
      throw new UsageError(`${what} is not understood: ${messageOf(error)}`, { cause: error });
    }
  }

  #readFile(directoryFd: number, path: Buffer): Buffer | undefined {
    try {
      const stat = statAt(directoryFd, excludeFileName);
      const opened = (stat.mode & fileTypeMask) === fileTypes.regular ? openEntry(directoryFd, excludeFileName, fileTypes.regular) : undefined;
      if (opened === undefined) throw new FormatError('BAD_STRUCTURE', 'it is no regular file');
      try {
        if (opened.stat.size > excludeFileBytesMax) throw new FormatError('LIMIT_EXCEEDED', `it is larger than ${excludeFileBytesMax} bytes`);
        return readFileSync(opened.fd);
      } finally {
        closeSync(opened.fd);
      }
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') this.#warn(`${shownPath(path)}: its patterns are ignored: ${messageOf(error)}`);
      return undefined;
    }
  }
}

/** The PRELUDE of a split archive; undefined without patterns. Throws USAGE if they are no text. */
export function preludeOf(recorded: Buffer): Buffer | undefined {
  if (recorded.length === 0) return undefined;
  const text = nameText(recorded);
  if (text !== undefined) return Buffer.from(JSON.stringify({ 'exclude-patterns': text }));
  throw new UsageError('a pattern to exclude is not UTF-8, which a split archive cannot record; use --mode legacy or another pattern');
}
