/** What opening a datastore on a server may ask the person at the terminal. */
import { UsageError } from '../errors.js';
import type { OpenOptions } from '../store/open-options.js';
import { parseTimeoutMs } from './timeout.js';
import { askOnTerminal, confirmOnTerminal, isAtTerminal } from './terminal.js';

export interface ServerWords {
  readonly fingerprint?: string | undefined;
  /** In seconds, as typed. */
  readonly timeout?: string | undefined;
}

/** Nobody is asked unless `ask`, and where nobody is. USAGE for a timeout that is none. */
export function openOptionsFor({ fingerprint, timeout }: ServerWords, warn: (line: string) => void, { ask }: { readonly ask: boolean }): OpenOptions {
  const questions = ask && isAtTerminal() ? { confirmFingerprint, askPassword } : {};
  return { environment: process.env, fingerprint, timeoutMs: timeout === undefined ? undefined : parseTimeoutMs(timeout), warn, ...questions };
}

async function confirmFingerprint(host: string, fingerprint: string): Promise<boolean> {
  const question = `The certificate of ${host} is not known. Its fingerprint is\n  ${fingerprint}\nIs it the server's? It is remembered then. (y/n) `;
  return (await confirmOnTerminal(question)) ?? false;
}

async function askPassword(user: string): Promise<string> {
  const typed = await askOnTerminal(`password of ${user}: `);
  if (typed === undefined) throw new UsageError(`there is no terminal to ask for the password of ${user}`);
  return typed.toString();
}
