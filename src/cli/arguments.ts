/**
 * Reads a command line by the definition of its command. Node's own parser does it, because yargs takes as long to load as all the
 * rest of a short command; explain.ts has it write the help and find out which command a mistyped one was to be.
 */
import { parseArgs } from 'node:util';
import { UsageError } from '../errors.js';
import type { Command, OptionSpecs, OptionValues } from './command.js';
import { placeLocation } from './location.js';

export interface Arguments {
  readonly values: OptionValues<OptionSpecs>;
  readonly positionals: readonly string[];
  /** Their bytes. */
  readonly raw: readonly Buffer[];
}

/** `rawArgs`: the bytes of each of `args`. `environment`: says which datastore where `args` do not. Throws USAGE for what is missing, too much, unknown or given twice. */
export function readArguments(command: Command, args: readonly string[], rawArgs: readonly Buffer[], environment: NodeJS.ProcessEnv = {}): Arguments {
  try {
    const { values, positionals, tokens } = parseArgs({ args: [...args], options: command.options, allowPositionals: true, tokens: true });
    const names = tokens.flatMap((token) => (token.kind === 'option' ? [token.name] : []));
    const twice = names.find((name, at) => isSingleValue(command, name) && names.indexOf(name) < at);
    if (twice !== undefined) throw wrong(command, `--${twice} is given twice`);
    const raw = tokens.flatMap((token) => (token.kind === 'positional' ? [rawArgs[token.index] ?? Buffer.from(token.value)] : []));
    const placed = placeLocation(command, { values: values as OptionValues<OptionSpecs>, positionals, raw }, environment);
    checkPositionals(command, placed.positionals);
    return placed;
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    // What follows the first sentence tells how to quote, which is hardly ever what was meant.
    const [sentence = ''] = error.message.split('. ', 1);
    throw wrong(command, sentence.charAt(0).toLowerCase() + sentence.slice(1));
  }
}

function isSingleValue(command: Command, name: string): boolean {
  const option = command.options[name];
  return option?.type === 'string' && option.multiple !== true;
}

function checkPositionals(command: Command, positionals: readonly string[]): void {
  const specs = command.positionals;
  const missing = specs.find(({ optional }, at) => optional !== true && at >= positionals.length);
  if (missing !== undefined) throw wrong(command, `${missing.name} is missing`);
  const surplus = specs.at(-1)?.many === true ? undefined : positionals[specs.length];
  if (surplus !== undefined) throw wrong(command, `'${surplus}' is too much`);
}

function wrong(command: Command, text: string): UsageError {
  return new UsageError(`${text}; pbsfs ${command.name} --help tells what it takes`);
}
