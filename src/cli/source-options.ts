/** What several commands take. */
import type { OptionSpecs } from './command.js';

export const sourcePositional = { name: 'SOURCE', describe: 'directory of the datastore', completion: 'directory' } as const;

export const sourceOptions = {
  keyfile: { type: 'string', multiple: true, describe: 'key file of encrypted backups; may be given several times', completion: 'file' },
  'password-file': { type: 'string', describe: 'file with the password of the key file (else PBS_ENCRYPTION_PASSWORD, or you are asked)', completion: 'file' },
  ns: { type: 'string', describe: 'paths begin in this namespace', completion: 'namespace' },
  salvage: { type: 'boolean', describe: 'read zeros where chunks are lost, instead of failing' },
} as const satisfies OptionSpecs;

/** Of commands whose positionals are something else. */
export const storeOption = {
  store: { type: 'string', describe: 'directory of the datastore', completion: 'directory' },
} as const satisfies OptionSpecs;

/** Of commands that write snapshots. */
export const encryptionOptions = {
  keyfile: { type: 'string', describe: 'key file: the backup is encrypted with its key', completion: 'file' },
  'password-file': sourceOptions['password-file'],
  'crypt-mode': { type: 'string', describe: 'encrypt, sign-only or none (default: encrypt with a key, none without)', completion: { words: ['encrypt', 'sign-only', 'none'] } },
  'master-pubkey': { type: 'string', describe: 'public master key (PEM): the key goes into the snapshot, encrypted for its owner', completion: 'file' },
} as const satisfies OptionSpecs;
