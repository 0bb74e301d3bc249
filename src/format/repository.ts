/** Format: protocol, sections 1 and 2. The name of a datastore on a server: `[[user@realm[!token]@]host:][port:]datastore`. */
import { FormatError } from '../errors.js';
import { parseAuthId } from './auth-id.js';
import { isSafeId } from './safe-id.js';

export interface Repository {
  /** `user@realm` or `user@realm!token`; `root@pam` unless it is given. */
  readonly authId: string;
  /** An IPv6 address keeps its brackets. */
  readonly host: string;
  readonly port: number;
  readonly store: string;
}

export const defaultPort = 8007;
const defaultAuthId = 'root@pam';
const defaultHost = 'localhost';
const repositoryLengthMax = 256;
const portMax = 65535;

const hostPattern = /^(?:[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+(?:%[A-Za-z0-9]+)?\])$/;

/** Each part that is there is checked. */
export interface RepositoryParts {
  readonly authId?: string | undefined;
  readonly host?: string | undefined;
  readonly port?: string | undefined;
  readonly store: string;
}

/** Whether what a person gives as the place of a datastore names a server: then it has a colon, and is no path. */
export function isRepositoryText(location: string): boolean {
  return location.includes(':') && !location.includes('/');
}

/** Throws BAD_NAME, which says what is wrong with it. */
export function parseRepository(text: string): Repository {
  if (text.length > repositoryLengthMax) throw refusal(text.slice(0, 32) + '...', `it is longer than ${repositoryLengthMax} characters`);
  const at = text.lastIndexOf('@');
  const rest = text.slice(at + 1);
  const [, host, port, store = rest] = /^(?:(\[[^\]]*\]|[^:]*):)?(?:([^:]*):)?([^:]*)$/.exec(rest) ?? [];
  if (store.includes(':')) throw refusal(text, 'it has too many colons; an IPv6 address needs brackets');
  if (at !== -1 && host === undefined) throw refusal(text, 'a user needs a host');
  return repositoryOf({ authId: at === -1 ? undefined : text.slice(0, at), host, port, store }, text);
}

/** `text`: what the message of BAD_NAME shows. */
export function repositoryOf({ authId = defaultAuthId, host = defaultHost, port = String(defaultPort), store }: RepositoryParts, text: string): Repository {
  parseAuthId(authId);
  if (!hostPattern.test(host)) throw refusal(text, `'${host}' is not a host`);
  if (!/^\d{1,5}$/.test(port) || Number(port) > portMax || Number(port) === 0) throw refusal(text, `'${port}' is not a port`);
  if (!isSafeId(store)) throw refusal(text, `'${store}' is not the name of a datastore`);
  return { authId, host, port: Number(port), store };
}

/** With all its parts: `root@pam@localhost:8007:store1`. */
export function formatRepository({ authId, host, port, store }: Repository): string {
  return `${authId}@${host}:${port}:${store}`;
}

function refusal(text: string, fault: string): FormatError {
  return new FormatError('BAD_NAME', `${JSON.stringify(text)} does not name a datastore on a server like 'backup@pbs@pbs.example.com:8007:store1': ${fault}`);
}
