/** What a server of this program has for its datastores: calls, and protocols with the threads that they share. */
import { ChunkInserter } from '../codec/chunk-inserter.js';
import { datastoreEndpoints } from './datastore/endpoints.js';
import type { Endpoint } from './endpoint.js';
import { backupProtocol } from './sessions/backup/backup-protocol.js';
import { readerProtocol } from './sessions/reader/reader-protocol.js';
import type { Protocol } from './upgrade.js';

export interface Offers {
  readonly endpoints: readonly Endpoint[];
  readonly protocols: readonly Protocol[];
  /** Ends the threads. */
  close(): Promise<void>;
}

export function openOffers(): Offers {
  const inserter = new ChunkInserter();
  return { endpoints: datastoreEndpoints, protocols: [backupProtocol(inserter), readerProtocol()], close: () => inserter.close() };
}
