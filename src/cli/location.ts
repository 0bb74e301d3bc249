/**
 * Which datastore a command is about: SOURCE or --store, which a directory or a server may be, --repository in the place of either, or the
 * repository of the environment. Format: protocol, sections 2, 3 and 16.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { UsageError, codeOf } from '../errors.js';
import { formatRepository, isRepositoryText, parseRepository, repositoryOf } from '../format/repository.js';
import type { Arguments } from './arguments.js';
import type { Command } from './command.js';

/** What a path in a backup begins with, and the name of a directory hardly ever. */
const backupPathPattern = /^(?:vm|ct|host|ns)(?:\/|$)/;

/** Gives every command its location where it looks for it. `environment`: PBS_REPOSITORY and the like count where nothing else was said. */
export function placeLocation(command: Command, args: Arguments, environment: NodeJS.ProcessEnv): Arguments {
  if (!Object.hasOwn(command.options, 'repository')) return args;
  return withNamespace(command, placed(command, args, environment), environment);
}

function placed(command: Command, args: Arguments, environment: NodeJS.ProcessEnv): Arguments {
  const { values, positionals, raw } = args;
  const { repository, store } = values;
  const [source] = command.positionals;
  if (source?.isLocation !== true) {
    if (repository !== undefined && store !== undefined) throw new UsageError('--store and --repository both say which datastore; give one of them');
    const location = repository === undefined ? (store ?? repositoryOfEnvironment(environment)) : canonical(String(repository));
    return location === undefined ? args : { ...args, values: { ...values, store: location } };
  }
  const least = command.positionals.filter(({ optional }) => optional !== true).length;
  const isMissing = positionals.length < least || backupPathPattern.test(positionals[0] ?? '');
  const location = repository === undefined ? (isMissing ? repositoryOfEnvironment(environment) : undefined) : canonical(String(repository));
  return location === undefined ? args : { values, positionals: [location, ...positionals], raw: [Buffer.from(location), ...raw] };
}

/** PBS_NAMESPACE is about servers. */
function withNamespace(command: Command, args: Arguments, { PBS_NAMESPACE: ns }: NodeJS.ProcessEnv): Arguments {
  const location = Object.hasOwn(command.options, 'store') ? args.values['store'] : args.positionals[0];
  const isOurs = ns !== undefined && Object.hasOwn(command.options, 'ns') && args.values['ns'] === undefined;
  return isOurs && typeof location === 'string' && isRepositoryText(location) ? { ...args, values: { ...args.values, ns } } : args;
}

/** Undefined if it names none. BAD_NAME. */
export function repositoryOfEnvironment(environment: NodeJS.ProcessEnv): string | undefined {
  const { PBS_REPOSITORY: whole, PBS_DATASTORE: store, PBS_SERVER: host, PBS_PORT: port, PBS_AUTH_ID: authId } = environment;
  if (whole !== undefined && whole !== '') return canonical(whole);
  if (store === undefined || store === '') return ofCredential(environment);
  return formatRepository(repositoryOf({ authId, host, port, store }, store));
}

function ofCredential({ CREDENTIALS_DIRECTORY: directory }: NodeJS.ProcessEnv): string | undefined {
  if (directory === undefined || directory === '') return undefined;
  try {
    const [line = ''] = readFileSync(join(directory, 'proxmox-backup-client.repository'), 'utf8').split('\n', 1);
    return line.trim() === '' ? undefined : canonical(line.trim());
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

/** In a form that can't be taken for a directory. */
function canonical(repository: string): string {
  return formatRepository(parseRepository(repository));
}
