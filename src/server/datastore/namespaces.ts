/** GET, POST and DELETE `namespace`. Format: protocol, section 8.1, Appendix C.2. */
import { codeOf } from '../../errors.js';
import { formatNamespace, isNamespaceChild, parseNamespace, type Namespace } from '../../format/namespace.js';
import { isSafeId } from '../../format/safe-id.js';
import { endpoint } from '../endpoint.js';
import { Refusal } from '../refusal.js';
import { administrationOf, audited } from './audited.js';
import { checkNamespace, storeParameter } from './parameters.js';
import { forbidden, holds, namespacesBelow, scopeIn, storeOf } from './permissions.js';
import { countsItem } from './removal.js';

const depthMax = 7;
const componentLengthMax = 32;
const visible = ['Audit', 'Modify', 'Read', 'Backup'] as const;

export const namespacesEndpoint = endpoint({
  method: 'GET',
  path: '/admin/datastore/{store}/namespace',
  parameters: {
    ...storeParameter,
    parent: { kind: 'string', optional: true, check: checkNamespace },
    'max-depth': { kind: 'integer', optional: true, min: 0, max: depthMax },
  },
  run: async (call) => {
    const { parent = '', 'max-depth': depth = depthMax } = call.parameters;
    const [store, base] = [storeOf(call), parseNamespace(parent)];
    const found: Namespace[] = [];
    for await (const namespace of namespacesBelow(store.datastore, base, depth)) if (holds(call.caller, store, namespace, visible)) found.push(namespace);
    if (found.length === 0) throw forbidden(store, base, visible);
    return { data: found.map((namespace) => ({ ns: formatNamespace(namespace) })) };
  },
});

export const createNamespaceEndpoint = endpoint({
  method: 'POST',
  path: '/admin/datastore/{store}/namespace',
  parameters: {
    ...storeParameter,
    name: { kind: 'string', check: checkComponent },
    parent: { kind: 'string', optional: true, check: checkNamespace },
  },
  run: async (call) => {
    const store = storeOf(call);
    const parent = parseNamespace(call.parameters.parent ?? '');
    const namespace = [...parent, call.parameters.name];
    return await audited(call, 'namespace-create', store, formatNamespace(namespace), async () => {
      scopeIn(call.caller, store, parent, { full: ['Modify'] });
      if (!isNamespaceChild(parent, call.parameters.name)) throw new Refusal(400, `${formatNamespace(namespace)} is too deep or too long for a namespace`);
      await store.datastore.namespaces(parent);
      try {
        await store.datastore.createNamespace(namespace, (line) => {
          call.context.log(`${store.name}: ${line}`);
        });
      } catch (error) {
        if (codeOf(error) !== 'EXISTS') throw error;
      }
      return { data: formatNamespace(namespace) };
    });
  },
});

export const deleteNamespaceEndpoint = endpoint({
  method: 'DELETE',
  path: '/admin/datastore/{store}/namespace',
  parameters: {
    ...storeParameter,
    ns: { kind: 'string', optional: true, check: checkNamespace },
    'delete-groups': { kind: 'boolean', optional: true },
    'error-on-protected': { kind: 'boolean', optional: true },
  },
  run: async (call) => {
    const store = storeOf(call);
    const { ns = '', 'delete-groups': withGroups = false, 'error-on-protected': errorOnProtected = true } = call.parameters;
    const namespace = parseNamespace(ns);
    return await audited(call, 'namespace-delete', store, ns, async () => {
      scopeIn(call.caller, store, namespace.slice(0, -1), { full: ['Modify'] });
      const administration = await administrationOf(call, store);
      try {
        return { data: countsItem(await administration.removeNamespace(namespace, { withGroups, skipProtected: !errorOnProtected })) };
      } catch (error) {
        if (codeOf(error) !== 'NOT_FOUND' || withGroups) throw error;
        return { data: countsItem({ groups: 0, snapshots: 0, protectedSnapshots: 0 }) };
      }
    });
  },
});

function checkComponent(name: string): string | undefined {
  return isSafeId(name) && name.length <= componentLengthMax ? undefined : `is no name of up to ${componentLengthMax} letters, digits, '_', '-' and '.'`;
}
