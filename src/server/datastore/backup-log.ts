/** POST `upload-backup-log`. Format: protocol, section 8.1. */
import { encodedChunkBytesMax } from '../../format/blob.js';
import { snapshotPath } from '../../format/snapshot-name.js';
import { endpoint } from '../endpoint.js';
import { administrationOf, audited } from './audited.js';
import { snapshotOf, snapshotParameters } from './parameters.js';
import { demandOwner, scopeIn, storeOf } from './permissions.js';

export const uploadLogEndpoint = endpoint({
  method: 'POST',
  path: '/admin/datastore/{store}/upload-backup-log',
  parameters: snapshotParameters,
  rawBytesMax: encodedChunkBytesMax,
  run: async (call) => {
    const [store, snapshot] = [storeOf(call), snapshotOf(call.parameters)];
    return await audited(call, 'upload-log', store, snapshotPath(snapshot), async () => {
      scopeIn(call.caller, store, snapshot.namespace, { full: ['Backup'] });
      await demandOwner(call.caller, store, snapshot);
      await (await administrationOf(call, store)).writeLog(snapshot, call.body);
      return { data: null };
    });
  },
});
