/** What a mount needs to be let in by a server. It is found where a person can be asked, and goes to the daemon with the request. */
import { parseRepository } from '../format/repository.js';
import { findSecret } from '../os/credentials.js';
import type { OpenOptions } from '../store/open-options.js';
import type { ServerAccess } from './mount-request.js';
import { openOptionsFor } from './open-options.js';

export const serverPasswordVariable = 'PBS_PASSWORD';

/**
 * With the password that the environment names, or that is typed. At a terminal the server is asked once, so that questions come before
 * the daemon leaves it. Whatever openServer() throws.
 */
export async function prepareServer(repository: string, access: ServerAccess, warn: (line: string) => void): Promise<ServerAccess> {
  const password = await findSecret(process.env, serverPasswordVariable, 'password');
  const known: ServerAccess = { ...access, ...(password !== undefined && { password }) };
  const options = openOptionsFor({}, warn, { ask: true });
  return options.askPassword === undefined ? known : await tried(repository, known, options);
}

async function tried(repository: string, access: ServerAccess, { askPassword, confirmFingerprint, warn }: OpenOptions): Promise<ServerAccess> {
  const { openServer } = await import('../store/remote/server.js');
  const learned: { password?: string; fingerprint?: string } = {};
  const server = openServer(parseRepository(repository), {
    ...openOptionsOf(access, warn),
    askPassword: askPassword && (async (user) => (learned.password = await askPassword(user))),
    confirmFingerprint:
      confirmFingerprint &&
      (async (host, fingerprint) => {
        const isAccepted = await confirmFingerprint(host, fingerprint);
        if (isAccepted) learned.fingerprint = fingerprint;
        return isAccepted;
      }),
  });
  try {
    await server.logIn();
  } finally {
    await server.close();
  }
  return { ...access, ...learned };
}

/** Of a mount, which asks nobody. */
export function openOptionsOf(access: ServerAccess | undefined, warn: (line: string) => void): OpenOptions {
  const { password, fingerprint, timeoutMs } = access ?? {};
  const environment = password === undefined ? process.env : { ...process.env, [serverPasswordVariable]: password };
  return { environment, fingerprint, timeoutMs, isBounded: true, warn };
}
