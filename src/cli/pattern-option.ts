/** Patterns that choose from an archive. */
import { messageOf, UsageError } from '../errors.js';
import { parsePattern, type MatchPattern } from '../format/match-pattern.js';

export const patternOption = {
  type: 'string',
  multiple: true,
  describe: 'only what this fits, and what is in it: /ssh/** from the root, *.conf anywhere, !PATTERN leaves out; may be given several times',
} as const;

export function parsePatterns(texts: readonly string[]): MatchPattern[] {
  return texts.map((text) => {
    try {
      return parsePattern(Buffer.from(text), 'include');
    } catch (cause) {
      throw new UsageError(`--pattern '${text}': ${messageOf(cause)}`, { cause });
    }
  });
}
