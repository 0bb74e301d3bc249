/**
 * The words after -o, as mount(8), fstab and habit write them, made options of a mount. What is none of ours is a flag of the
 * kernel, a word that only other programs read, or refused by name.
 */
import { UsageError, messageOf } from '../errors.js';
import { checkMountFlags } from '../fuse/mount-flags.js';

/** One member for each of our words; those with a value hold it as it was typed. */
export interface MountOptions {
  keyFiles: string[];
  passwordFile?: string;
  cacheSize?: string;
  diskCache?: string;
  diskCacheSize?: string;
  namespace?: string;
  driver?: string;
  log?: string;
  spool?: string;
  mode?: string;
  cryptMode?: string;
  masterKey?: string;
  fingerprint?: string;
  timeout?: string;
  writable: boolean;
  salvage: boolean;
  allowOther: boolean;
  defaultPermissions: boolean;
  foreground: boolean;
  /** What is left for the driver. */
  flags: string[];
}

export interface OptionStringHabits {
  /** mount(8) put the words together: `rw`, `dev` and `suid` are there unless somebody asked for the contrary. */
  readonly fromMountHelper: boolean;
}

type TakeValue = (options: MountOptions, value: string) => void;
type TakePlain = (options: MountOptions) => void;

const valueWords: Readonly<Record<string, TakeValue>> = {
  keyfile: (options, value) => void options.keyFiles.push(value),
  'password-file': (options, value) => void (options.passwordFile = value),
  'cache-size': (options, value) => void (options.cacheSize = value),
  'disk-cache': (options, value) => void (options.diskCache = value),
  'disk-cache-size': (options, value) => void (options.diskCacheSize = value),
  ns: (options, value) => void (options.namespace = value),
  driver: (options, value) => void (options.driver = value),
  log: (options, value) => void (options.log = value),
  spool: (options, value) => void (options.spool = value),
  mode: (options, value) => void (options.mode = value),
  'crypt-mode': (options, value) => void (options.cryptMode = value),
  'master-pubkey': (options, value) => void (options.masterKey = value),
  fingerprint: (options, value) => void (options.fingerprint = value),
  timeout: (options, value) => void (options.timeout = value),
};

const plainWords: Readonly<Record<string, TakePlain>> = {
  writable: (options) => void (options.writable = true),
  salvage: (options) => void (options.salvage = true),
  allow_other: (options) => void (options.allowOther = true),
  default_permissions: (options) => void (options.defaultPermissions = true),
  foreground: (options) => void (options.foreground = true),
};

const refusedWords: Readonly<Record<string, string>> = {
  rw: 'snapshots are read-only; a mount in which new ones can be made is asked for by writable',
  remount: 'a mount can not change its options; unmount it and mount it again',
  password: 'everybody can read a command line; use password-file=FILE or PBS_ENCRYPTION_PASSWORD',
};

const addedByMountHelper = new Set(['rw', 'dev', 'suid']);

/** Throws USAGE naming the first word that can't be taken. */
export function parseOptionString(texts: readonly string[], habits: OptionStringHabits): MountOptions {
  const options: MountOptions = { keyFiles: [], writable: false, salvage: false, allowOther: false, defaultPermissions: false, foreground: false, flags: [] };
  for (const word of texts.flatMap((text) => text.split(',')).filter((text) => text !== '')) {
    if (!(habits.fromMountHelper && addedByMountHelper.has(word))) takeWord(options, word);
  }
  try {
    checkMountFlags(options.flags);
  } catch (cause) {
    throw new UsageError(messageOf(cause), { cause });
  }
  return options;
}

function takeWord(options: MountOptions, word: string): void {
  const equals = word.indexOf('=');
  const name = equals === -1 ? word : word.slice(0, equals);
  const value = equals === -1 ? undefined : word.slice(equals + 1);
  if (Object.hasOwn(refusedWords, name)) throw new UsageError(`-o ${name}: ${refusedWords[name]}`);
  if (Object.hasOwn(valueWords, name)) {
    if (value === undefined || value === '') throw new UsageError(`-o ${name} needs a value: ${name}=...`);
    valueWords[name]?.(options, value);
  } else if (Object.hasOwn(plainWords, name)) {
    if (value !== undefined) throw new UsageError(`-o ${name} takes no value`);
    plainWords[name]?.(options);
  } else {
    options.flags.push(word);
  }
}
