/** A password for a key that is made or wrapped anew: typed twice, as nobody can find it again. */
import { passwordBytesMin } from '../../crypto/key-wrap.js';
import { CryptoError, UsageError } from '../../errors.js';
import { givenPassword } from '../../mount/password.js';
import { askOnTerminal } from '../../mount/terminal.js';

export interface PasswordSource {
  /** Environment variable. */
  readonly variable: string;
  /** Option that names a file, and its value. */
  readonly option: string;
  readonly file: string | undefined;
  readonly warn: (line: string) => void;
}

/** `what` it is for: `key file /root/key.json`. PASSWORD_REQUIRED, WRONG_PASSWORD for one that is too short, USAGE. */
export async function findNewPassword(what: string, source: PasswordSource): Promise<Buffer> {
  const password = (await givenPassword(source.variable, source.file, source.warn)) ?? (await typedPassword(what));
  if (password === undefined) throw passwordRequired(what, source);
  if (password.length < passwordBytesMin) throw new CryptoError('WRONG_PASSWORD', `a password has at least ${passwordBytesMin} bytes`);
  return password;
}

/** One that exists. PASSWORD_REQUIRED where nobody can be asked. */
export async function findOldPassword(what: string, source: PasswordSource): Promise<Buffer> {
  const password = (await givenPassword(source.variable, source.file, source.warn)) ?? (await askOnTerminal(`password of ${what}: `));
  if (password === undefined) throw passwordRequired(what, source);
  return password;
}

async function typedPassword(what: string): Promise<Buffer | undefined> {
  const first = await askOnTerminal(`new password of ${what}: `);
  if (first === undefined) return undefined;
  const second = await askOnTerminal('the same again: ');
  if (second?.equals(first) !== true) throw new UsageError('the passwords differ; nothing was written');
  return first;
}

function passwordRequired(what: string, { variable, option }: PasswordSource): CryptoError {
  return new CryptoError('PASSWORD_REQUIRED', `${what} needs a password; set ${variable} or use ${option}`);
}
