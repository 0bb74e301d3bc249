import { describe, expect, test } from 'vitest';
import { readArguments } from '../../src/cli/arguments.js';
import { command } from '../../src/cli/command.js';

const sample = command({
  name: 'sample',
  summary: '',
  positionals: [{ name: 'SOURCE', describe: '' }, { name: 'PATH', describe: '', optional: true }],
  options: {
    keyfile: { type: 'string', multiple: true, describe: '' },
    ns: { type: 'string', describe: '' },
    long: { type: 'boolean', short: 'l', describe: '' },
    all: { type: 'boolean', short: 'a', describe: '' },
  },
  examples: [],
  statuses: [],
  run: () => Promise.resolve(),
});

const read = (...args: string[]) => readArguments(sample, args, args.map((text) => Buffer.from(text, 'latin1')));

test('options before, between and after, joined, repeated and ended', () => {
  const { values, positionals } = read('-la', 'store', '--keyfile=a', '--keyfile', 'b', '--ns', 'prod', '--', '--path');
  expect(values).toEqual({ long: true, all: true, keyfile: ['a', 'b'], ns: 'prod' });
  expect(positionals).toEqual(['store', '--path']);
});

test('the bytes of positionals', () => {
  expect(read('--ns', 'x', 'st\u00ff', '-l', 'p').raw).toEqual([Buffer.from([0x73, 0x74, 0xff]), Buffer.from('p')]);
});

test('numbers and dots stay text', () => {
  expect(read('100', 'a.b', '--ns', '007')).toMatchObject({ positionals: ['100', 'a.b'], values: { ns: '007' } });
});

describe('what is refused', () => {
  test.each([
    [[], /^SOURCE is missing; pbsfs sample --help/],
    [['a', 'b', 'c'], /^'c' is too much; /],
    [['a', '--frob'], /^unknown option '--frob'; /],
    [['a', '-x'], /^unknown option '-x'; /],
    [['a', '--ns'], /--ns .*argument missing; /],
    [['a', '--long=1'], /does not take an argument; /],
    [['a', '--ns', 'x', '--ns', 'y'], /^--ns is given twice; /],
  ])('%j', (args, message) => {
    expect(() => read(...args)).toThrow(expect.objectContaining({ code: 'USAGE', message: expect.stringMatching(message) }) as Error);
  });
});
