/** A server for datastores: connections, logins, the JSON API and HTTP/2 sessions put together. */
import { dirname, join } from 'node:path';
import { Authenticator } from './access/authenticator.js';
import { WatchedUsers } from './access/users-file.js';
import { readTicketKey, Tickets } from './access/tickets.js';
import type { AccessLog } from './access-log.js';
import { Api } from './api.js';
import type { AuditLog } from './audit-log.js';
import { accessEndpoints } from './endpoints/access.js';
import { generalEndpoints } from './endpoints/general.js';
import { taskEndpoints } from './endpoints/tasks.js';
import { Listener, type Timeouts } from './listener.js';
import { Metrics } from './metrics.js';
import type { ServedStore, ServerContext } from './server-context.js';
import type { ServerIdentity } from './server-identity.js';
import type { Offers } from './offers.js';
import { OpenSessions } from './open-sessions.js';
import { TaskList } from './task-list.js';

export interface ServerOptions {
  readonly stores: readonly ServedStore[];
  readonly host: string;
  /** 0: any that is free. */
  readonly port: number;
  readonly identity: ServerIdentity;
  /** The key of tickets lies beside it. */
  readonly usersPath: string;
  readonly offers: Pick<Offers, 'endpoints' | 'protocols'>;
  readonly audit: AuditLog;
  readonly accessLog?: AccessLog | undefined;
  /** For the operator. */
  readonly log: (line: string) => void;
  readonly timeouts?: Partial<Timeouts>;
}

export interface RunningServer {
  readonly port: number;
  readonly context: ServerContext;
  readonly sessionCount: () => number;
  /** For connections from now on. */
  useIdentity(identity: ServerIdentity): void;
  /** Takes nothing new; resolves when what runs is over, or was broken off after `timeoutMs`. */
  drain(timeoutMs: number): Promise<void>;
}

/** Listens when it resolves. NOT_FOUND and NO_PERMISSION for the users file; EADDRINUSE and the like. */
export async function startServer(options: ServerOptions): Promise<RunningServer> {
  const { log, audit, identity, host, port, usersPath } = options;
  const users = await WatchedUsers.open(usersPath, log);
  const tickets = new Tickets(await readTicketKey(join(dirname(usersPath), 'ticket.key')));
  const tasks = new TaskList();
  const metrics = new Metrics();
  const context: ServerContext = { stores: new Map(options.stores.map((store) => [store.name, store])), users, tasks, audit, metrics, log };
  const authenticator = new Authenticator(users, tickets);
  const sessions = new OpenSessions(options.offers.protocols, context);
  const endpoints = [...generalEndpoints, ...accessEndpoints(authenticator), ...taskEndpoints(tasks), ...options.offers.endpoints];
  const api = new Api({ context, authenticator, endpoints, sessions, accessLog: options.accessLog });
  const listener = await Listener.open({
    host,
    port,
    cert: identity.cert,
    key: identity.key,
    metrics,
    handle: (exchange) => api.handle(exchange),
    ...(options.timeouts !== undefined && { timeouts: options.timeouts }),
  });
  return {
    port: listener.address.port,
    context,
    sessionCount: () => sessions.count,
    useIdentity({ cert, key }) {
      listener.useCertificate(cert, key);
    },
    async drain(timeoutMs) {
      listener.stop();
      await Promise.all([sessions.drain(timeoutMs), api.idle(timeoutMs)]);
      await tasks.abortAll();
      listener.closeAll();
    },
  };
}
