/** Where a password comes from: the environment, a file, or the person at the terminal. Never the command line, which all can read. */
import { CryptoError } from '../errors.js';
import { findSecret } from '../os/credentials.js';
import { readSecretFile, type FoundKeyFile } from './keys.js';
import { askOnTerminal } from './terminal.js';

export const passwordVariable = 'PBS_ENCRYPTION_PASSWORD';
const passwordCredential = 'encryption-password';

/** The password for those of `found` that need one; undefined if none does. PASSWORD_REQUIRED where nobody can be asked. */
export async function findPassword(
  found: readonly FoundKeyFile[],
  passwordFile: string | undefined,
  warn: (line: string) => void,
): Promise<Uint8Array | undefined> {
  const first = found.find(({ file }) => file.kdf.type !== 'none');
  if (first === undefined) return undefined;
  const given = await givenPassword(passwordVariable, passwordFile, warn);
  if (given !== undefined) return given;
  const hint = first.file.hint === undefined ? '' : ` (hint: ${JSON.stringify(first.file.hint)})`;
  const typed = await askOnTerminal(`password of ${first.path}${hint}: `);
  if (typed !== undefined) return typed;
  throw new CryptoError('PASSWORD_REQUIRED', `${first.path} needs a password${hint}; set ${passwordVariable} or use --password-file`);
}

/** What the environment says, else the first line of a file. NOT_FOUND, NO_PERMISSION, BAD_KEY_FILE; whatever findSecret() throws. */
export async function givenPassword(variable: string, file: string | undefined, warn: (line: string) => void): Promise<Buffer | undefined> {
  const secret = await findSecret(process.env, variable, variable === passwordVariable ? passwordCredential : undefined);
  if (secret !== undefined) return Buffer.from(secret);
  return file === undefined ? undefined : firstLine(await readSecretFile(file, 'password file', warn));
}

/** Without the line's end that editors add. */
function firstLine(bytes: Buffer): Buffer {
  const end = bytes.indexOf(0x0a);
  const line = end === -1 ? bytes : bytes.subarray(0, end);
  return line.at(-1) === 0x0d ? line.subarray(0, -1) : line;
}
