#!/usr/bin/env node
/** The command `pbsfs`: finds the command that is meant, and turns what it throws into a line and an exit status. */
import { readFileSync } from 'node:fs';
import { UsageError } from '../errors.js';
import { readArguments } from './arguments.js';
import { loadCommand } from './commands.js';
import { exitStatuses, type ExitStatus } from './exit-status.js';
import { isMountHelperCall, runAsMountHelper } from './mount-helper.js';
import { writeOut } from './output.js';
import { reportError } from './report.js';

async function run(args: readonly string[]): Promise<void> {
  const [name = ''] = args;
  if (isMountHelperCall(args)) return await runAsMountHelper(args);
  const command = await loadCommand(name);
  const own = args.includes('--') ? args.slice(0, args.indexOf('--')) : args;
  if (name === '--version') return await writeOut(`pbsfs ${version()}\n`);
  if (own.includes('--help') || own.includes('-h')) {
    return await writeOut(await (await import('./explain.js')).helpText(command?.name));
  }
  let fault: string | undefined;
  const read = command && readArguments(command, args.slice(1), (text) => (fault = text));
  if (command !== undefined && read !== undefined) return await command.run(read.values, read.positionals);
  const found = await (await import('./explain.js')).findFault(args);
  const help = command === undefined ? 'pbsfs --help' : `pbsfs ${command.name} --help`;
  throw new UsageError(`${found ?? fault ?? 'wrong usage'}; see ${help}`);
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
