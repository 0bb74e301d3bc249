/** GET `status`. Format: protocol, sections 8.1 and 8.2. */
import { codeOf } from '../../errors.js';
import type { JsonObject } from '../../format/json.js';
import type { BackupType, GroupName } from '../../format/snapshot-name.js';
import { lastCollection } from '../../store/local/garbage/collect.js';
import { owns, type Caller } from '../caller.js';
import { endpoint } from '../endpoint.js';
import type { ServedStore } from '../server-context.js';
import { gcStatusItem } from './garbage.js';
import { storeParameter } from './parameters.js';
import { forbidden, holds, namespacesBelow, storeOf } from './permissions.js';

export const statusEndpoint = endpoint({
  method: 'GET',
  path: '/admin/datastore/{store}/status',
  parameters: { ...storeParameter, verbose: { kind: 'boolean', optional: true } },
  run: async (call) => {
    const store = storeOf(call);
    const isTold = holds(call.caller, store, [], ['Audit', 'Backup']);
    if (!isTold && !call.caller.hasRightsBelow(store.name)) throw forbidden(store, [], ['Audit', 'Backup']);
    const space = isTold ? await spaceOf(store) : { total: 0, used: 0, avail: 0 };
    return { data: { ...space, ...(call.parameters.verbose === true && (await verbose(call.caller, store))) } };
  },
});

async function spaceOf({ datastore }: ServedStore): Promise<JsonObject> {
  const { bytes, bytesFree } = await datastore.space();
  return { total: bytes, used: bytes - bytesFree, avail: bytesFree };
}

async function verbose(caller: Caller, store: ServedStore): Promise<JsonObject> {
  const status = await lastCollection(store.path);
  return { counts: await counts(caller, store), 'gc-status': gcStatusItem(status) };
}

/** Of the groups that the caller may list. */
async function counts(caller: Caller, store: ServedStore): Promise<JsonObject> {
  const found: Partial<Record<BackupType, { groups: number; snapshots: number }>> = {};
  for await (const namespace of namespacesBelow(store.datastore, [], Infinity)) {
    const all = holds(caller, store, namespace, ['Audit']);
    if (!all && !holds(caller, store, namespace, ['Backup'])) continue;
    for (const group of await store.datastore.groups(namespace)) {
      if (!all && !owns(caller, (await store.datastore.groupFacts(group)).owner)) continue;
      const count = (found[group.type] ??= { groups: 0, snapshots: 0 });
      count.groups++;
      count.snapshots += await snapshotCount(store, group);
    }
  }
  return { ct: found.ct ?? null, host: found.host ?? null, vm: found.vm ?? null, other: null };
}

async function snapshotCount({ datastore }: ServedStore, group: GroupName): Promise<number> {
  try {
    return (await datastore.snapshots(group)).length;
  } catch (error) {
    if (codeOf(error) === 'NOT_FOUND') return 0;
    throw error;
  }
}
