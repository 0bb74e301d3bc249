/** A command as a person writes it, in words: quotes and backslashes as a POSIX shell reads them, and nothing else of it. */
import { FormatError } from '../errors.js';

const unquoted = /^(?:[^\s"'\\]+|\\(?:[^\n]|\n)|'([^']*)'|"((?:[^"\\]|\\[^])*)")/;

/** Throws BAD_STRUCTURE where a quote is not closed. */
export function splitShellWords(text: string): string[] {
  const words: string[] = [];
  let rest = text.trimStart();
  while (rest !== '') {
    let word = '';
    for (let match = unquoted.exec(rest); match !== null; match = unquoted.exec(rest)) {
      const [all, single, double] = match;
      word += single ?? double?.replace(/\\(["\\$`])|\\\n/g, '$1') ?? (all.startsWith('\\') ? all.slice(1).replace('\n', '') : all);
      rest = rest.slice(all.length);
    }
    if (rest !== '' && !/^\s/.test(rest)) throw new FormatError('BAD_STRUCTURE', 'a quote or backslash at the end is not closed');
    words.push(word);
    rest = rest.trimStart();
  }
  return words;
}
