/** GET and POST `gc`. Format: protocol, sections 8.1 and 8.2. */
import type { GcStatus } from '../../format/gc-status.js';
import { encodeGcStatus } from '../../format/gc-status.js';
import type { JsonObject } from '../../format/json.js';
import { lastCollection } from '../../store/local/garbage/collect.js';
import { endpoint } from '../endpoint.js';
import { forbiddenDelayMs, Refusal } from '../refusal.js';
import type { ServedStore } from '../server-context.js';
import { administrationOf, audited } from './audited.js';
import { storeParameter } from './parameters.js';
import { scopeIn, storeOf } from './permissions.js';

const running = new WeakSet<ServedStore>();

const none: GcStatus = {
  upid: undefined,
  indexFileCount: 0,
  indexDataBytes: 0,
  diskBytes: 0,
  diskChunks: 0,
  removedBytes: 0,
  removedChunks: 0,
  pendingBytes: 0,
  pendingChunks: 0,
  removedBad: 0,
  stillBad: 0,
};

/** Zeros before the first collection. */
export function gcStatusItem(status: GcStatus = none): JsonObject {
  return JSON.parse(encodeGcStatus(status).toString()) as JsonObject;
}

export const gcStatusEndpoint = endpoint({
  method: 'GET',
  path: '/admin/datastore/{store}/gc',
  parameters: storeParameter,
  run: async (call) => {
    const store = storeOf(call);
    scopeIn(call.caller, store, [], { full: ['Audit'], delayMs: forbiddenDelayMs });
    return { data: { store: store.name, ...gcStatusItem(await lastCollection(store.path)) } };
  },
});

export const gcStartEndpoint = endpoint({
  method: 'POST',
  path: '/admin/datastore/{store}/gc',
  parameters: storeParameter,
  run: async (call) => {
    const store = storeOf(call);
    return await audited(call, 'gc', store, '', async () => {
      scopeIn(call.caller, store, [], { full: ['Modify'], delayMs: forbiddenDelayMs });
      const administration = await administrationOf(call, store);
      if (administration.collectGarbage === undefined) throw new Refusal(501, 'garbage cannot be collected in this datastore');
      if (running.has(store)) throw new Refusal(400, `a garbage collection of ${store.name} is running`);
      running.add(store);
      const { upid } = call.context.tasks.start('garbage_collection', store.name, call.caller, async (task) => {
        try {
          await administration.collectGarbage?.({ log: task.log.bind(task), signal: task.signal, upid: task.upid });
          return undefined;
        } finally {
          running.delete(store);
        }
      });
      return { data: upid };
    });
  },
});
