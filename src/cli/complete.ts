/** What the next word of a command line may be. It never asks for a password, so it does not see into encrypted archives. */
import { parseArgs } from 'node:util';
import { formatNamespace, parseNamespace } from '../format/namespace.js';
import { listMounts } from '../mount/mounts.js';
import { S_IFDIR, S_IFLNK } from '../vfs/file-system.js';
import { nameText } from '../vfs/name.js';
import type { Arguments } from './arguments.js';
import type { Command, Completion, OptionSpecs, OptionValues } from './command.js';
import { commandLoaders, loadCommand } from './commands.js';
import { placeLocation } from './location.js';
import { openLocation } from './open-location.js';
import { locate, withSource } from './open-source.js';

export const filesMarker = ':files';
export const directoriesMarker = ':directories';

const candidatesMax = 2000;

/** `words`: those after `pbsfs`, the last one being typed. */
export async function candidatesFor(words: readonly string[]): Promise<readonly string[]> {
  const current = words.at(-1) ?? '';
  const before = words.slice(0, -1);
  const command = await loadCommand(before[0] ?? '');
  if (command === undefined) return before.length > 0 ? [] : beginningWith(current, [...Object.keys(commandLoaders), '--help', '--version']);
  const { completion, source, namespace } = wordAt(command, before.slice(1));
  const assigned = /^(--[a-z-]+=)(.*)$/s.exec(current);
  if (completion === undefined && assigned !== null) {
    const [, option = '', value = ''] = assigned;
    const candidates = await candidatesOf(command.options[option.slice(2, -1)]?.completion, value, source, namespace);
    return candidates.map((candidate) => (candidate.startsWith(':') ? candidate : option + candidate));
  }
  if (completion === undefined && current.startsWith('-')) {
    return beginningWith(current, [...Object.keys(command.options).map((name) => `--${name}`), '--help']);
  }
  return await candidatesOf(completion ?? positionalAt(command, before.slice(1)), current, source, namespace);
}

interface Word {
  /** Set if the word is the value of the option before it. */
  readonly completion: Completion | undefined;
  readonly source: string;
  readonly namespace: string;
}

function wordAt(command: Command, before: readonly string[]): Word {
  const { values, positionals } = readLoosely(command, before);
  const last = before.at(-1) ?? '';
  const option = Object.entries(command.options).find(([name, { type, short }]) => type === 'string' && (last === `--${name}` || last === `-${short ?? ''}`));
  const { ns, store } = values;
  const source = typeof store === 'string' ? store : (positionals[0] ?? '');
  return { completion: option && (option[1].completion ?? { words: [] }), source, namespace: typeof ns === 'string' ? ns : '' };
}

function positionalAt(command: Command, before: readonly string[]): Completion | undefined {
  const { positionals } = readLoosely(command, before);
  const last = command.positionals.at(-1);
  return (command.positionals[positionals.length] ?? (last?.many === true ? last : undefined))?.completion;
}

function readLoosely(command: Command, args: readonly string[]): Arguments {
  const { values, positionals } = parseArgs({ args: [...args], options: command.options, strict: false, allowPositionals: true });
  // Of the environment nothing: a source may be about to be typed.
  return placeLocation(command, { values: values as OptionValues<OptionSpecs>, positionals, raw: [] }, {});
}

async function candidatesOf(completion: Completion | undefined, current: string, source: string, namespace: string): Promise<readonly string[]> {
  switch (completion) {
    case undefined:
      return [];
    case 'file':
      return [filesMarker];
    case 'directory':
      return [directoriesMarker];
    case 'mount':
      return beginningWith(current, listMounts().map(({ mountPoint }) => mountPoint));
    case 'namespace':
      return beginningWith(current, await namespacesOf(source));
    case 'path':
      return await pathsOf(source, namespace, current);
    default:
      return beginningWith(current, completion.words);
  }
}

async function namespacesOf(source: string): Promise<string[]> {
  const store = await openLocation(source, {}, () => undefined, { ask: false });
  const found: string[] = [];
  try {
    for (const waiting: (readonly string[])[] = [[]]; waiting.length > 0 && found.length < candidatesMax; ) {
      const parent = waiting.pop() ?? [];
      const children = (await store.namespaces(parent)).map((name) => [...parent, name]);
      found.push(...children.map(formatNamespace));
      waiting.push(...children);
    }
  } finally {
    await store.close();
  }
  return found.sort();
}

/** Entries of the directory that is typed so far; directories, and links to them, end with a slash. */
async function pathsOf(source: string, namespace: string, current: string): Promise<string[]> {
  parseNamespace(namespace);
  const typed = current.slice(0, current.lastIndexOf('/') + 1);
  const beginning = current.slice(typed.length);
  const found: string[] = [];
  await withSource(source, { ns: namespace }, async (opened) => {
    const { entry } = await locate(opened, Buffer.from(typed), { followLast: true });
    const directory = await opened.tree.openDirectory(entry.attributes.ino);
    for (let index = 0; found.length < candidatesMax; ) {
      const entries = await directory.read(index, candidatesMax);
      if (entries.length === 0) break;
      index += entries.length;
      for (const { name, type } of entries) {
        const text = nameText(name);
        if (text?.startsWith(beginning) === true && !/\p{Cc}/u.test(text)) found.push(`${typed}${text}${type === S_IFDIR || isLatest(text, type) ? '/' : ''}`);
      }
    }
    directory.close();
  }, { ask: false });
  return found;
}

function isLatest(name: string, type: number): boolean {
  return type === S_IFLNK && name === 'latest';
}

function beginningWith(current: string, candidates: readonly string[]): string[] {
  return candidates.filter((candidate) => candidate.startsWith(current));
}
