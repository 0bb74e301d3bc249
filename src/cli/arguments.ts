/**
 * Reads a command line that is as its command wants it. Any other, and every question for help, goes to explain.ts: yargs takes as
 * long to load as all the rest of a short command, and is needed only to say what is wrong.
 */
import { parseArgs } from 'node:util';
import type { Command, OptionValues, OptionSpecs } from './command.js';

export interface Arguments {
  readonly values: OptionValues<OptionSpecs>;
  readonly positionals: readonly string[];
}

/** Undefined if something is missing, too much or unknown; then `fault` was told what. */
export function readArguments(command: Command, args: readonly string[], fault: (text: string) => void): Arguments | undefined {
  const { positionals: specs, options } = command;
  try {
    const { values, positionals, tokens } = parseArgs({ args: [...args], options, strict: true, allowPositionals: true, tokens: true });
    const names = tokens.flatMap((token) => (token.kind === 'option' ? [token.name] : []));
    const twice = names.find((name, at) => options[name]?.type === 'string' && options[name].multiple !== true && names.indexOf(name) < at);
    if (twice !== undefined) fault(`--${twice} is given twice`);
    const least = specs.filter(({ optional }) => optional !== true).length;
    const most = specs.at(-1)?.many === true ? Infinity : specs.length;
    if (positionals.length > most) fault(`'${positionals[most] ?? ''}' is too much`);
    if (twice !== undefined || positionals.length < least || positionals.length > most) return undefined;
    return { values: values as OptionValues<OptionSpecs>, positionals };
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    fault(error.message);
    return undefined;
  }
}
