/** `notes`, `group-notes` and `protected`, to read and to change. Format: protocol, sections 8.1 and 8.3. */
import { groupPath, snapshotPath } from '../../format/snapshot-name.js';
import { endpoint } from '../endpoint.js';
import { administrationOf, audited } from './audited.js';
import { groupOf, groupParameters, snapshotOf, snapshotParameters } from './parameters.js';
import { allow, storeOf } from './permissions.js';

const reading = { full: ['Audit'], limited: ['Backup'] } as const;
const changing = { full: ['Modify'], limited: ['Backup'] } as const;

export const notesEndpoints = [
  endpoint({
    method: 'GET',
    path: '/admin/datastore/{store}/notes',
    parameters: snapshotParameters,
    run: async (call) => {
      const [store, snapshot] = [storeOf(call), snapshotOf(call.parameters)];
      await allow(call.caller, store, snapshot, reading);
      return { data: await (await administrationOf(call, store)).notes(snapshot) };
    },
  }),
  endpoint({
    method: 'PUT',
    path: '/admin/datastore/{store}/notes',
    parameters: { ...snapshotParameters, notes: { kind: 'string' } },
    run: async (call) => {
      const [store, snapshot] = [storeOf(call), snapshotOf(call.parameters)];
      return await audited(call, 'notes', store, snapshotPath(snapshot), async () => {
        await allow(call.caller, store, snapshot, changing);
        await (await administrationOf(call, store)).setNotes(snapshot, call.parameters.notes);
        return { data: null };
      });
    },
  }),
  endpoint({
    method: 'GET',
    path: '/admin/datastore/{store}/group-notes',
    parameters: groupParameters,
    run: async (call) => {
      const [store, group] = [storeOf(call), groupOf(call.parameters)];
      await allow(call.caller, store, group, reading);
      return { data: await (await administrationOf(call, store)).notes(group) };
    },
  }),
  endpoint({
    method: 'PUT',
    path: '/admin/datastore/{store}/group-notes',
    parameters: { ...groupParameters, notes: { kind: 'string' } },
    run: async (call) => {
      const [store, group] = [storeOf(call), groupOf(call.parameters)];
      return await audited(call, 'group-notes', store, groupPath(group), async () => {
        await allow(call.caller, store, group, changing);
        await (await administrationOf(call, store)).setNotes(group, call.parameters.notes);
        return { data: null };
      });
    },
  }),
  endpoint({
    method: 'GET',
    path: '/admin/datastore/{store}/protected',
    parameters: snapshotParameters,
    run: async (call) => {
      const [store, snapshot] = [storeOf(call), snapshotOf(call.parameters)];
      await allow(call.caller, store, snapshot, reading);
      return { data: (await store.datastore.snapshotFacts(snapshot)).protected };
    },
  }),
  endpoint({
    method: 'PUT',
    path: '/admin/datastore/{store}/protected',
    parameters: { ...snapshotParameters, protected: { kind: 'boolean' } },
    run: async (call) => {
      const [store, snapshot] = [storeOf(call), snapshotOf(call.parameters)];
      return await audited(call, call.parameters.protected ? 'protect' : 'unprotect', store, snapshotPath(snapshot), async () => {
        await allow(call.caller, store, snapshot, changing);
        await (await administrationOf(call, store)).setProtected(snapshot, call.parameters.protected);
        return { data: null };
      });
    },
  }),
];
