#!/usr/bin/env node
/** The command `pbsfs`: finds the command that is meant, and turns what it throws into a line and an exit status. */
import { readFileSync } from 'node:fs';
import { UsageError } from '../errors.js';
import { readArguments } from './arguments.js';
import { loadCommand } from './commands.js';
import { exitStatuses, type ExitStatus } from './exit-status.js';
import { isMountHelperCall, runAsMountHelper } from './mount-helper.js';
import { writeOut } from './output.js';
import { rawArguments } from './raw-arguments.js';
import { reportError } from './report.js';

async function run(args: readonly string[]): Promise<void> {
  const [name = '', ...rest] = args;
  if (isMountHelperCall(args)) return await runAsMountHelper(args);
  if (name === '--version') return await writeOut(`pbsfs ${version()}\n`);
  const command = await loadCommand(name);
  const options = args.slice(0, args.includes('--') ? args.indexOf('--') : args.length);
  if (options.includes('--help') || options.includes('-h')) return await writeOut(await (await import('./explain.js')).helpText(command?.name));
  if (command === undefined) throw new UsageError(await (await import('./explain.js')).unknownCommand(name));
  const { values, positionals, raw } = readArguments(command, rest, rawArguments(rest), process.env);
  await command.run(values, positionals, raw);
}

function version(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}

async function main(args: readonly string[]): Promise<ExitStatus> {
  try {
    await run(args);
    return exitStatuses.ok;
  } catch (error) {
    return reportError(error, args.includes('--json'));
  }
}

process.exitCode = await main(process.argv.slice(2));
