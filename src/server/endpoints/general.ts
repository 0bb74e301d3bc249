/** What a client asks of any server: is it there, which version is it, what does it have. Format: protocol, sections 8.1 and 8.2. */
import type { JsonObject } from '../../format/json.js';
import { endpoint, type Endpoint } from '../endpoint.js';
import type { Caller } from '../caller.js';
import type { ServedStore, ServerContext } from '../server-context.js';

/** Of the protocol that is spoken. */
const version = { version: '4.1', release: '1', repoid: 'pbsfs' };

const ping = endpoint({
  method: 'GET',
  path: '/ping',
  anonymous: true,
  parameters: {},
  run: () => Promise.resolve({ data: { pong: true } }),
});

const versionEndpoint = endpoint({
  method: 'GET',
  path: '/version',
  parameters: {},
  run: () => Promise.resolve({ data: version }),
});

const datastores = endpoint({
  method: 'GET',
  path: '/admin/datastore',
  parameters: {},
  run: ({ context, caller }) => Promise.resolve({ data: visibleStores(context, caller).map(({ name }) => ({ store: name, comment: null, 'mount-status': 'nonremovable' })) }),
});

const usage = endpoint({
  method: 'GET',
  path: '/status/datastore-usage',
  parameters: {},
  run: async ({ context, caller }) => ({ data: await Promise.all(visibleStores(context, caller).map((store) => usageOf(store, caller))) }),
});

/** Those where somebody has some right, be it in a namespace only. */
function visibleStores({ stores }: ServerContext, caller: Caller): ServedStore[] {
  const all = [...stores.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  return all.filter(({ name }) => caller.hasRightsBelow(name));
}

async function usageOf({ name, datastore }: ServedStore, caller: Caller): Promise<JsonObject> {
  const rights = caller.privilegesOn(name, []);
  if (!rights.has('Datastore.Audit') && !rights.has('Datastore.Backup')) return { store: name, total: 0, used: 0, avail: 0, 'mount-status': 'nonremovable' };
  const { bytes, bytesFree } = await datastore.space();
  return { store: name, total: bytes, used: bytes - bytesFree, avail: bytesFree, 'mount-status': 'nonremovable' };
}

export const generalEndpoints: readonly Endpoint[] = [ping, versionEndpoint, datastores, usage];
