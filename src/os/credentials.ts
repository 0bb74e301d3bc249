/** Format: protocol, section 3. Secrets from the environment: a variable, a descriptor, a file, a command, or a credential of systemd. */
import { execFile } from 'node:child_process';
import { createReadStream } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { StoreError, UsageError, codeOf, messageOf } from '../errors.js';
import { splitShellWords } from '../format/shell-words.js';
import { decodeText } from '../format/text.js';

const secretBytesMax = 64 * 1024;
const commandMsMax = 120_000;

/** The variables that findSecret() looks at, none of which is for other processes. */
export function secretVariables(variable: string): string[] {
  return [variable, ...['FD', 'FILE', 'CMD'].map((way) => `${variable}_${way}`)];
}

/** The first line of what the first one that is defined says, even if empty; `credential` names the file of systemd. USAGE, NOT_FOUND, NO_PERMISSION, LOGIN_FAILED. */
export async function findSecret(environment: NodeJS.ProcessEnv, variable: string, credential?: string): Promise<string | undefined> {
  const plain = environment[variable];
  if (plain !== undefined) return firstLine(plain);
  const fd = environment[`${variable}_FD`];
  if (fd !== undefined) return secretText(await readDescriptor(fd, `${variable}_FD`), `${variable}_FD`);
  const path = environment[`${variable}_FILE`];
  if (path !== undefined) return secretText(await readFileStart(path, `${variable}_FILE`), `${variable}_FILE`);
  const command = environment[`${variable}_CMD`];
  if (command !== undefined) return secretText(await runCommand(command, environment, `${variable}_CMD`), `${variable}_CMD`);
  return credential === undefined ? undefined : await systemdCredential(environment, credential);
}

/** Of what is no secret: the variable, or the credential. */
export async function plainSetting(environment: NodeJS.ProcessEnv, variable: string, credential: string): Promise<string | undefined> {
  return environment[variable] ?? (await systemdCredential(environment, credential));
}

async function systemdCredential(environment: NodeJS.ProcessEnv, name: string): Promise<string | undefined> {
  const directory = environment['CREDENTIALS_DIRECTORY'];
  if (directory === undefined || directory === '') return undefined;
  const file = `proxmox-backup-client.${name}`;
  try {
    return secretText(await readAll({ path: join(directory, file) }), file);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

async function readDescriptor(text: string, what: string): Promise<Buffer> {
  if (!/^\d{1,9}$/.test(text)) throw new UsageError(`${what} is not the number of a descriptor`);
  try {
    return await readAll({ path: '', fd: Number(text) });
  } catch (cause) {
    throw new UsageError(`${what}: descriptor ${text} can not be read: ${messageOf(cause)}`, { cause });
  }
}

async function readFileStart(path: string, what: string): Promise<Buffer> {
  try {
    return await readAll({ path });
  } catch (cause) {
    const code = codeOf(cause) === 'ENOENT' ? 'NOT_FOUND' : codeOf(cause) === 'EACCES' ? 'NO_PERMISSION' : 'LOGIN_FAILED';
    throw new StoreError(code, `${what}: ${path} can not be read: ${messageOf(cause)}`, { cause });
  }
}

/** A stream, as it may be a pipe. */
async function readAll({ path, fd }: { path: string; fd?: number }): Promise<Buffer> {
  const parts: Buffer[] = [];
  let length = 0;
  for await (const part of createReadStream(path, fd === undefined ? {} : { fd, autoClose: false })) {
    parts.push(part as Buffer);
    length += (part as Buffer).length;
    if (length > secretBytesMax) break;
  }
  return Buffer.concat(parts);
}

/** Its output is not part of any message: it is the secret. */
async function runCommand(text: string, environment: NodeJS.ProcessEnv, what: string): Promise<Buffer> {
  const [program, ...words] = splitShellWords(text);
  if (program === undefined) throw new UsageError(`${what} names no command`);
  try {
    const { stdout } = await promisify(execFile)(program, words, { env: environment, encoding: 'buffer', maxBuffer: secretBytesMax, timeout: commandMsMax });
    return stdout;
  } catch (cause) {
    const { code } = cause as { code?: unknown };
    throw new StoreError('LOGIN_FAILED', `${what}: ${program} failed (${typeof code === 'number' ? `status ${code}` : (codeOf(cause) ?? 'ended by a signal')})`);
  }
}

function secretText(bytes: Buffer, what: string): string {
  return firstLine(decodeText(bytes, what, secretBytesMax));
}

function firstLine(text: string): string {
  return (text.split('\n', 1)[0] ?? '').replace(/\r$/, '');
}
