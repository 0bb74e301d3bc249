/** What a server of this program has for its datastores. */
import type { Endpoint } from './endpoint.js';
import { backupProtocol } from './sessions/backup/backup-protocol.js';
import { readerProtocol } from './sessions/reader/reader-protocol.js';
import type { Protocol } from './upgrade.js';

export const storeEndpoints: readonly Endpoint[] = [];

export const protocols: readonly Protocol[] = [backupProtocol(), readerProtocol()];
