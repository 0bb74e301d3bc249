/** What `pbsfs serve` is asked for. */
import { basename, dirname, join, resolve } from 'node:path';
import { UsageError } from '../../errors.js';
import { isSafeId } from '../../format/safe-id.js';
import { defaultUsersPath } from '../../server/access/users-file.js';
import type { ListenAddress } from '../../server/listen.js';
import type { ServeRequest } from '../../server/run-server.js';

export interface ServeValues {
  readonly store?: string[];
  readonly name?: string;
  readonly listen?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly users?: string;
  readonly 'audit-log'?: string;
  readonly 'access-log'?: string;
  readonly metrics?: string;
  readonly 'drain-timeout'?: string;
}

const defaultListen = '127.0.0.1:8007';
const defaultDrainTimeoutS = 60;
const drainTimeoutMaxS = 86_400;
const nameLengthMin = 3;
const nameLengthMax = 32;

/** USAGE. */
export function serverRequest(values: ServeValues, directory: string | undefined): ServeRequest {
  const usersPath = resolve(values.users ?? defaultUsersPath());
  if ((values.cert === undefined) !== (values.key === undefined)) throw new UsageError('--cert and --key go together: a certificate, and its private key');
  return {
    stores: storesOf(values, directory),
    listen: parseListen(values.listen ?? defaultListen, '--listen'),
    usersPath,
    certPath: values.cert ?? join(dirname(usersPath), 'server.pem'),
    keyPath: values.key ?? join(dirname(usersPath), 'server-key.pem'),
    ownCertificate: values.cert === undefined,
    auditLog: values['audit-log'],
    accessLog: values['access-log'],
    metrics: values.metrics === undefined ? undefined : parseListen(values.metrics, '--metrics'),
    drainTimeoutMs: 1000 * drainTimeoutOf(values['drain-timeout']),
  };
}

function storesOf({ store = [], name }: ServeValues, directory: string | undefined): ServeRequest['stores'] {
  const stores = store.map((text) => {
    const at = text.indexOf('=');
    if (at === -1) throw new UsageError(`--store ${text}: write NAME=DIR`);
    return { name: text.slice(0, at), path: resolve(text.slice(at + 1)) };
  });
  if (directory === undefined && name !== undefined) throw new UsageError('--name is that of DIR, which is missing');
  if (directory !== undefined) stores.push({ name: name ?? basename(resolve(directory)), path: resolve(directory) });
  if (stores.length === 0) throw new UsageError('there is nothing to serve; give a DIR, or --store NAME=DIR');
  for (const { name: each, path } of stores) checkName(each, path);
  const twice = stores.find(({ name: each }, i) => stores.findIndex((other) => other.name === each) !== i);
  if (twice !== undefined) throw new UsageError(`two datastores would be called ${twice.name}; give them names with --store NAME=DIR`);
  return stores;
}

function checkName(name: string, path: string): void {
  if (isSafeId(name) && name.length >= nameLengthMin && name.length <= nameLengthMax) return;
  throw new UsageError(`'${name}' can't be the name of datastore ${path}: it has ${nameLengthMin} to ${nameLengthMax} letters, digits, dots, underscores or dashes; give it one with --store NAME=DIR`);
}

/** `127.0.0.1:8007`, `[::]:8007`, `localhost:8007`. */
export function parseListen(text: string, option: string): ListenAddress {
  const [, bracketed, plain, port] = /^(?:\[([0-9A-Fa-f:.%a-z]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text) ?? [];
  const host = bracketed ?? plain;
  if (host === undefined || Number(port) > 65_535) throw new UsageError(`${option} ${text}: write an address and a port like 127.0.0.1:8007 or [::]:8007`);
  return { host, port: Number(port) };
}

function drainTimeoutOf(text: string | undefined): number {
  if (text === undefined) return defaultDrainTimeoutS;
  if (!/^\d{1,6}$/.test(text) || Number(text) > drainTimeoutMaxS) throw new UsageError(`--drain-timeout ${text}: write seconds, at most ${drainTimeoutMaxS}`);
  return Number(text);
}
