/** Which datastores a server has for who asks. Format: protocol, sections 8.1 and 8.2. */
import { text } from '../../format/json-shape.js';
import { checked, rows } from './listing-answers.js';
import type { ServerApi } from './server-api.js';

export interface ListedStore {
  readonly name: string;
  /** In a mode in which it can't be written to, or not used at all. */
  readonly isInMaintenance: boolean;
}

export async function listedStores(api: ServerApi): Promise<readonly ListedStore[]> {
  const answer = rows(await api.call('GET', '/admin/datastore'), 'datastores');
  return answer.map((row) => ({
    name: checked('datastores', () => text(row['store'], 'store')),
    isInMaintenance: (row['maintenance'] ?? null) !== null,
  }));
}
