/** What all connections of a server share. */
import type { Datastore } from '../store/datastore.js';
import type { UserSource } from './access/users.js';
import type { AuditLog } from './audit-log.js';
import type { Metrics } from './metrics.js';
import type { Tasks } from './tasks.js';

export interface ServedStore {
  readonly name: string;
  /** Real path of the datastore. */
  readonly path: string;
  readonly datastore: Datastore;
}

export interface ServerContext {
  readonly stores: ReadonlyMap<string, ServedStore>;
  readonly users: UserSource;
  readonly tasks: Tasks;
  readonly audit: AuditLog;
  readonly metrics: Metrics;
  /** Of the server itself, for its operator. */
  readonly log: (line: string) => void;
}
