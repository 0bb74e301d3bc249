/** DELETE `snapshots` and `groups`. Format: protocol, section 8.1, Appendix C.2. */
import type { JsonObject } from '../../format/json.js';
import { groupPath, snapshotPath } from '../../format/snapshot-name.js';
import type { RemovedCounts } from '../../store/administration.js';
import { endpoint } from '../endpoint.js';
import { administrationOf, audited } from './audited.js';
import { groupOf, groupParameters, snapshotOf, snapshotParameters } from './parameters.js';
import { allow, storeOf } from './permissions.js';

const removing = { full: ['Modify'], limited: ['Prune'] } as const;

export const forgetEndpoint = endpoint({
  method: 'DELETE',
  path: '/admin/datastore/{store}/snapshots',
  parameters: snapshotParameters,
  run: async (call) => {
    const [store, snapshot] = [storeOf(call), snapshotOf(call.parameters)];
    return await audited(call, 'forget', store, snapshotPath(snapshot), async () => {
      await allow(call.caller, store, snapshot, removing);
      await (await administrationOf(call, store)).removeSnapshot(snapshot);
      return { data: null };
    });
  },
});

export const forgetGroupEndpoint = endpoint({
  method: 'DELETE',
  path: '/admin/datastore/{store}/groups',
  parameters: { ...groupParameters, 'error-on-protected': { kind: 'boolean', optional: true } },
  run: async (call) => {
    const [store, group] = [storeOf(call), groupOf(call.parameters)];
    return await audited(call, 'forget-group', store, groupPath(group), async () => {
      await allow(call.caller, store, group, removing);
      const skipProtected = call.parameters['error-on-protected'] === false;
      return { data: countsItem(await (await administrationOf(call, store)).removeGroup(group, { skipProtected })) };
    });
  },
});

export function countsItem({ groups, snapshots, protectedSnapshots }: RemovedCounts): JsonObject {
  return { 'removed-groups': groups, 'removed-snapshots': snapshots, 'protected-snapshots': protectedSnapshots };
}
