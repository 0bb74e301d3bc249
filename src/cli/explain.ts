/** Help and guesses for people: by yargs, from the same definitions that arguments.ts reads by. */
import yargs, { type Argv } from 'yargs';
import type { Command } from './command.js';
import { loadAllCommands } from './commands.js';
import { exitStatusTexts, exitStatuses, type ExitStatusName } from './exit-status.js';

const widthMax = 100;

/** The help of one command, or of all. */
export async function helpText(name: string | undefined): Promise<string> {
  const commands = await loadAllCommands();
  const parser = parserFor(commands, () => undefined);
  return await new Promise((resolve) => {
    void parser.parse(name === undefined ? ['--help'] : [name, '--help'], {}, (_error: unknown, _argv: unknown, output: string) => {
      resolve(`${output.trimEnd()}\n`);
    });
  });
}

/** Why `name` is no command, with the one that may have been meant. */
export async function unknownCommand(name: string): Promise<string> {
  let guess: string | undefined;
  const parser = parserFor(await loadAllCommands(), (text) => {
    guess ??= /^Did you mean (.+)\?$/.exec(text)?.[1];
  });
  try {
    await parser.parseAsync(name);
  } catch {
    // Was told before.
  }
  const hint = guess === undefined ? 'pbsfs --help lists the commands' : `did you mean ${guess}?`;
  return name === '' ? 'which command? pbsfs --help lists them' : `there is no command '${name}'; ${hint}`;
}

function parserFor(commands: readonly Command[], fault: (text: string) => void): Argv {
  const parser = yargs()
    .locale('en')
    .scriptName('pbsfs')
    .usage('A Proxmox Backup datastore as a directory tree.\n\n$0 COMMAND ...')
    .exitProcess(false)
    .help('help')
    .alias('help', 'h')
    .version(false)
    .option('version', { type: 'boolean', describe: 'Show the version' })
    .strict()
    .demandCommand(1, 'which command?')
    .recommendCommands()
    .wrap(widthMax)
    .epilogue(statusSection(Object.keys(exitStatuses) as ExitStatusName[]))
    .fail((message: string | null, error: Error | undefined) => {
      fault(message ?? error?.message ?? 'wrong usage');
      throw error ?? new Error(message ?? '');
    });
  for (const command of commands) addCommand(parser, command);
  return parser;
}

function addCommand(parser: Argv, command: Command): void {
  const words = command.positionals.map(({ name, optional, many }) => {
    const word = `${name.toLowerCase()}${many === true ? '..' : ''}`;
    return optional === true ? `[${word}]` : `<${word}>`;
  });
  const build = (builder: Argv): Argv => {
    for (const { name, describe } of command.positionals) builder.positional(name.toLowerCase(), { describe, type: 'string' });
    for (const [name, { type, short, multiple, describe }] of Object.entries(command.options)) {
      builder.option(name, { type, describe, requiresArg: type === 'string', ...(short && { alias: short }), ...(multiple && { array: true, nargs: 1 }) });
    }
    for (const [line, purpose] of command.examples) builder.example(line, purpose);
    return builder.epilogue(statusSection(['ok', 'usage', ...command.statuses]));
  };
  parser.command([command.name, ...words].join(' '), command.summary, build, () => undefined);
}

function statusSection(names: readonly ExitStatusName[]): string {
  const lines = names
    .map((name) => ({ status: exitStatuses[name], text: exitStatusTexts[name] }))
    .sort((a, b) => a.status - b.status)
    .map(({ status, text }) => `  ${String(status).padEnd(3)}  ${text}`);
  return ['EXIT STATUS', ...lines].join('\n');
}
