/** A server on loopback with the users that tests of its sessions need. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { onTestFinished } from 'vitest';
import { hashSecret } from '../../src/server/access/secret-hash.js';
import type { AuditRecord } from '../../src/server/audit-log.js';
import { openOffers } from '../../src/server/offers.js';
import { startServer, type RunningServer } from '../../src/server/server.js';
import { openLocalDatastore } from '../../src/store/local/local-datastore.js';
import { selfSignedCertificate } from './certificate.js';
import { emptyStore } from './new-snapshots.js';
import { scratchDirectory } from './scratch.js';

export const password = 'Geheim!';
const certificate = selfSignedCertificate();
const roles = [
  ['backup@pbs', 'DatastoreBackup'],
  ['other@pbs', 'DatastoreBackup'],
  ['reader@pbs', 'DatastoreReader'],
  ['power@pbs', 'DatastorePowerUser'],
  ['admin@pbs', 'DatastoreAdmin'],
] as const;
let users: string | undefined;

export async function usersPath(): Promise<string> {
  if (users !== undefined) return users;
  const path = join(scratchDirectory(), 'users.json');
  const secret = await hashSecret(password);
  const records = roles.map(([id, role]) => [
    id,
    { password: secret, roles: [{ path: '/datastore', role }], tokens: { t01: { secret, roles: [{ path: '/datastore', role }] } } },
  ]);
  writeFileSync(path, JSON.stringify({ version: 1, users: { ...Object.fromEntries(records), 'nobody@pbs': { password: secret } } }));
  chmodSync(path, 0o600);
  return (users = path);
}

export interface TestServer {
  readonly server: RunningServer;
  readonly port: number;
  readonly fingerprint: string;
  readonly store: string;
  readonly audit: AuditRecord[];
  readonly lines: string[];
}

/** Ended when the test ends. Its datastore is `store1`. */
export async function startTestServer(store = emptyStore()): Promise<TestServer> {
  const audit: AuditRecord[] = [];
  const lines: string[] = [];
  const datastore = await openLocalDatastore(store);
  const offers = openOffers();
  const server = await startServer({
    stores: [{ name: 'store1', path: store, datastore }],
    host: '127.0.0.1',
    port: 0,
    identity: { cert: Buffer.from(certificate.cert), key: Buffer.from(certificate.key), fingerprint: certificate.fingerprint },
    usersPath: await usersPath(),
    offers,
    audit: { write: (record) => audit.push(record) },
    log: (line) => lines.push(line),
  });
  onTestFinished(async () => {
    await server.drain(0);
    await offers.close();
    await datastore.close();
  });
  return { server, port: server.port, fingerprint: certificate.fingerprint, store, audit, lines };
}

export interface ServerProcess {
  readonly port: number;
  /** What it logged. */
  readonly lines: readonly string[];
  /** The most memory that it had so far, and its open sessions. */
  memory(): Promise<{ bytes: number; sessions: number }>;
}

/** Ended when the test ends. */
export async function startServerProcess(store: string): Promise<ServerProcess> {
  const program = fileURLToPath(new URL('session-server-program.js', import.meta.url));
  const child = spawn(process.execPath, [program, store, await usersPath()], { stdio: ['pipe', 'pipe', 'pipe'] });
  const logged: string[] = [];
  createInterface({ input: child.stderr }).on('line', (line) => void logged.push(line));
  onTestFinished(async () => {
    const ended = once(child, 'exit');
    child.stdin.end();
    await ended;
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const next = async (): Promise<string> => ((await lines.next()) as IteratorResult<string, string>).value;
  return {
    port: Number(await next()),
    lines: logged,
    memory: async () => {
      child.stdin.write('memory\n');
      const [bytes = 0, sessions = 0] = (await next()).split(' ').map(Number);
      return { bytes, sessions };
    },
  };
}
