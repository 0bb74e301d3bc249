/** What several commands take. */
import type { OptionSpecs } from './command.js';

export const sourcePositional = { name: 'SOURCE', describe: 'directory of the datastore, or its repository on a server: user@realm@host:store', completion: 'directory', isLocation: true } as const;

export const repositoryPositional = { name: 'REPOSITORY', describe: 'user@realm@host:store; user, host and a port before the store may be left out', isLocation: true } as const;

export const repositoryOption = {
  repository: { type: 'string', describe: '[[user@realm[!token]@]host:][port:]store on a server (else PBS_REPOSITORY)' },
} as const satisfies OptionSpecs;

/** Of commands that open a datastore, which may be on a server. */
export const serverOptions = {
  ...repositoryOption,
  fingerprint: { type: 'string', describe: 'SHA-256 of the certificate of the server (else PBS_FINGERPRINT)' },
  timeout: { type: 'string', describe: 'seconds to wait for a server that does not answer (default: 60)' },
} as const satisfies OptionSpecs;

export const sourceOptions = {
  keyfile: { type: 'string', multiple: true, describe: 'key file of encrypted backups; may be given several times', completion: 'file' },
  'password-file': { type: 'string', describe: 'file with the password of the key file (else PBS_ENCRYPTION_PASSWORD, or you are asked)', completion: 'file' },
  ns: { type: 'string', describe: 'paths begin in this namespace', completion: 'namespace' },
  salvage: { type: 'boolean', describe: 'read zeros where chunks are lost, instead of failing' },
  ...serverOptions,
} as const satisfies OptionSpecs;

/** Of commands whose positionals are something else. */
export const storeOption = {
  store: { type: 'string', describe: 'directory of the datastore, or its repository on a server', completion: 'directory' },
  ...serverOptions,
} as const satisfies OptionSpecs;

/** Of commands that write snapshots. */
export const encryptionOptions = {
  keyfile: { type: 'string', describe: 'key file: the backup is encrypted with its key', completion: 'file' },
  'password-file': sourceOptions['password-file'],
  'crypt-mode': { type: 'string', describe: 'encrypt, sign-only or none (default: encrypt with a key, none without)', completion: { words: ['encrypt', 'sign-only', 'none'] } },
  'master-pubkey': { type: 'string', describe: 'public master key (PEM): the key goes into the snapshot, encrypted for its owner', completion: 'file' },
} as const satisfies OptionSpecs;
