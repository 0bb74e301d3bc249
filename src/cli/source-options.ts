/** What every command that reads a datastore takes. */

export const sourcePositional = { name: 'SOURCE', describe: 'directory of the datastore', completion: 'directory' } as const;

export const sourceOptions = {
  keyfile: { type: 'string', multiple: true, describe: 'key file of encrypted backups; may be given several times', completion: 'file' },
  'password-file': { type: 'string', describe: 'file with the password of the key file (else PBS_ENCRYPTION_PASSWORD, or you are asked)', completion: 'file' },
  ns: { type: 'string', describe: 'paths begin in this namespace', completion: 'namespace' },
  salvage: { type: 'boolean', describe: 'read zeros where chunks are lost, instead of failing' },
} as const;
