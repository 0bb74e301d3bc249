/** A server on loopback, in this process, with users; it ends with the test file. */
import { join } from 'node:path';
import { afterAll } from 'vitest';
import { parseGrantPath, type RoleName } from '../../src/server/access/roles.js';
import { hashSecret } from '../../src/server/access/secret-hash.js';
import { changeUsers } from '../../src/server/access/users-file.js';
import type { UserRecord } from '../../src/server/access/users.js';
import type { AccessRecord } from '../../src/server/access-log.js';
import type { AuditRecord } from '../../src/server/audit-log.js';
import type { Timeouts } from '../../src/server/listener.js';
import { openOffers, type Offers } from '../../src/server/offers.js';
import { startServer, type RunningServer } from '../../src/server/server.js';
import { ensureIdentity } from '../../src/server/server-identity.js';
import { openLocalDatastore } from '../../src/store/local/local-datastore.js';
import { scratchDirectory } from './scratch.js';

export interface ServedUser {
  readonly password?: string;
  readonly roles?: Readonly<Record<string, RoleName>>;
  /** Secrets and roles by name. */
  readonly tokens?: Readonly<Record<string, { readonly secret: string; readonly roles?: Readonly<Record<string, RoleName>> }>>;
}

export interface ServedOptions {
  /** Directories by name. */
  readonly stores?: Readonly<Record<string, string>>;
  readonly users?: Readonly<Record<string, ServedUser>>;
  readonly offers?: Pick<Offers, 'endpoints' | 'protocols'>;
  readonly timeouts?: Partial<Timeouts>;
}

export interface Served {
  readonly server: RunningServer;
  readonly port: number;
  readonly fingerprint: string;
  /** PEM. */
  readonly cert: string;
  readonly usersPath: string;
  readonly audit: AuditRecord[];
  readonly accesses: AccessRecord[];
  readonly lines: string[];
}

const running: (() => Promise<void>)[] = [];
afterAll(async () => {
  for (const end of running.splice(0)) await end();
});

export async function serveStores({ stores = {}, users = {}, offers, timeouts }: ServedOptions): Promise<Served> {
  const directory = scratchDirectory();
  const usersPath = join(directory, 'users.json');
  const records = await Promise.all(Object.entries(users).map(async ([id, user]) => [id, await recordOf(user)] as const));
  await changeUsers(usersPath, () => new Map(records));
  const [audit, accesses, lines]: [AuditRecord[], AccessRecord[], string[]] = [[], [], []];
  const log = (line: string): void => void lines.push(line);
  const identity = await ensureIdentity(join(directory, 'server.pem'), join(directory, 'server-key.pem'), log);
  const opened = await Promise.all(Object.entries(stores).map(async ([name, path]) => ({ name, path, datastore: await openLocalDatastore(path) })));
  const own = offers === undefined ? openOffers() : undefined;
  const server = await startServer({
    stores: opened,
    host: '127.0.0.1',
    port: 0,
    identity,
    usersPath,
    offers: offers ?? own ?? { endpoints: [], protocols: [] },
    audit: { write: (record) => void audit.push(record) },
    accessLog: { write: (record) => void accesses.push(record) },
    log,
    ...(timeouts !== undefined && { timeouts }),
  });
  running.push(async () => {
    await server.drain(0);
    await own?.close();
    for (const { datastore } of opened) await datastore.close();
  });
  return { server, port: server.port, fingerprint: identity.fingerprint, cert: identity.cert.toString(), usersPath, audit, accesses, lines };
}

export async function recordOf({ password, roles, tokens = {} }: ServedUser): Promise<UserRecord> {
  const entries = await Promise.all(
    Object.entries(tokens).map(async ([name, token]) => [name, { secret: await hashSecret(token.secret), grants: grantsOf(token.roles) }] as const),
  );
  return { password: password === undefined ? undefined : await hashSecret(password), grants: grantsOf(roles), tokens: new Map(entries) };
}

function grantsOf(roles: Readonly<Record<string, RoleName>> = {}): UserRecord['grants'] {
  return Object.entries(roles).map(([path, role]) => ({ path: parseGrantPath(path), role, propagate: true }));
}
