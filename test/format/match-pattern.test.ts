import { describe, expect, test } from 'vitest';
import { codeOf } from '../../src/errors.js';
import { excludeLine, excludeOption } from '../../src/format/exclude-pattern.js';
import { MatchList, parsePattern, patternLine } from '../../src/format/match-pattern.js';

const directory = 0o040755;
const file = 0o100644;

/** Section 9.6: pattern, path, type, excluded. */
const vectors: readonly (readonly [string, string, 'f' | 'd', boolean])[] = [
  ['*.tmp', '/a/b.tmp', 'f', true], ['/usr', '/usr', 'd', true],
  ['/usr', '/a/usr', 'd', false], ['usr', '/a/usr', 'd', true],
  ['usr', '/a/usr/b', 'f', false], ['a/b', '/x/a/b', 'f', true],
  ['a/b', '/xa/b', 'f', false], ['dir/', '/x/dir', 'd', true],
  ['dir/', '/x/dir', 'f', false], ['dir//', '/x/dir', 'd', true],
  ['**/*.tmp', '/a/b/c.tmp', 'f', true], ['**/*.tmp', '/c.tmp', 'f', true],
  ['/**/x', '/x', 'f', true], ['/**/x', '/a/b/x', 'f', true],
  ['/a/**', '/a', 'd', false], ['/a/**', '/a/b/c', 'f', true],
  ['/a/*', '/a/b', 'd', true], ['/a/*', '/a/b/c', 'f', false],
  ['a**b', '/aXb', 'f', true], ['a**b', '/a/b', 'f', false],
  ['[!a]', '/a', 'f', true], ['[!a]', '/b', 'f', false],
  ['[^a]', '/a', 'f', false], ['[^a]', '/b', 'f', true],
  ['x[^a]y', '/x/y', 'f', true], ['x?y', '/x/y', 'f', false],
  ['\\*', '/*', 'f', true], ['\\*', '/a', 'f', false],
  ['a\\[b', '/a[b', 'f', true], ['[c-a]1', '/b1', 'f', true],
  ['[[:digit:]]', '/7', 'f', true], ['[]a]', '/a', 'f', false],
  ['foo/**/bar', '/foo/bar', 'f', true], ['foo/**/bar', '/foo/x/y/bar', 'f', true],
  ['*', '/a/b', 'f', true], ['A', '/a', 'f', false],
  ['lost+found', '/x/lost+found', 'd', true], ['', '/a', 'd', false], ['/', '/a', 'd', false],
  // Of the rules, beyond the vectors.
  ['foo/**/bar', '/foo/xbar', 'f', false], ['**', '/a', 'f', true], ['***', '/a/b', 'f', true], ['/a/**/', '/a/b', 'd', true],
  ['*.tmp', '/.tmp', 'f', true], ['*.tmp', '/tmp', 'f', false], ['*p/q', '/tmp/q', 'f', true], ['[-a]', '/-', 'f', true], ['[a-]', '/-', 'f', true],
  ['[^]', '/a', 'f', true], ['[\\]]', '/]', 'f', true], ['[[:space:][:upper:]]', '/Q', 'f', true], ['[[:print:]]', '/\x7f', 'f', true],
  ['\\/a', '/a', 'f', true], ['a*b*c', '/aXbYbZc', 'f', true], ['a*b*c', '/aXbYbZ', 'f', false],
];

function excluded(pattern: string, path: string, mode: number): boolean {
  return new MatchList([parsePattern(Buffer.from(pattern), 'exclude')]).matches(Buffer.from(path), mode) === 'exclude';
}

describe('patterns', () => {
  test.each(vectors)('%s on %s (%s): %s', (pattern, path, type, result) => {
    expect(excluded(pattern, path, type === 'd' ? directory : file)).toBe(result);
  });

  test.each(['a\\', '[', '[^', '[[:foo:]]', '[[:alpha', '[ab', '[a-', 'a\0b'])('%j is refused', (text) => {
    expect(() => parsePattern(Buffer.from(text), 'exclude')).toThrow(expect.objectContaining({ code: 'BAD_STRUCTURE' }));
  });

  test('names are bytes', () => {
    const pattern = parsePattern(Buffer.from([0x2f, 0x3f, 0xff]), 'exclude');
    expect(new MatchList([pattern]).matches(Buffer.from([0x2f, 0x80, 0xff]), file)).toBe('exclude');
  });

  test('stars without end take no time without end', () => {
    const start = performance.now();
    expect(excluded(`${'a*'.repeat(500)}b`, `/${'a'.repeat(4000)}`, file)).toBe(false);
    expect(excluded(`${'**/a*/'.repeat(200)}b`, `/${'aaa/'.repeat(1000)}`, file)).toBe(false);
    expect(performance.now() - start).toBeLessThan(5000);
  });
});

describe('lists', () => {
  test('the last pattern that matches decides', () => {
    const list = new MatchList(['*.o', '!keep.o', 'keep.o/'].map((text) => parsePattern(Buffer.from(text), 'exclude')));
    expect(list.matches(Buffer.from('/a.o'), file)).toBe('exclude');
    expect(list.matches(Buffer.from('/x/keep.o'), file)).toBe('include');
    expect(list.matches(Buffer.from('/x/keep.o'), directory)).toBe('exclude');
    expect(list.matches(Buffer.from('/x/other'), file)).toBeUndefined();
    list.truncate(1);
    expect(list.length).toBe(1);
    expect(list.matches(Buffer.from('/keep.o'), file)).toBe('exclude');
  });

  test('the type is asked for only where it matters, and once', () => {
    let asked = 0;
    const list = new MatchList(['b/', 'b/', 'a'].map((text) => parsePattern(Buffer.from(text), 'exclude')));
    const mode = (): number => ((asked += 1), file);
    expect(list.matches(Buffer.from('/a'), mode)).toBe('exclude');
    expect(list.matches(Buffer.from('/c'), mode)).toBeUndefined();
    expect(asked).toBe(0);
    expect(list.matches(Buffer.from('/b'), mode)).toBeUndefined();
    expect(asked).toBe(1);
  });
});

function line(text: string, where = ''): string | undefined {
  const written = excludeLine(Buffer.from(text), Buffer.from(where));
  return written && patternLine(written.pattern).toString();
}

describe('as users write them', () => {
  test('lines of a file', () => {
    expect(line('  ')).toBeUndefined();
    expect(line('# /a')).toBeUndefined();
    expect(line('/a\r', '')).toBe('/a\n');
    expect(line('/x/y', 'sub')).toBe('/sub/x/y\n');
    expect(line('!/x/', 'sub/b')).toBe('!/sub/b/x/\n');
    expect(line('\t!x ', 'sub')).toBe('!x\n');
    expect(line('x/y', 'sub')).toBe('x/y\n');
    expect(line('!!x')).toBe('x\n');
  });

  test('are normalised with a warning', () => {
    expect(line('./a//b/../c/')).toBe('a/c/\n');
    expect(line('/../a')).toBe('/a\n');
    expect(line('../a')).toBe('../a\n');
    expect(excludeOption(Buffer.from('!a/./b')).warnings).toEqual(["was read as '!a/b'"]);
    expect(patternLine(excludeOption(Buffer.from('!a/./b')).pattern).toString()).toBe('!a/b\n');
    expect(excludeOption(Buffer.from('a/b/')).warnings).toEqual([]);
  });

  test('[! is warned about', () => {
    expect(excludeOption(Buffer.from('x[!a]')).warnings).toHaveLength(1);
    expect(excludeOption(Buffer.from('x\\[!a]')).warnings).toEqual([]);
  });

  test('a bad one is refused', () => {
    try {
      excludeLine(Buffer.from('a['), Buffer.alloc(0));
      expect.unreachable();
    } catch (error) {
      expect(codeOf(error)).toBe('BAD_STRUCTURE');
    }
  });
});
