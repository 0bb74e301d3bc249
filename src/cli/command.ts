/** What a command is: how it is called, what it takes, what its help says, and what it does. */
import type { ExitStatusName } from './exit-status.js';

/** What the shell offers for a word; nothing if absent. */
export type Completion = 'file' | 'directory' | 'mount' | 'path' | 'namespace' | { readonly words: readonly string[] };

export interface OptionSpec {
  readonly type: 'string' | 'boolean';
  readonly short?: string;
  readonly multiple?: boolean;
  readonly describe: string;
  readonly completion?: Completion;
}

export interface PositionalSpec {
  readonly name: string;
  readonly describe: string;
  readonly completion?: Completion;
  readonly optional?: true;
  /** Of the datastore: --repository takes its place. */
  readonly isLocation?: true;
  /** Takes all that follows; only the last one. */
  readonly many?: true;
}

export type OptionSpecs = Readonly<Record<string, OptionSpec>>;

export type OptionValues<Specs extends OptionSpecs> = {
  readonly [Name in keyof Specs]?: Specs[Name] extends { multiple: true } ? string[] : Specs[Name] extends { type: 'boolean' } ? boolean : string;
};

export interface CommandDefinition<Specs extends OptionSpecs> {
  readonly name: string;
  readonly summary: string;
  readonly positionals: readonly PositionalSpec[];
  readonly options: Specs;
  /** A line to type, and what it is for. */
  readonly examples: readonly (readonly [line: string, purpose: string])[];
  /** What it can end with besides success and wrong usage. */
  readonly statuses: readonly ExitStatusName[];
  /** `raw`: the bytes of the positionals, for those that are paths in a backup. */
  run(values: OptionValues<Specs>, positionals: readonly string[], raw: readonly Buffer[]): Promise<void>;
}

export type Command = CommandDefinition<OptionSpecs>;

/** Checks the definition's types and forgets them: the parser gives every command values of the types that it asked for. */
export function command<const Specs extends OptionSpecs>(definition: CommandDefinition<Specs>): Command {
  return definition;
}

export const jsonOption = { type: 'boolean', describe: 'print JSON' } as const satisfies OptionSpec;
