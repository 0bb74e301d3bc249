/** What the system says about a connection, as an error of a store. */
import { codeOf, messageOf, PbsfsError, StoreError } from '../../errors.js';

const reasons: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection refused',
  ECONNRESET: 'the connection was reset',
  EPIPE: 'the connection was closed',
  ETIMEDOUT: 'no answer in time',
  ENOTFOUND: 'there is no host of this name',
  EAI_AGAIN: 'its name can not be looked up now',
  EHOSTUNREACH: 'no way to the host',
  ENETUNREACH: 'no way to its network',
};

/** `what` begins the message: `pbs.example.com:8007`. Errors of our own stay as they are. */
export function unreachable(what: string, cause: unknown): PbsfsError {
  if (cause instanceof PbsfsError) return cause;
  const code = codeOf(cause);
  const reason = code === undefined ? undefined : reasons[code];
  const text = reason === undefined ? messageOf(cause) || (code ?? 'unknown error') : `${reason} (${code})`;
  if (code?.startsWith('HPE_') === true) {
    return new StoreError('PROTOCOL', `${what} does not answer in HTTP: is it a Proxmox Backup Server (usually port 8007)?`, { cause });
  }
  if (code?.startsWith('ERR_SSL_') === true || code === 'EPROTO') {
    return new StoreError('PROTOCOL', `${what}: no TLS connection (${code}): is it a Proxmox Backup Server (usually port 8007)?`, { cause });
  }
  return new StoreError('UNREACHABLE', `${what} can not be reached: ${text}`, { cause });
}

export function noAnswer(what: string, ms: number): StoreError {
  return new StoreError('UNREACHABLE', `${what} did not answer within ${Math.ceil(ms / 1000)} s`);
}
