/**
 * How mount(8) calls: `pbsfs SOURCE MOUNTPOINT -o WORDS`, without a command, by way of mount.fuse3 or of a link
 * /sbin/mount.fuse.pbsfs. Protocol: mount(8), external helpers.
 */
import { UsageError } from '../errors.js';
import { commandLoaders } from './commands.js';

interface HelperCall {
  readonly source: string;
  readonly mountPoint: string;
  readonly options: readonly string[];
  /** mount -f: everything but the mounting itself. */
  readonly fake: boolean;
}

const withoutMeaning = new Set(['-s', '-n', '-v']);

export function isMountHelperCall(args: readonly string[]): boolean {
  const [source = '-', mountPoint = '-'] = args;
  return !Object.hasOwn(commandLoaders, source) && !source.startsWith('-') && !mountPoint.startsWith('-') && args.includes('-o');
}

export async function runAsMountHelper(args: readonly string[]): Promise<void> {
  const { source, mountPoint, options, fake } = readHelperCall(args);
  const { runMount } = await import('./commands/mount.js');
  if (!fake) await runMount({ source, mountPoint, optionStrings: options, fromMountHelper: true });
}

function readHelperCall(args: readonly string[]): HelperCall {
  const [source = '', mountPoint = '', ...rest] = args;
  const options: string[] = [];
  let fake = false;
  for (let word = rest.shift(); word !== undefined; word = rest.shift()) {
    if (word === '-o') options.push(rest.shift() ?? '');
    else if (word === '-t') rest.shift();
    else if (word === '-f') fake = true;
    else if (!withoutMeaning.has(word)) throw new UsageError(`'${word}' is not understood; mount SOURCE MOUNTPOINT -o OPTIONS`);
  }
  return { source, mountPoint, options, fake };
}
