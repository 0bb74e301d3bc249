/** A server for the life of a process: it tells when it is ready, and ends by signals, after what runs has come to its end. */
import { realpath } from 'node:fs/promises';
import { messageOf } from '../errors.js';
import { notifyReady, notifyStopping } from '../mount/service-manager.js';
import { openLocalDatastore } from '../store/local/local-datastore.js';
import { readUsers } from './access/users-file.js';
import type { AuditLog } from './audit-log.js';
import { placeText, type ListenAddress } from './listen.js';
import { LineLog } from './log-files.js';
import { listenForMetrics } from './metrics-listener.js';
import { openOffers, type Offers } from './offers.js';
import { startServer, type RunningServer } from './server.js';
import type { ServedStore } from './server-context.js';
import { ensureIdentity, readIdentity, type ServerIdentity } from './server-identity.js';

export interface ServeRequest {
  readonly stores: readonly { readonly name: string; readonly path: string }[];
  readonly listen: ListenAddress;
  readonly usersPath: string;
  readonly certPath: string;
  readonly keyPath: string;
  /** Whether it is made if it is missing. */
  readonly ownCertificate: boolean;
  /** Undefined: the log of the server. */
  readonly auditLog: string | undefined;
  readonly accessLog: string | undefined;
  readonly metrics: ListenAddress | undefined;
  readonly drainTimeoutMs: number;
}

const signals = ['SIGTERM', 'SIGINT'] as const;
/** A signal that comes sooner is the first one once more: npm passes on what the terminal has sent to all. */
const repeatMs = 500;

/** Resolves when the server has ended. */
export async function runServer(request: ServeRequest, log: (line: string) => void): Promise<void> {
  const stores = await openStores(request.stores);
  const offers = openOffers();
  try {
    await serve(request, stores, offers, log);
  } finally {
    await offers.close();
    for (const { datastore } of stores) await datastore.close();
  }
}

async function serve(request: ServeRequest, stores: readonly ServedStore[], offers: Offers, log: (line: string) => void): Promise<void> {
  const { listen, usersPath } = request;
  // Before a certificate is made beside them.
  await readUsers(usersPath);
  const identity = await identityOf(request, log);
  const [auditFile, accessLog] = [request.auditLog, request.accessLog].map((path) => (path === undefined ? undefined : new LineLog(path, log)));
  const server = await startServer({ stores, host: listen.host, port: listen.port, identity, usersPath, offers, audit: auditTo(auditFile, log), accessLog, log });
  const metrics = request.metrics === undefined ? undefined : await listenForMetrics(request.metrics, server.context.metrics);
  const place = placeText({ ...listen, port: server.port });
  log(`${stores.map(({ name, path }) => `${path} as ${name}`).join(', ')} on https://${place}`);
  log(`the fingerprint of its certificate is ${identity.fingerprint}`);
  if (request.metrics !== undefined && metrics !== undefined) log(`metrics are on http://${placeText({ ...request.metrics, port: metrics.port })}/metrics`);
  const onReload = (): void => void reload(request, server, [auditFile, accessLog], log);
  process.on('SIGHUP', onReload);
  await notifyReady(`serving on ${place}`, log);
  await untilSignal(server, request.drainTimeoutMs, log);
  process.off('SIGHUP', onReload);
  await metrics?.close();
}

async function identityOf({ ownCertificate, certPath, keyPath }: ServeRequest, log: (line: string) => void): Promise<ServerIdentity> {
  return ownCertificate ? await ensureIdentity(certPath, keyPath, log) : await readIdentity(certPath, keyPath);
}

/** A certificate that was renewed, and logs that were rotated. What can't be used is told, and the one before stays. */
async function reload(request: ServeRequest, server: RunningServer, logs: readonly (LineLog | undefined)[], log: (line: string) => void): Promise<void> {
  for (const each of logs) each?.reopen();
  try {
    const identity = await identityOf(request, log);
    server.useIdentity(identity);
    log(`SIGHUP: logs are opened anew; the fingerprint of the certificate is ${identity.fingerprint}`);
  } catch (error) {
    log(`SIGHUP: the certificate stays: ${messageOf(error)}`);
  }
}

async function openStores(stores: ServeRequest['stores']): Promise<readonly ServedStore[]> {
  return await Promise.all(stores.map(async ({ name, path }) => ({ name, path: await realpath(path).catch(() => path), datastore: await openLocalDatastore(path) })));
}

function auditTo(file: LineLog | undefined, log: (line: string) => void): AuditLog {
  return {
    write(record) {
      const line = { time: new Date().toISOString(), ...record };
      if (file === undefined) log(`audit: ${JSON.stringify(line)}`);
      else file.write(line);
    },
  };
}

/** The first signal lets run what runs, the second breaks it off, and a third one ends the process where it stands. */
async function untilSignal(server: RunningServer, drainTimeoutMs: number, log: (line: string) => void): Promise<void> {
  let signalledMs: number | undefined;
  await new Promise<void>((resolve) => {
    const onSignal = (signal: string): void => {
      if (signalledMs === undefined) {
        signalledMs = performance.now();
        log(`${signal}: ending, after ${server.sessionCount()} sessions that are open; a second signal breaks them off`);
        void notifyStopping('ending', log);
        void server.drain(drainTimeoutMs).then(resolve);
      } else if (performance.now() - signalledMs > repeatMs) {
        log(`${signal} again: ending now`);
        for (const each of signals) process.off(each, onSignal);
        void server.drain(0).then(resolve);
      }
    };
    for (const signal of signals) process.on(signal, onSignal);
  });
}
