/** `pbsfs key`: making, showing, protecting and keeping encryption keys. */
import { UsageError } from '../../errors.js';
import { command } from '../command.js';
import { changePassphrase, createKey, showKey } from '../key/key-file-commands.js';
import { keyOptions, type KeyOptions } from '../key/key-options.js';
import { createMasterKeyFiles, importMasterPublicKey, importWithMasterKey } from '../key/master-key-commands.js';
import { printPaperKey } from '../key/paper-key.js';

interface Subcommand {
  /** Words that it takes; those in brackets may be missing. */
  readonly words: readonly string[];
  readonly options: readonly (keyof KeyOptions)[];
  readonly run: (values: KeyOptions, words: readonly string[]) => Promise<void>;
}

const wrapping = ['kdf', 'hint', 'password-file'] as const;

const subcommands: Readonly<Record<string, Subcommand>> = {
  create: { words: ['[FILE]'], options: wrapping, run: createKey },
  show: { words: ['[FILE]'], options: [], run: showKey },
  'change-passphrase': { words: ['[FILE]'], options: [...wrapping, 'new-password-file'], run: changePassphrase },
  'create-master-key': { words: [], options: ['password-file', 'output'], run: createMasterKeyFiles },
  'import-master-pubkey': { words: ['MASTER-PUBLIC.pem'], options: [], run: importMasterPublicKey },
  'import-with-master-key': {
    words: ['MASTER-PRIVATE.pem', 'ENCRYPTED-KEY', '[FILE]'],
    options: [...wrapping, 'master-password-file'],
    run: importWithMasterKey,
  },
  paperkey: { words: ['[FILE]'], options: ['subject', 'output-format'], run: printPaperKey },
};

export const keyCommand = command({
  name: 'key',
  summary: 'Make, show, protect and print encryption keys',
  positionals: [
    { name: 'SUBCOMMAND', describe: Object.keys(subcommands).join(', '), completion: { words: Object.keys(subcommands) } },
    {
      name: 'FILE',
      describe: 'the key file (default: ~/.config/proxmox-backup/encryption-key.json), or what the examples show',
      completion: 'file',
      optional: true,
      many: true,
    },
  ],
  options: keyOptions,
  examples: [
    ['pbsfs key create /root/key.json', 'a new key with a password; --kdf none: without'],
    ['pbsfs key show /root/key.json', 'its fingerprint, times and hint'],
    ['pbsfs key change-passphrase /root/key.json', 'another password; the key stays the same'],
    ['pbsfs key create-master-key', 'master-public.pem and master-private.pem in this directory'],
    ['pbsfs key import-master-pubkey master-public.pem', 'to where clients look for it'],
    ['pbsfs key import-with-master-key master-private.pem rsa-encrypted.key key.json', 'the key of a snapshot that has it encrypted'],
    ['pbsfs key paperkey /root/key.json --subject "web servers" > key.html', 'to print and keep'],
  ],
  statuses: ['failed', 'notFound', 'noAccess', 'exists'],
  run: async (values, [name = '', ...words]) => {
    const subcommand = Object.hasOwn(subcommands, name) ? subcommands[name] : undefined;
    if (subcommand === undefined) throw new UsageError(`'${name}' is none of ${Object.keys(subcommands).join(', ')}; pbsfs key --help tells what they do`);
    checkWords(name, subcommand, words);
    checkOptions(name, subcommand, values);
    await subcommand.run(values, words);
  },
});

function checkWords(name: string, { words: expected }: Subcommand, words: readonly string[]): void {
  const missing = expected[words.length];
  if (missing?.startsWith('[') === false) throw new UsageError(`${missing} is missing; pbsfs key ${name} takes ${expected.join(' ')}`);
  const surplus = words[expected.length];
  if (surplus !== undefined) throw new UsageError(`'${surplus}' is too much; pbsfs key ${name} takes ${expected.length === 0 ? 'no file' : expected.join(' ')}`);
}

function checkOptions(name: string, { options }: Subcommand, values: KeyOptions): void {
  const allowed = new Set<string>(['json', ...options]);
  const strange = Object.keys(values).find((option) => !allowed.has(option));
  if (strange !== undefined) throw new UsageError(`--${strange} has no meaning for pbsfs key ${name}`);
}
