/** POST `change-owner`. Format: protocol, section 8.1. */
import { messageOf } from '../../errors.js';
import { parseAuthId } from '../../format/auth-id.js';
import { groupPath, type GroupName } from '../../format/snapshot-name.js';
import { isKnown } from '../access/users.js';
import { owns, type Caller } from '../caller.js';
import { endpoint, type Call } from '../endpoint.js';
import { Refusal } from '../refusal.js';
import type { ServedStore } from '../server-context.js';
import { administrationOf, audited } from './audited.js';
import { groupOf, groupParameters } from './parameters.js';
import { holds, storeOf } from './permissions.js';

export const changeOwnerEndpoint = endpoint({
  method: 'POST',
  path: '/admin/datastore/{store}/change-owner',
  parameters: { ...groupParameters, 'new-owner': { kind: 'string', check: checkAuthId } },
  run: async (call) => {
    const [store, group, newOwner] = [storeOf(call), groupOf(call.parameters), call.parameters['new-owner']];
    return await audited(call, 'change-owner', store, groupPath(group), async () => {
      if (!holds(call.caller, store, group.namespace, ['Modify'])) await checkGiving(call, store, group, newOwner);
      await (await administrationOf(call, store)).changeOwner(group, newOwner);
      return { data: null };
    });
  },
});

function checkAuthId(text: string): string | undefined {
  try {
    parseAuthId(text);
    return undefined;
  } catch (error) {
    return messageOf(error);
  }
}

/** Who may only change what is theirs gives it to their tokens, and back. 401; 400 where there is no such owner. */
async function checkGiving({ caller, context }: Pick<Call, 'caller' | 'context'>, store: ServedStore, group: GroupName, newOwner: string): Promise<void> {
  if (!(await mayGive(caller, store, group, newOwner))) throw new Refusal(401, `${caller.authId} may not give ${groupPath(group)} to ${newOwner}`);
  if (!isKnown(await context.users.current(), parseAuthId(newOwner))) throw new Refusal(400, `there is no ${newOwner} that could own ${groupPath(group)}`);
}

/** A token gives nothing away. */
async function mayGive(caller: Caller, store: ServedStore, group: GroupName, newOwner: string): Promise<boolean> {
  if (caller.authId !== caller.userId || !holds(caller, store, group.namespace, ['Backup'])) return false;
  const { owner } = await store.datastore.groupFacts(group);
  if (owner === undefined || !owns(caller, owner)) return false;
  const [before, after] = [parseAuthId(owner), parseAuthId(newOwner)];
  return before.user === after.user && (before.token !== undefined || after.token !== undefined);
}
