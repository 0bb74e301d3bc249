/** What the subcommands of `pbsfs key` take. */
import { randomBytes } from 'node:crypto';
import { UsageError } from '../../errors.js';
import { hintLengthMax, type Kdf } from '../../format/key-file.js';
import { stderrLog } from '../../mount/log.js';
import { passwordVariable } from '../../mount/password.js';
import { jsonOption, type OptionSpecs, type OptionValues } from '../command.js';
import type { PasswordSource } from './new-password.js';

const kdfNames = ['scrypt', 'pbkdf2', 'none'];
const saltBytes = 32;

export const keyOptions = {
  kdf: { type: 'string', describe: 'how the password protects the key: scrypt (default), pbkdf2, or none for a key without password', completion: { words: kdfNames } },
  hint: { type: 'string', describe: 'what helps to remember the password; everybody who has the file can read it' },
  'password-file': { type: 'string', describe: `file with the password (else ${passwordVariable}, or you are asked)`, completion: 'file' },
  'new-password-file': { type: 'string', describe: 'change-passphrase: file with the new one (else PBS_NEW_ENCRYPTION_PASSWORD, or you are asked)', completion: 'file' },
  'master-password-file': { type: 'string', describe: 'import-with-master-key: file with that of the master key (else PBS_MASTER_PASSWORD, or you are asked)', completion: 'file' },
  output: { type: 'string', describe: 'create-master-key: directory for the two files (default: the current one)', completion: 'directory' },
  subject: { type: 'string', describe: 'paperkey: a line above the key that says what it is for' },
  'output-format': { type: 'string', describe: 'paperkey: html (default) or text', completion: { words: ['html', 'text'] } },
  json: { ...jsonOption, describe: 'print what was made or found as JSON' },
} as const satisfies OptionSpecs;

export type KeyOptions = OptionValues<typeof keyOptions>;

export const warn = stderrLog(() => 'pbsfs: ');

/** Salted anew. USAGE for an unknown name. */
export function kdfOf({ kdf = 'scrypt' }: KeyOptions): Kdf {
  const salt = randomBytes(saltBytes);
  if (kdf === 'scrypt') return { type: 'scrypt', n: 65536, r: 8, p: 1, salt };
  if (kdf === 'pbkdf2') return { type: 'pbkdf2', iterations: 65535, salt };
  if (kdf === 'none') return { type: 'none' };
  throw new UsageError(`--kdf: '${kdf}' is none of ${kdfNames.join(', ')}`);
}

/** Spread into WrapOptions. USAGE if it is too long, or without a password that it could be a hint to. */
export function hintOf({ hint }: KeyOptions, kdf: Kdf): { hint?: string } {
  if (hint === undefined) return {};
  if (kdf.type === 'none') throw new UsageError('--hint has no meaning without a password');
  if (hint.length > hintLengthMax) throw new UsageError(`--hint has at most ${hintLengthMax} characters, not ${hint.length}`);
  return { hint };
}

/** USAGE if the hint is the password. */
export function checkHint({ hint }: { hint?: string }, password: Buffer | undefined): void {
  if (hint !== undefined && password?.equals(Buffer.from(hint)) === true) throw new UsageError('--hint is the password itself');
}

export function passwordSource({ 'password-file': file }: KeyOptions): PasswordSource {
  return { variable: passwordVariable, option: '--password-file', file, warn };
}

export function newPasswordSource({ 'new-password-file': file }: KeyOptions): PasswordSource {
  return { variable: 'PBS_NEW_ENCRYPTION_PASSWORD', option: '--new-password-file', file, warn };
}

export function masterPasswordSource({ 'master-password-file': file }: KeyOptions): PasswordSource {
  return { variable: 'PBS_MASTER_PASSWORD', option: '--master-password-file', file, warn };
}
